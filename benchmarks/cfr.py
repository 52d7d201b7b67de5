"""Speed of CFR beside OpenSpiel's, interleaved in one run on one machine; ratios are what counts.

    python benchmarks/cfr.py [--rounds 10] [--games kuhn leduc] [--skip-python]

Needs OpenSpiel (`pip install open_spiel`). Each round runs Shoal's CFR and CFR+, OpenSpiel's C++
CFRSolver and its Python one in turn on each game, long enough each to be timed, so that a neighbour
on the machine slows all alike. An iteration updates every player once. Compiling and making the
tree are in columns of their own. Writes speed/cfr.csv: medians of the rounds.
"""

import argparse
import csv
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pyspiel
from open_spiel.python.algorithms import cfr as python_cfr

from shoal.games.extensive.cfr import cfr
from shoal.games.extensive.goofspiel import goofspiel
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.leduc import leduc
from shoal.games.extensive.liars_dice import liars_dice
from shoal.games.extensive.tree import ExtensiveForm

HERE = Path(__file__).parent
GAMES: dict[str, tuple[Callable[[], ExtensiveForm], str]] = {
    "kuhn": (kuhn, "kuhn_poker"),
    "leduc": (leduc, "leduc_poker"),
    "goofspiel": (
        lambda: goofspiel(4),
        "turn_based_simultaneous_game(game=goofspiel(imp_info=true,num_cards=4,"
        "points_order=descending))",
    ),
    "liars_dice": (lambda: liars_dice(1, 4), "liars_dice(dice_sides=4)"),
}


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--games", nargs="+", default=list(GAMES), choices=GAMES)
    parser.add_argument("--skip-python", action="store_true", help="without OpenSpiel's Python")
    parser.add_argument("--out", type=Path, default=HERE / "speed" / "cfr.csv")
    options = parser.parse_args()
    rows = [measure(name, options) for name in options.games]
    options.out.parent.mkdir(exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One game: iterations a second of each solver, medians over the rounds."""
    ours, theirs = GAMES[name]
    begin = time.perf_counter()
    game, peer = ours(), pyspiel.load_game(theirs)
    build_seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    cfr(game, 1)
    compile_seconds = time.perf_counter() - begin
    solvers: dict[str, Callable[[int], Any]] = {
        "shoal": lambda n: cfr(game, n),
        "shoal_plus": lambda n: cfr(game, n, "cfr+"),
        "openspiel_cpp": _stepper(pyspiel.CFRSolver(peer)),
    }
    if not options.skip_python:
        solvers["openspiel_python"] = _stepper(python_cfr.CFRSolver(peer))
    counts = {solver: _enough(run, options.seconds) for solver, run in solvers.items()}
    rates: dict[str, list[float]] = {solver: [] for solver in solvers}
    for i in range(options.rounds):
        for solver, run in solvers.items():
            rates[solver].append(counts[solver] / _seconds(run, counts[solver]))
        print(
            name, i, {solver: f"{values[-1]:.4g}" for solver, values in rates.items()}, flush=True
        )
    return {
        "game": name,
        "nodes": game.num_nodes,
        "infosets": game.num_infosets,
        **{f"{s}_per_second": f"{statistics.median(v):.4g}" for s, v in rates.items()},
        **{f"ratio_to_{s}": _ratio(rates["shoal"], rates.get(s)) for s in PEERS},
        "build_seconds": f"{build_seconds:.3g}",
        "compile_seconds": f"{compile_seconds:.3g}",
        "rounds": options.rounds,
        "jax": jax.__version__,
        "machine": platform.processor() or platform.machine(),
    }


PEERS = ("openspiel_cpp", "openspiel_python")


def _ratio(ours: list[float], theirs: list[float] | None) -> str:
    return f"{statistics.median(a / b for a, b in zip(ours, theirs)):.3g}" if theirs else ""


def _stepper(solver: Any) -> Callable[[int], None]:
    def run(count: int) -> None:
        for _ in range(count):
            solver.evaluate_and_update_policy()

    return run


def _seconds(run: Callable[[int], Any], count: int) -> float:
    begin = time.perf_counter()
    run(count)
    return time.perf_counter() - begin


def _enough(run: Callable[[int], Any], seconds: float) -> int:
    """How many iterations take about that long; at least one."""
    count = 1
    while (spent := _seconds(run, count)) < seconds / 4:
        count *= 4
    return max(1, round(count * seconds / spent))


if __name__ == "__main__":
    main()
