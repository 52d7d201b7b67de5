"""Trees: their sizes, what policies are worth on them, and what is refused."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.extensive.goofspiel import goofspiel
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.leduc import leduc as leduc_tree
from shoal.games.extensive.liars_dice import liars_dice
from shoal.games.extensive.policy_values import best_response, exploitability, nash_conv, value
from shoal.games.extensive.reduced_form import to_normal_form
from shoal.games.extensive.sequence_arrays import group_sum, sequence_arrays
from shoal.games.extensive.sequences import improvements, split
from shoal.games.extensive.tic_tac_toe import _TicTacToe
from shoal.games.extensive.tree import CHANCE, TERMINAL, ExtensiveForm, extensive_form
from shoal.games.normal_form import expected_payoffs
from shoal.games.plots.tree import draw_tree

leduc = cache(leduc_tree)


@dataclass(frozen=True)
class Told:
    """Rules from a dictionary: `{history: (who, moves or chances, key) or returns}`."""

    tree: dict[str, Any]
    players: tuple[str, ...] = ("ann", "bob")
    title: str = "told"

    def start(self) -> str:
        return ""

    def to_move(self, state: str) -> int:
        return TERMINAL if isinstance(self.tree[state], list) else self.tree[state][0]

    def chances(self, state: str) -> Any:
        return self.tree[state][1]

    def actions(self, state: str) -> Any:
        return self.tree[state][1]

    def play(self, state: str, move: str) -> str:
        return state + move

    def sees(self, state: str) -> str:
        return self.tree[state][2]

    def returns(self, state: str) -> Any:
        return self.tree[state]


PENNIES = Told(
    {
        "": (0, "ht", "start"),
        "h": (1, "ht", "unseen"),
        "t": (1, "ht", "unseen"),
        "hh": [1, -1],
        "ht": [-1, 1],
        "th": [-1, 1],
        "tt": [1, -1],
    }
)
FORGETFUL = Told(
    {
        "": (CHANCE, [("a", 0.5), ("b", 0.5)], ""),
        "a": (0, "x", "it was a"),
        "b": (0, "x", "it was b"),
        "ax": (0, "lr", "what was it?"),
        "bx": (0, "lr", "what was it?"),
        "axl": [1, 0],
        "axr": [0, 1],
        "bxl": [0, 1],
        "bxr": [1, 0],
    }
)


def kuhn_equilibrium(game: ExtensiveForm, alpha: float) -> np.ndarray:
    """Kuhn's family: how often each information set bets (or calls), for alpha in [0, 1/3]."""
    bets = {
        (0, "0"): alpha,
        (0, "1"): 0.0,
        (0, "2"): 3 * alpha,
        (0, "0 pass bet"): 0.0,
        (0, "1 pass bet"): alpha + 1 / 3,
        (0, "2 pass bet"): 1.0,
        (1, "0 pass"): 1 / 3,
        (1, "1 pass"): 0.0,
        (1, "2 pass"): 1.0,
        (1, "0 bet"): 0.0,
        (1, "1 bet"): 1 / 3,
        (1, "2 bet"): 1.0,
    }
    bet = np.array([bets[who, key] for who, key in zip(game.owner.tolist(), game.keys)])
    return np.stack([1 - bet, bet], 1)


@pytest.mark.parametrize(
    ("build", "nodes", "ends", "infosets"),
    [
        # Kuhn: 1 + 3 deals of the first card, 6 deals of both, each with 9 nodes of bets.
        pytest.param(lambda: kuhn(), 1 + 3 + 6 * 9, 6 * 5, 12, id="kuhn"),
        pytest.param(lambda: kuhn(3), 617, 24 * 13, 48, id="kuhn of 3"),
        # (2n - 1) 2^(n - 1) + 1 ends of the bets of n players: 5, 13, 33.
        pytest.param(lambda: kuhn(4), 7886, 120 * 33, 160, id="kuhn of 4"),
        pytest.param(leduc, 9457, 5520, 936, id="leduc"),
        # 1 + 4 bids, then 4 x 3 x 3 and 4 x 9 x 2 x 2, by two players in turn.
        pytest.param(
            lambda: goofspiel(4), 1 + 4 + 16 + 48 + 144 + 288 + 576, 576, 162, id="goofspiel"
        ),
        # 9 rolls, then sets of the 6 bids: 2^6 ways to bid, all but one of which may be called.
        pytest.param(lambda: liars_dice(1, 3), 4 + 9 * (64 + 63), 9 * 63, 3 * 64, id="liar's dice"),
        pytest.param(lambda: extensive_form(PENNIES), 7, 4, 2, id="pennies"),
    ],
)
def test_sizes(build, nodes: int, ends: int, infosets: int) -> None:
    game = build()
    assert (game.num_nodes, len(game.terminals), game.num_infosets) == (nodes, ends, infosets)
    up = game.parent[1:]
    assert (up < np.arange(1, game.num_nodes)).all() and (np.diff(up) >= 0).all()
    by_chance = np.bincount(up, game.chance[1:], game.num_nodes)[game.actor == CHANCE]
    assert np.allclose(by_chance, 1, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "uniform", "first"),
    [(kuhn, 11 / 12, 2.0), (leduc, 4.747222222222222, 2.0)],
    ids=["kuhn", "leduc"],
)
def test_nash_conv_of_simple_policies(build, uniform: float, first: float) -> None:
    """As in OpenSpiel's tests."""
    game = build()
    assert nash_conv(game, game.uniform()) == pytest.approx(uniform, abs=1e-9)
    assert exploitability(game, game.uniform()) == pytest.approx(uniform / 2, abs=1e-9)
    assert nash_conv(game, game.first_action()) == pytest.approx(first, abs=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1 / 3])
