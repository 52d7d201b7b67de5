"""Speed of the solvers of two-player games beside Nashpy, pygambit and SciPy, in one process.

    pip install nashpy pygambit
    python benchmarks/games.py

Writes under games/: enumeration.csv (all equilibria of one random game, by size), lemke_howson.csv
(one equilibrium of each of many), zero_sum.csv (values of many) and versions.csv. The solvers take
turns in every round, so that a neighbour on the machine slows all alike; a time is the median of
the rounds, compile time excluded. Payoffs are normal, seeded. A peer that takes longer than
`--patience` seconds at one size is left out of larger ones. How many equilibria each finds is in
the table, for not all find all; other answers that differ end the run.
"""

import argparse
import csv
import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
Solvers = dict[str, Callable[[], Any]]


def main() -> None:
    """Measures and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "games")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 4, 5, 6, 7, 8, 10, 12])
    parser.add_argument("--games", type=int, default=10_000, help="of 4 x 4, for Lemke-Howson")
    parser.add_argument("--values", type=int, default=1000, help="games of 20 x 20")
    parser.add_argument("--peer-games", type=int, default=100, help="how many of them peers solve")
    parser.add_argument("--patience", type=float, default=60.0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "enumeration.csv", enumeration(options))
    write(options.out / "lemke_howson.csv", lemke_howson(options))
    write(options.out / "zero_sum.csv", zero_sum(options))
    write(options.out / "versions.csv", [versions()])


def enumeration(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All equilibria of one game of each size."""
    from shoal.games.bimatrix import equilibria
    from shoal.games.normal_form import NormalForm

    rng = np.random.default_rng(0)
    rows, slow = [], set()
    for size in options.sizes:
        a, b = rng.normal(size=(2, size, size))
        game = NormalForm.bimatrix(a, b)
        solvers = {"shoal": lambda game=game: len(equilibria(game)), **enumerators(a, b)}
        solvers = {name: solve for name, solve in solvers.items() if name not in slow}
        times, answers = race(solvers, options.rounds, options.patience)
        slow |= {name for name, each in times.items() if max(each) > options.patience}
        found = {f"{name}_equilibria": count for name, count in answers.items()}
        rows.append({"actions": size, **found, **table(times, 1)})
        print(rows[-1], flush=True)
    return rows


def enumerators(a: np.ndarray, b: np.ndarray) -> Solvers:
    """What the peers have for all equilibria of two players."""
    import nashpy
    import pygambit

    theirs, gambit = nashpy.Game(a, b), pygambit.Game.from_arrays(a, b)
    return {
        "nashpy_support": lambda: len(list(theirs.support_enumeration())),
        "nashpy_vertex": lambda: len(list(theirs.vertex_enumeration())),
        "pygambit_float": lambda: len(
            pygambit.nash.enummixed_solve(gambit, rational=False).equilibria
        ),
        "pygambit_rational": lambda: len(
            pygambit.nash.enummixed_solve(gambit, rational=True).equilibria
        ),
    }


def lemke_howson(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One equilibrium of each of many games of 4 x 4, the missing label the first."""
    import nashpy
    import pygambit

    from shoal.games.lemke_howson import lemke_howson_batch

    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, options.games, 4, 4))
    few = min(options.peer_games, options.games)
    theirs = [nashpy.Game(*pair) for pair in zip(a[:few], b[:few])]
    gambit = [pygambit.Game.from_arrays(*pair) for pair in zip(a[:few], b[:few])]
    x, y, regrets = lemke_howson_batch(a, b)
    check("regrets", regrets, 0)
    solvers = {
        "shoal": lambda: lemke_howson_batch(a, b),
        "nashpy": lambda: [game.lemke_howson(initial_dropped_label=0) for game in theirs],
        "pygambit_float": lambda: [
            pygambit.nash.lcp_solve(game, rational=False, stop_after=1) for game in gambit
        ],
    }
    for mine, its in zip(zip(x, y), solvers["nashpy"]()):
        check("strategies", np.concatenate(mine), np.concatenate(its))
    times, _ = race(solvers, options.rounds, np.inf)
    counts = {"shoal": options.games, "nashpy": few, "pygambit_float": few}
    return [{"games": options.games, "actions": 4, **table(times, counts)}]


def zero_sum(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Values of many games of 20 x 20; SciPy solves them one by one."""
    from scipy.optimize import linprog

    from shoal.games.zero_sum import zero_sum_batch

    rng = np.random.default_rng(2)
    payoffs = rng.normal(size=(options.values, 20, 20))
    few = min(options.peer_games, options.values)
    bounds = [(0, None)] * 20 + [(None, None)]
    once, one = np.r_[np.ones(20), 0.0][None], np.ones(1)

    def scipy() -> list[float]:
        return [
            linprog(
                np.r_[np.zeros(20), -1.0],
                np.c_[-matrix.T, np.ones(20)],
                np.zeros(20),
                once,
                one,
                bounds,
            ).x[-1]
            for matrix in payoffs[:few]
        ]

    check("values", zero_sum_batch(payoffs)[0][:few], scipy())
    solvers = {"shoal": lambda: zero_sum_batch(payoffs), "scipy": scipy}
    times, _ = race(solvers, options.rounds, np.inf)
    counts = {"shoal": options.values, "scipy": few}
    return [{"games": options.values, "actions": 20, **table(times, counts)}]


def race(
    solvers: Solvers, rounds: int, patience: float
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of each solver in each round, in turns, after one turn that does not count (but for
    the impatient: whoever takes longer than `patience` has that one turn only)."""
    times: dict[str, list[float]] = {name: [] for name in solvers}
    answers = {}
    for _ in range(rounds + 1):
        for name, solve in solvers.items():
            if times[name] and times[name][0] > patience:
                continue
            start = time.perf_counter()
            answers[name] = solve()
            times[name].append(time.perf_counter() - start)
    return {name: each[1:] or each for name, each in times.items()}, answers


def table(times: dict[str, list[float]], games: int | dict[str, int]) -> dict[str, str]:
    """Microseconds for one game, and how many times Shoal's each peer's is."""
    counts = games if isinstance(games, dict) else dict.fromkeys(times, games)
    middle = {n: statistics.median(each) / counts[n] * 1e6 for n, each in times.items()}
    out = {f"{name}_microseconds": f"{value:.1f}" for name, value in middle.items()}
    ratios = {n: f"{v / middle['shoal']:.1f}" for n, v in middle.items() if n != "shoal"}
    return out | {f"{name}_ratio": ratio for name, ratio in ratios.items()}


def check(what: str, mine: Any, its: Any) -> None:
    """Ends the run where answers differ."""
    if not np.allclose(mine, its, rtol=0, atol=1e-6):
        raise SystemExit(f"{what} differ by {np.abs(np.subtract(mine, its)).max():g}")


def versions() -> dict[str, str]:
    """What was compared, where."""
    names = ("jax", "numpy", "scipy", "nashpy", "pygambit")
    found = {name: importlib.metadata.version(name) for name in names}
    return {**found, "python": platform.python_version(), "machine": platform.processor()}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """The rows as CSV; a peer that gave up leaves its cells empty."""
    fields = list(dict.fromkeys(key for row in rows for key in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
