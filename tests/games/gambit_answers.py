"""Draws games of two players and writes down Gambit's answers, for tests to compare with.

    pip install pygambit open_spiel
    python tests/games/gambit_answers.py

Writes data/gambit_random.json.gz, 1,000 seeded games of 2 x 2 to 8 x 8, half of them with few
different payoffs, so that most of these are degenerate; and data/gambit_named.json.gz, the games
of two players in Gambit's catalogue and in OpenSpiel, those of OpenSpiel's tests, and Nashpy's
example. The answers are all extreme equilibria, in rational numbers (`enummixed_solve`); what
Gambit lists twice is there once. A strategy is a list of whole numbers, to be divided by their sum.
It takes some five minutes.
"""

import gzip
import json
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pygambit
import pyspiel
from pygambit import catalog

from shoal.games.normal_form import rational

DATA = Path(__file__).parent / "data"
PAYOFFS = [(0, 1), (-100, 100), (0, 2), (-100, 100), (0, 3), (-1000, 1000)]
"""The least and the greatest payoff, in turns."""
# Games in open_spiel/python/algorithms/*_test.py; without a second matrix they are zero-sum.
OPENSPIEL: dict[str, tuple[Any, ...]] = {
    "lp_solver: a saddle": ([[2, 1, 5], [-3, -4, -2]],),
    "lp_solver: mixed dominance": ([[1, 1, 1], [2, 0, 1], [0, 2, 2]],),
    "mip_nash: prisoner's dilemma": ([[-2, -10], [0, -5]], [[-2, 0], [-10, -5]]),
    "mip_nash: stag hunt": ([[10, 1], [8, 5]], [[10, 8], [1, 5]]),
    "nash_averaging: transitive": ([[0, -1, -1], [1, 0, -1], [1, 1, 0]],),
    "nash_averaging: four agents": (
        [[0, 234, 34, -270], [-234, 0, -38, -464], [-34, 38, 0, -270], [270, 464, 270, 0]],
    ),
    "nash_averaging: agents and tasks": ([[0, 0, 0], [1, 10, 100], [2, 20, 200], [3, 30, 300]],),
    "nash_averaging: equal agents": (
        [[0, 0, 0], [1, 10, 100], [2, 20, 200], [3, 30, 300], [3, 30, 300]],
    ),
    "stackelberg_lp: 0": ([[2, 4], [1, 3]], [[1, 0], [0, 1]]),
    "stackelberg_lp: 1": ([[2, 0, 0], [1, 0, 0]], [[0, 2, 5], [0, -1, -4]]),
    "stackelberg_lp: 2": ([[3, 9], [9, 1]], [[0, 0], [1, 8]]),
}


def main() -> None:
    """Solves all and writes both files."""
    DATA.mkdir(exist_ok=True)
    for name, games in (("named", named_games()), ("random", random_games())):
        answers = [{"name": title, **solve(*pair)} for title, *pair in games]
        lines = ",\n".join(json.dumps(answer, separators=(",", ":")) for answer in answers)
        # The time of writing is left out of the file: the same answers make the same file.
        packed = gzip.compress(f"[{lines}]\n".encode(), mtime=0)
        path = DATA / f"gambit_{name}.json.gz"
        path.write_bytes(packed)
        count = sum(len(answer["pairs"]) for answer in answers)
        print(f"{path.name}: {len(answers)} games, {count} equilibria, {len(packed)} bytes")


def random_games(count: int = 1000) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The seeded games; their names say between what their payoffs lie."""
    rng = np.random.default_rng(0)
    for number in range(count):
        low, high = PAYOFFS[number % len(PAYOFFS)]
        shape = rng.integers(2, 9, 2)
        yield f"{low} to {high}", *rng.integers(low, high + 1, (2, *shape))


def named_games() -> Iterator[tuple[str, Any, Any]]:
    """Games of the three libraries with 2 players and at most 8 actions each."""
    for title in catalog.games()["Game"]:
        game = catalog.load(title)
        if len(game.players) == 2 and max(len(p.strategies) for p in game.players) <= 8:
            yield f"Gambit: {title}", *game.to_arrays(dtype=Fraction)
    for kind in pyspiel.registered_games():
        if kind.short_name.startswith("matrix_"):
            game = pyspiel.load_matrix_game(kind.short_name)
            pair = game.row_utilities(), game.col_utilities()
            yield f"OpenSpiel: {kind.short_name}", *(rational(matrix, 1000) for matrix in pair)
    for title, (row, *column) in OPENSPIEL.items():
        yield f"OpenSpiel: {title}", np.array(row), np.array(*column or [np.negative(row)])
    yield "Nashpy: README", np.array([[1, 2], [3, 0]]), np.array([[0, 2], [3, 1]])


def solve(row: np.ndarray, column: np.ndarray) -> dict[str, Any]:
    """The payoffs, each player's strategies, and the pairs of their numbers that are extreme
    equilibria."""
    game = pygambit.Game.from_arrays(row, column)
    found = pygambit.nash.enummixed_solve(game, rational=True).equilibria
    pairs = {
        tuple(whole([profile[s] for s in player.strategies]) for player in game.players)
        for profile in found
    }
    xs, ys = (sorted(set(side)) for side in zip(*pairs))
    return {
        "row": written(row),
        "column": written(column),
        "xs": xs,
        "ys": ys,
        "pairs": sorted((xs.index(x), ys.index(y)) for x, y in pairs),
    }


def whole(strategy: list[Any]) -> tuple[int, ...]:
    """The least whole numbers in the strategy's proportions."""
    scale = math.lcm(*(int(p.denominator) for p in strategy))
    return tuple(int(p * scale) for p in strategy)


def written(matrix: np.ndarray) -> list[list[int | str]]:
    """Payoffs as JSON holds them: whole numbers, and fractions as text."""
    return [[int(v) if v == int(v) else str(v) for v in line] for line in matrix]


if __name__ == "__main__":
    main()
