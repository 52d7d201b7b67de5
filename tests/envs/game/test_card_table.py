"""Pictures of games of cards and dice: hands, moves, what was paid and who wins."""

import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.core.picture import Circle, Polygon, Rectangle, Text
from shoal.envs.game.card_table import PRIZE, WON, Play, draw_hands
from shoal.envs.game.tree import TreeState


def at(world, *moves):
    """The picture after the moves of chance and players, by name."""
    form, node = world.form, 0
    for move in moves:
        below = np.flatnonzero(form.parent == node)
        node = int(next(k for k in below if form.moves[k] == move))
    return world.draw(TreeState(jnp.int32(node)))


def texts(picture):
    return [shape.text for shape in picture.shapes if isinstance(shape, Text)]


@pytest.mark.parametrize(
    ("moves", "said", "message"),
    [
        ("0 2", "J K|paid 1 paid 1 2 in the pot|player 1 is to move", {}),
        ("1 0 pass bet", "Q J|pass bet paid 1 paid 2 3 in the pot|player 1 is to move", "bet"),
        ("1 0 pass bet bet", "Q J|pass, bet bet paid 2 paid 2 4 in the pot|player 1 wins 2", "bet"),
        ("1 2 bet pass", "Q K|bet pass paid 2 paid 1 3 in the pot|player 1 wins 1", "pass"),
    ],
)
def test_kuhn_shows_cards_moves_and_the_pot(moves, said, message):
    picture = at(shoal.make("game/kuhn"), *moves.split())
    told = texts(picture)
    cards, rest, outcome = said.split("|")
    assert [t for t in told if t in ("J", "Q", "K")] == cards.split()
    assert outcome in told
    for word in ("paid 1", "paid 2", "pass, bet", "2 in the pot", "3 in the pot", "4 in the pot"):
        assert told.count(word) == rest.count(word)
    assert list(picture.messages.values()) == ([message] if message else [])
    assert not any("chance" in t for t in told)


def test_more_players_have_more_ranks():
    assert [t for t in texts(at(shoal.make("game/kuhn", players=4), *"0413")) if len(t) == 1] == [
        *"TAJK"
    ]


def test_leduc_shows_the_public_card_and_what_raises_cost():
    world = shoal.make("game/leduc")
    before = at(world, "0", "3", "raise")
    assert {"J", "Q", "paid 3", "paid 1", "4 in the pot"} <= set(texts(before))
    diamonds = [s.color for s in before.shapes if isinstance(s, Polygon)]
    assert len(set(diamonds)) == 2  # the suits
    # 1 each, a raise of 2 that is called; a raise of 4, which is raised, 3 + 8, and not called.
    end = texts(at(world, "0", "3", "raise", "call", "5", "raise", "raise", "fold"))
    assert {"K", "raise, raise, fold", "call, raise", "paid 7", "18 in the pot"} <= {*end}
    assert end[-1] == "player 2 wins 7"
    tie = texts(at(world, "0", "1", "call", "call", "4", "call", "call"))
    assert tie[-1] == "nobody wins"


def test_goofspiel_shows_tricks_and_points():
    world = shoal.make("game/goofspiel", cards=3)
    during = at(world, "2", "1", "3")
    edges = [s.color for s in during.shapes if isinstance(s, Rectangle)]
    assert edges.count(WON) == 1 and edges.count(PRIZE) == 2
    told = texts(during)
    assert told[-3:] == ["3 points", "0 points", "player 2 is to move"]
    # 3 for 2 against 1; 2 for 1 against 3; the last trick plays itself: 1 for 3 against 2.
    end = texts(at(world, "2", "1", "1", "3"))
    assert end[-3:] == ["4 points", "2 points", "player 1 wins 1"]
    drawn = shoal.make("game/goofspiel", cards=3, order="random")
    assert "1 point" in texts(at(drawn, "1", "3", "2", "3"))  # prize 1 for 3 against 2


def test_dice_have_pips():
    picture = at(shoal.make("game/liars_dice", dice=2, sides=2), "(1, 2)", "(2, 2)", "1x1", "2x2")
    small = [s for s in picture.shapes if isinstance(s, Circle) and not s.label]
    assert len(small) == 1 + 2 + 2 + 2
    assert sum(isinstance(s, Rectangle) for s in picture.shapes) == 2 * 4
    assert picture.messages == {"player_2": "2x2"} and "1x1" in texts(picture)
    seven = draw_hands("", ["a"], ["a"], Play([], 0, None), [[7]])
    assert "7" in texts(seven)
