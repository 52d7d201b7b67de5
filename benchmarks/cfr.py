"""CFR: its speed beside OpenSpiel's, in one process, and how fast each variant converges.

    pip install open_spiel
    python benchmarks/cfr.py [--rounds 5] [--games kuhn leduc] [--skip-python]

Writes under games/: cfr.csv, iterations a second of Shoal's CFR and CFR+, of OpenSpiel's C++
CFRSolver and of its Python one, medians of rounds in which they take turns, so that a neighbour on
the machine slows all alike; and cfr_curves.csv, NashConv of the average policy by iteration. An
iteration updates every player once. Compiling, and making the tree, are in columns of their own.
Average policies that are not worth the same in both libraries end the run.
"""

import argparse
import csv
import json
import os
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyspiel
from open_spiel.python.algorithms import cfr as python_cfr

from shoal.games.extensive.cfr import cfr
from shoal.games.extensive.goofspiel import goofspiel
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.leduc import leduc
from shoal.games.extensive.liars_dice import liars_dice
from shoal.games.extensive.tree import ExtensiveForm
from shoal.training.machine import hardware, versions

HERE = Path(__file__).parent
GAMES: dict[str, tuple[Callable[[], ExtensiveForm], str]] = {
    "kuhn": (kuhn, "kuhn_poker"),
    "leduc": (leduc, "leduc_poker"),
    "goofspiel": (
        goofspiel,
        "turn_based_simultaneous_game(game=goofspiel(imp_info=true,num_cards=4,"
        "points_order=descending))",
    ),
    "liars_dice": (lambda: liars_dice(1, 4), "liars_dice(dice_sides=4)"),
}
PEERS = ("openspiel_cpp", "openspiel_python")
CURVES = ("cfr", "cfr+", "linear", "discounted", "mccfr")


def main() -> None:
    """Measures and writes both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--games", nargs="+", default=list(GAMES), choices=GAMES)
    parser.add_argument("--skip-python", action="store_true", help="without OpenSpiel's Python")
    parser.add_argument("--iterations", type=int, default=1000, help="of the curves")
    parser.add_argument("--seeds", type=int, default=5, help="of mccfr's curve")
    parser.add_argument("--out", type=Path, default=HERE / "games")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "cfr.csv", [measure(name, options) for name in options.games])
    curves = [row for name in ("kuhn", "leduc") for row in curve(name, options)]
    write(options.out / "cfr_curves.csv", curves)


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One game: iterations a second of each solver."""
    ours, theirs = GAMES[name]
    game, build_seconds = _timed(ours)
    gap, compile_seconds = _timed(lambda: cfr(game, 10, report=10).nash_conv[-1])
    peer = pyspiel.load_game(theirs)
    _check(gap, peer)
    solvers: dict[str, Callable[[int], Any]] = {
        "shoal": lambda n: cfr(game, n, report=n),
        "shoal_plus": lambda n: cfr(game, n, "cfr+", report=n),
        "openspiel_cpp": _stepper(pyspiel.CFRSolver(peer)),
    }
    if not options.skip_python:
        solvers["openspiel_python"] = _stepper(python_cfr.CFRSolver(peer))
    rates = _race(name, solvers, options)
    return {
        "game": name,
        "nodes": game.num_nodes,
        "infosets": game.num_infosets,
        **{f"{s}_per_second": f"{statistics.median(v):.4g}" for s, v in rates.items()},
        **{k: v for s in PEERS if s in rates for k, v in _ratios(s, rates).items()},
        "shoal_build_seconds": f"{build_seconds:.3g}",
        "shoal_compile_seconds": f"{compile_seconds:.3g}",
        "rounds": options.rounds,
        "versions": json.dumps(versions() | {"open_spiel": version("open_spiel")}),
        "device": _device(),
    }


def curve(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """NashConv of each variant at iterations 1, ..., evenly spaced in their logarithms."""
    game, rows = GAMES[name][0](), []
    marks = np.unique(np.geomspace(1, options.iterations, 31).round().astype(int)).tolist()
    for variant in CURVES:
        seeds = {"seeds": range(options.seeds)} if variant == "mccfr" else {}
        found = cfr(game, options.iterations, variant, report=marks, **seeds)
        for seed, gaps in enumerate(np.atleast_2d(found.nash_conv)):
            rows += [
                {"game": name, "variant": variant, "seed": seed, "iteration": t}
                | {"nash_conv": f"{gap:.6g}", "shoal": version("shoal"), "jax": version("jax")}
                for t, gap in zip(found.iterations.tolist(), gaps)
            ]
    return rows


def _race(
    name: str, solvers: dict[str, Callable[[int], Any]], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Iterations a second of each solver in each round, in turns."""
    counts = {solver: _enough(run, options.seconds) for solver, run in solvers.items()}
    rates: dict[str, list[float]] = {solver: [] for solver in solvers}
    for i in range(options.rounds):
        for solver, run in solvers.items():
            seconds = _timed(lambda: run(counts[solver]))[1]  # noqa: B023
            rates[solver].append(counts[solver] / seconds)
        print(name, i, {solver: f"{each[-1]:.4g}" for solver, each in rates.items()}, flush=True)
    return rates


def _ratios(peer: str, rates: dict[str, list[float]]) -> dict[str, str]:
    """How many times the peer's rate ours is, by rounds: the middle and the lowest one."""
    each = [a / b for a, b in zip(rates["shoal"], rates[peer])]
    middle = statistics.median(each)
    return {f"ratio_to_{peer}": f"{middle:.3g}", f"lowest_ratio_to_{peer}": f"{min(each):.3g}"}


def _check(gap: float, peer: Any) -> None:
    """Ends the run where 10 iterations of OpenSpiel's lead to a policy of another worth."""
    solver = pyspiel.CFRSolver(peer)
    _stepper(solver)(10)
    want = pyspiel.nash_conv(peer, solver.average_policy())
    if abs(gap - want) > 1e-9:
        raise SystemExit(f"NashConv of {peer} after 10 iterations is {gap}, OpenSpiel's is {want}")


def _stepper(solver: Any) -> Callable[[int], None]:
    def run(count: int) -> None:
        for _ in range(count):
            solver.evaluate_and_update_policy()

    return run


def _enough(run: Callable[[int], Any], seconds: float) -> int:
    """How many iterations take about that long; at least one."""
    count = 1
    while (spent := _timed(lambda: run(count))[1]) < seconds / 4:  # noqa: B023
        count *= 4
    return max(1, round(count * seconds / spent))


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    return run(), time.perf_counter() - begin


def _device() -> str:
    return f"{hardware()['device']}, {os.cpu_count()} cores"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """The rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
