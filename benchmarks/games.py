"""Speed of the solvers of two-player games beside Nashpy, pygambit and SciPy, in one process.

    pip install nashpy pygambit
    python benchmarks/games.py

Writes under games/: enumeration.csv (all equilibria of one game, by size), lemke_howson.csv (one
equilibrium of each of many), zero_sum.csv (values of many) and versions.csv. The solvers take turns
in every round, so that a neighbour on the machine slows all alike; a time is the median of the
rounds, compile time excluded. Random payoffs are normal, seeded. A peer first has to solve a game
within `--patience` seconds, in a process that is ended if it does not: its time is then given as
">" these, and it is left out of larger games. How many equilibria each finds is in the table, for
not all find all; other answers that differ end the run.
"""

import argparse
import csv
import importlib.metadata
import multiprocessing
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
# Both payoffs of each action profile, the row player's action fastest.
SEVENTY_FIVE = """
9504 72336 -111771 -461736 397584 1227336 171204 -1718376 1303104 1303104 737154 -453420
-660 48081 31680 -300036 -113850 774576 -45936 -1039236 -453420 737154 -227040 -227040
19976 29216 -130944 -178761 451176 451176 208626 -586476 1227336 397584 774576 -113850
-20526 14124 168124 -84436 -586476 208626 -263076 -263076 -1718376 171204 -1039236 -45936
1776 1776 -8514 -8976 29216 19976 14124 -20526 72336 9504 48081 -660
-8976 -8514 52764 52764 -178761 -130944 -84436 168124 -461736 -111771 -300036 31680
"""
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
    parser.add_argument("--patience", type=float, default=20.0, help="seconds for one game")
    parser.add_argument("--seconds", type=float, default=3.0, help="of rounds, for the slow")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "enumeration.csv", enumeration(options))
    write(options.out / "lemke_howson.csv", lemke_howson(options))
    write(options.out / "zero_sum.csv", zero_sum(options))
    write(options.out / "versions.csv", [versions()])


def enumeration(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All equilibria of one game of each size, and of the one of 6 x 6 with 75."""
    from shoal.games.bimatrix import equilibria
    from shoal.games.normal_form import NormalForm

    rng = np.random.default_rng(0)
    games = [("random", *rng.normal(size=(2, size, size))) for size in sorted(options.sizes)]
    known = np.array(SEVENTY_FIVE.split(), float).reshape(6, 6, 2)
    games.append(("von Stengel 1999", known[:, :, 0].T, known[:, :, 1].T))
    rows, largest = [], {}
    for kind, a, b in games:
        game, size = NormalForm.bimatrix(a, b), len(a)
        solvers = {"shoal": lambda game=game: len(equilibria(game))}
        late = {}
        for name, solve in enumerators(a, b).items():
            if size > largest.get(name, size):
                continue
            if ends(solve, options.patience):
                solvers[name] = solve
            else:
                late[name], largest[name] = options.patience, size
        times, answers = race(solvers, options.rounds, options.seconds)
        found = {f"{name}_equilibria": count for name, count in answers.items()}
        rows.append({"game": kind, "actions": size, **found, **table(times, 1, late)})
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
        "pygambit_lcp": lambda: [
            pygambit.nash.lcp_solve(game, rational=False, stop_after=1) for game in gambit
        ],
        "pygambit_ipa": lambda: [pygambit.nash.ipa_solve(game) for game in gambit],
    }
    for mine, its in zip(zip(x, y), solvers["nashpy"]()):
        check("strategies", np.concatenate(mine), np.concatenate(its))
    times, _ = race(solvers, options.rounds, options.seconds)
    counts = {"shoal": options.games} | {name: few for name in solvers if name != "shoal"}
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
    times, _ = race(solvers, options.rounds, options.seconds)
    counts = {"shoal": options.values, "scipy": few}
    return [{"games": options.values, "actions": 20, **table(times, counts)}]


def ends(solve: Callable[[], Any], patience: float) -> bool:
    """Whether the solver comes to an end in time, in a process of its own."""
    child = multiprocessing.get_context("fork").Process(target=solve)
    child.start()
    child.join(patience)
    in_time = child.exitcode == 0
    child.kill()
    child.join()
    return in_time


def race(
    solvers: Solvers, rounds: int, seconds: float
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of each solver in each round, in turns, after one turn that does not count, but for
    those who use up their `seconds` in it. Who has used them up takes no more turns."""
    times: dict[str, list[float]] = {name: [] for name in solvers}
    answers = {}
    for _ in range(rounds + 1):
        for name, solve in solvers.items():
            if sum(times[name]) > seconds:
                continue
            start = time.perf_counter()
            answers[name] = solve()
            times[name].append(time.perf_counter() - start)
    return {name: each[1:] or each for name, each in times.items()}, answers


def table(
    times: dict[str, list[float]], games: int | dict[str, int], late: dict[str, float] | None = None
) -> dict[str, str]:
    """Microseconds for one game, and how many times Shoal's each peer's is; of those who were
    `late`, more than their seconds."""
    counts = games if isinstance(games, dict) else dict.fromkeys(times, games)
    middle = {n: statistics.median(each) / counts[n] * 1e6 for n, each in times.items()}
    out = {}
    for name, more in [*((n, "") for n in middle), *((n, ">") for n in late or {})]:
        value = middle[name] if name in middle else (late or {})[name] * 1e6
        out[f"{name}_microseconds"] = f"{more}{value:.1f}"
        if name != "shoal":
            out[f"{name}_ratio"] = f"{more}{value / middle['shoal']:.1f}"
    return out


def check(what: str, mine: Any, its: Any) -> None:
    """Ends the run where answers differ."""
    if not np.allclose(mine, its, rtol=0, atol=1e-6):
        raise SystemExit(f"{what} differ by {np.abs(np.subtract(mine, its)).max():g}")


def versions() -> dict[str, str]:
    """What was compared, where."""
    names = ("jax", "numpy", "scipy", "nashpy", "pygambit")
    found = {name: importlib.metadata.version(name) for name in names}
    return {**found, "python": platform.python_version(), "hardware": hardware()}


def hardware() -> str:
    """The processor and the number of its cores that are there to use."""
    known = Path("/proc/cpuinfo")
    model = re.search("model name\\s*: (.*)", known.read_text()) if known.exists() else None
    return f"{model[1] if model else platform.processor()} x {os.cpu_count()}"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """The rows as CSV; a peer that gave up leaves its cells empty."""
    fields = list(dict.fromkeys(key for row in rows for key in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
