"""Backward induction against the definition: no player gains by another plan in any subgame."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.subgame_perfect import one_move_regret, subgame_perfect
from shoal.games.extensive.tree import CHANCE, TERMINAL, ExtensiveForm
from shoal.games.gambit.efg import read_efg

# The centipede of four moves: the pot doubles, and whoever stops takes four fifths of it.
CENTIPEDE = """EFG 2 R "" { "ann" "bob" }
p "" 1 1 "" { "stop" "go" } 0 t "" 1 "" { 4 1 }
p "" 2 1 "" { "stop" "go" } 0 t "" 2 "" { 2 8 }
p "" 1 2 "" { "stop" "go" } 0 t "" 3 "" { 16 4 }
p "" 2 2 "" { "stop" "go" } 0 t "" 4 "" { 8 32 } t "" 5 "" { 64 16 }"""


def test_the_centipede_stops_at_once_and_everywhere() -> None:
    found = subgame_perfect(read_efg(CENTIPEDE))
    assert [c.tolist() for c in found.choices] == [[0, 0, 0, 0]] and found.complete
    assert found.payoffs[0].tolist() == [4, 1] and found.regrets == [0]


def grown(rng: np.random.Generator, depth: int, count: list[int]) -> str:
    """A random tree of perfect information, as a file has it."""
    count[0] += 1
    number = count[0]
    if depth == 0 or rng.random() < 0.25:
        first, second = rng.integers(0, 3, 2)
        return f't "" {number} "" {{ {first} {second} }}\n'
    below = grown(rng, depth - 1, count) + grown(rng, depth - 1, count)
    if rng.random() < 0.3:
        return f'c "" {number} "" {{ "h" 1/3 "t" 2/3 }} 0\n' + below
    return f'p "" {rng.integers(1, 3)} {number} "" {{ "l" "r" }} 0\n' + below


def worth(game: ExtensiveForm, choices, k: int) -> list[Fraction]:
    below = [worth(game, choices, c) for c in range(*game.children(k).indices(game.num_nodes))]
    if game.actor[k] == TERMINAL:
        return [Fraction(v) for v in game.payoffs[np.flatnonzero(game.terminals == k)[0]]]
    if game.actor[k] == CHANCE:
        return [(a + 2 * b) / 3 for a, b in zip(*below)]
    return below[choices[game.infoset[k]]]


def by_definition(game: ExtensiveForm) -> set[tuple[int, ...]]:
    """Every way to play, less those where at some node a player has a better plan."""
    every = list(product((0, 1), repeat=game.num_infosets))
    left = set(every)
    for k in np.flatnonzero(game.actor != TERMINAL):
        values = {choices: worth(game, choices, k) for choices in every}
        for i in range(2):
            others = np.flatnonzero(game.owner != i)
            best: dict[tuple[int, ...], Fraction] = {}
            for choices, value in values.items():
                key = tuple(choices[s] for s in others)
                best[key] = max(best.get(key, value[i]), value[i])
            left -= {c for c in left if values[c][i] < best[tuple(c[s] for s in others)]}
    return left


def test_all_pure_ones_are_found_by_definition() -> None:
    rng, several = np.random.default_rng(0), 0
    for _ in range(60):
        game = read_efg('EFG 2 R "" { "ann" "bob" } ' + grown(rng, 4, [0]))
        if game.num_infosets > 7:
            continue
        found, want = subgame_perfect(game), by_definition(game)
        assert {tuple(c.tolist()) for c in found.choices} == want
        assert len(found.choices) == len(want) and found.complete
        assert [p.tolist() for p in found.payoffs] == [worth(game, c, 0) for c in found.choices]
        several += len(want) > 1
        for choices in product((0, 1), repeat=game.num_infosets):
            assert (one_move_regret(game, np.array(choices, int)) == 0) == (choices in want)
        fewer = subgame_perfect(game, most=1)
        assert len(fewer.choices) == 1 and fewer.complete == (len(want) == 1)
    assert several > 10


def test_what_players_do_not_know_is_refused() -> None:
    with pytest.raises(UserError, match="'0' player 1 does not know which of 2 nodes it is at"):
        subgame_perfect(kuhn())
    with pytest.raises(UserError, match="most is 0"):
        subgame_perfect(read_efg(CENTIPEDE), most=0)