def test_kuhns_equilibria(alpha: float) -> None:
    game = kuhn()
    policy = kuhn_equilibrium(game, alpha)
    assert value(game, policy) == pytest.approx([-1 / 18, 1 / 18], abs=1e-12)
    assert nash_conv(game, policy) == pytest.approx(0, abs=1e-12)
    policy[game.keys.index("1 bet")] = 0.6, 0.4  # calls too often: bluff less, and it pays
    assert nash_conv(game, policy) > 0.01


@pytest.mark.parametrize("build", [kuhn, lambda: kuhn(3), lambda: goofspiel(3, "random"), leduc])
def test_a_best_response_gains_what_it_says_and_nothing_gains_more(build) -> None:
    game, rng = build(), np.random.default_rng(0)
    policies = [_random(game, rng) for _ in range(4)]
    for i in range(game.num_players):
        best = best_response(game, policies[0], i)
        assert best.value == pytest.approx(value(game, best.policy)[i], abs=1e-12)
        for other in policies:
            mixed = np.where((game.owner == i)[:, None], other, policies[0])
            assert value(game, mixed)[i] <= best.value + 1e-12
    form = sequence_arrays(game, chance_plays=True)  # another arrangement of the same numbers
    gaps = improvements(form, split(form, policies[0]))
    assert gaps.sum() == pytest.approx(nash_conv(game, policies[0]), abs=1e-12)


@pytest.mark.parametrize("players", [2, 3])
def test_the_normal_form_agrees_with_the_tree(players: int) -> None:
    """A policy is worth what the mixture of plans is that takes each plan as often as the policy
    would make its moves; and the best plan is a best response."""
    game = kuhn(players) if players == 2 else extensive_form(_three())
    table, policy = to_normal_form(game), _random(game, np.random.default_rng(1))
    mixed = []
    for i, names in enumerate(table.actions):
        mine = np.flatnonzero(game.owner == i)
        chances = [
            [policy[s, game.actions[s].index(m)] for s, m in zip(mine, name.split()) if m != "*"]
            for name in names
        ]
        mixed.append(np.array([np.prod(c) for c in chances]))
    assert [x.sum() for x in mixed] == pytest.approx([1] * players)
    assert expected_payoffs(table, mixed) == pytest.approx(value(game, policy), abs=1e-12)
    if players == 2:
        assert table.num_actions == (27, 64)
        plans = table.payoffs[0] @ mixed[1]
        assert plans.max() == pytest.approx(best_response(game, policy, 0).value, abs=1e-12)


def test_sums_by_group() -> None:
    rng = np.random.default_rng(0)
    for groups, size in (
        (rng.integers(0, 50, 1000), 60),
        (np.zeros(5000, int), 3),
        (np.arange(7)[::-1].copy(), 7),
        (np.zeros(0, int), 4),
        (np.r_[np.zeros(3000, int), np.arange(3000)], 3000),
        (np.r_[np.zeros(64, int), np.arange(20_000)], 20_000),  # one long group among many of one
    ):
        x = rng.normal(size=len(groups))
        want = np.bincount(groups, x, size)
        assert np.allclose(group_sum(groups, size)(x), want, atol=1e-10)


def test_tic_tac_toe_by_its_rules() -> None:
    rules = _TicTacToe()
    assert rules.to_move((0, 3, 1, 4)) == 0 and rules.actions((0, 3, 1, 4)) == [2, 5, 6, 7, 8]
    assert rules.to_move((0, 3, 1, 4, 2)) == TERMINAL and rules.returns((0, 3, 1, 4, 2)) == (1, -1)
    assert rules.returns((0, 4, 1, 2, 8, 6)) == (-1, 1)  # the other diagonal
    draw = (0, 1, 2, 4, 3, 5, 7, 6, 8)
    assert rules.to_move(draw) == TERMINAL and rules.returns(draw) == (0, 0)


