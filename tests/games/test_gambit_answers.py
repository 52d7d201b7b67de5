"""All extreme equilibria of 1,000 random games and of the libraries' own, as Gambit 16.7 has them.

The answers are in data/, in rational numbers; gambit_answers.py wrote them.
"""

import gzip
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.games.bimatrix import equilibria
from shoal.games.normal_form import NormalForm

DATA = Path(__file__).parent / "data"
PARTS = 20


def answers(name: str) -> list[dict[str, Any]]:
    return json.loads(gzip.decompress((DATA / f"gambit_{name}.json.gz").read_bytes()))


RANDOM = answers("random")
NAMED = {answer["name"]: answer for answer in answers("named")}


def play(answer: dict[str, Any]) -> tuple[NormalForm, list[tuple[Fraction, ...]]]:
    """The game, and Gambit's equilibria: both strategies of each in one row."""
    sides = ([[float(Fraction(v)) for v in line] for line in answer[p]] for p in ("row", "column"))
    xs, ys = (
        [tuple(Fraction(v, sum(whole)) for v in whole) for whole in answer[p]] for p in ("xs", "ys")
    )
    return NormalForm.bimatrix(*sides), [xs[i] + ys[j] for i, j in answer["pairs"]]


def check(answer: dict[str, Any]) -> None:
    """Integers find exactly Gambit's set; floats, or what replaces them, find it to 1e-9."""
    game, want = play(answer)
    exact, found = equilibria(game, exact=True), equilibria(game)
    assert len(exact) == len(found) == len(want), (answer["name"], len(exact), len(want))
    assert {tuple(np.concatenate(p)) for p in exact} == set(want), answer["name"]
    assert set(exact.regrets) == {0.0}
    mine, its = (np.array([np.concatenate(p) for p in some], float) for some in (found, exact))
    apart = np.abs(mine[:, None] - its[None]).max(axis=2)
    assert apart.min(axis=1).max() <= 1e-9 and len(set(apart.argmin(axis=1))) == len(want)
    assert max(found.regrets) <= 1e-9


@pytest.mark.parametrize("part", range(PARTS))
def test_random_games(part: int) -> None:
    for answer in RANDOM[part::PARTS]:
        check(answer)


@pytest.mark.parametrize("name", NAMED)
def test_named_games(name: str) -> None:
    check(NAMED[name])


def test_what_the_answers_cover() -> None:
    shapes = {(len(answer["row"]), len(answer["row"][0])) for answer in RANDOM}
    assert len(RANDOM) == 1000 and len(shapes) == 7 * 7
    assert min(map(min, shapes)) == 2 and max(map(max, shapes)) == 8
    # Two equilibria that share a strategy: then there are mixtures, and the game is degenerate.
    shared = [len(a["pairs"]) > min(len(a["xs"]), len(a["ys"])) for a in RANDOM]
    assert sum(shared) == 498
    assert {name.split(":")[0] for name in NAMED} == {"Gambit", "OpenSpiel", "Nashpy"}