def test_drawing(tmp_path: Path) -> None:
    drawn = draw_tree(kuhn(), tmp_path / "kuhn.png")
    assert drawn.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(UserError, match="5520 leaves, and a picture can show 300"):
        draw_tree(leduc(), tmp_path / "leduc.png")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: kuhn(), "kuhn_poker"),
        (lambda: kuhn(3), "kuhn_poker(players=3)"),
        (lambda: kuhn(4), "kuhn_poker(players=4)"),
        (leduc, "leduc_poker"),
        (lambda: liars_dice(1, 4), "liars_dice(dice_sides=4)"),
        (
            lambda: goofspiel(4),
            "turn_based_simultaneous_game(game=goofspiel(imp_info=true,num_cards=4,"
            "points_order=descending))",
        ),
        (
            lambda: goofspiel(3, "random", "point_difference"),
            "turn_based_simultaneous_game(game=goofspiel(imp_info=true,num_cards=3,"
            "points_order=random,returns_type=point_difference))",
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_as_in_openspiel(ours, theirs: str) -> None:
    pyspiel = pytest.importorskip("pyspiel")
    exploit = pytest.importorskip("open_spiel.python.algorithms.exploitability")
    policies = pytest.importorskip("open_spiel.python.policy")
    game, peer = ours(), pyspiel.load_game(theirs)
    uniform = policies.TabularPolicy(peer)
    assert game.num_infosets == len(uniform.states)
    want = exploit.nash_conv(peer, uniform)
    assert nash_conv(game, game.uniform()) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: kuhn(1), "2 to 4 players, not 1"),
        (lambda: goofspiel(4, "descendign"), "did you mean 'descending'"),
        (lambda: goofspiel(1), "at least 2 cards, not 1"),
        (lambda: goofspiel(3, returns="points"), "unknown kind of returns 'points'"),
        (lambda: liars_dice(0), "at least one die, not 0"),
        (lambda: liars_dice(1, 1), "at least two sides, not 1"),
        (lambda: extensive_form(PENNIES, max_nodes=5), "more than 5 nodes at depth 2"),
        (lambda: _told("hh", [1]), r"returns are \[1\], expected 2 finite"),
        (lambda: _told("", (CHANCE, [("h", 0.5), ("t", 0.4)], "")), "not a distribution"),
        (lambda: _told("", (2, "ht", "start")), "player 2 acts, of 2 players"),
        (lambda: _told("h", (1, "hx", "unseen")), r"'unseen' of bob has actions"),
        (lambda: _told("h", (1, "", "no moves")), "'no moves' of bob has no actions"),
        (lambda: nash_conv(extensive_form(FORGETFUL), np.eye(1, 2).repeat(3, 0)), "what was it"),
        (lambda: nash_conv(kuhn(), kuhn().uniform()[:3]), r"shape \[3, 2\], expected \[12, 2\]"),
        (lambda: nash_conv(kuhn(), kuhn().uniform() * 0.9), "a distribution over 2 actions"),
        (lambda: nash_conv(kuhn(), kuhn().uniform() * np.nan), "a distribution over 2 actions"),
        (lambda: nash_conv(leduc(), np.full((936, 3), 1 / 3)), "a distribution over 2 actions"),
        (lambda: best_response(kuhn(), kuhn().uniform(), 2), "no player 2: they are 0 to 1"),
        (lambda: to_normal_form(leduc()), "the limit is 10,000,000: solve the tree"),
    ],
)
def test_mistakes_are_named(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build()


def test_values_need_no_recall() -> None:
    game = extensive_form(FORGETFUL)
    assert value(game, np.eye(1, 2).repeat(3, 0)).tolist() == [0.5, 0.5]


def _told(state: str, instead: Any) -> ExtensiveForm:
    return extensive_form(Told(PENNIES.tree | {state: instead}))


def _random(game: ExtensiveForm, rng: np.random.Generator) -> np.ndarray:
    weights = rng.random(game.legal.shape) * game.legal
    return weights / weights.sum(1, keepdims=True)


def _three() -> Told:
    """Three move in turn, the third unseen by nobody; payoffs are the moves' places."""
    tree: dict[str, Any] = {"": (0, "ab", "a")}
    for x in "ab":
        tree[x] = (1, "cd", "hidden")
        for y in "cd":
            tree[x + y] = (2, "ef", x)  # sees the first move only
            for z in "ef":
                tree[x + y + z] = [float(ord(m) % 7) for m in x + y + z]
    return Told(tree, ("ann", "bob", "cid"))
