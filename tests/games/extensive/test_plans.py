"""Tables of random trees, perfect recall or not, against every map from information sets to moves,
played out in fractions."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.bimatrix import equilibria
from shoal.games.extensive.plans import num_plans, own_histories, perfect_recall
from shoal.games.extensive.reduced_form import to_normal_form
from shoal.games.extensive.tree import CHANCE, TERMINAL, extensive_form
from shoal.games.gambit.efg import read_efg, write_efg
from shoal.games.normal_form import NormalForm


class RandomTree:
    """Two players and chance. A node is who acts, what it sees, and its children; or payoffs.
    Information sets are numbers drawn at random, so that players forget, and meet themselves."""

    players, title = ("ann", "bob"), "random"

    def __init__(self, seed: int, sets: int):
        self.rng, self.sets = np.random.default_rng(seed), sets
        self.root = self.grown(4)

    def grown(self, depth: int):
        rng = self.rng
        if depth == 0 or rng.random() < 0.2:
            return tuple(Fraction(int(n), 10) for n in rng.integers(0, 4, 2))
        who = int(rng.integers(-1, 2))
        if who == CHANCE:
            first = int(rng.integers(1, 9))
            probs = [Fraction(first, 10), Fraction(9 - first, 10), Fraction(1, 10)]
            return who, probs, [self.grown(depth - 1) for _ in probs]
        return who, int(rng.integers(self.sets)), [self.grown(depth - 1) for _ in range(2)]

    def start(self):
        return self.root

    def to_move(self, node):
        return TERMINAL if isinstance(node[0], Fraction) else node[0]

    def chances(self, node):
        return list(enumerate(node[1]))

    def actions(self, node):
        return (0, 1)

    def play(self, node, move):
        return node[2][move]

    def sees(self, node):
        return str(node[1])

    def returns(self, node):
        return node


def worth(node, plans):
    """What both get if all follow full plans, and the information sets of each that were met."""
    if isinstance(node[0], Fraction):
        return np.array(node)
    who, at, children = node
    if who == CHANCE:
        return sum(p * worth(child, plans) for p, child in zip(at, children))
    return worth(children[plans[who][at]], plans)


def met(node, who: int, plan) -> set[int]:
    """The information sets of a player that its full plan does not rule out."""
    if isinstance(node[0], Fraction):
        return set()
    if node[0] == who:
        return {node[1]} | met(node[2][plan[node[1]]], who, plan)
    return set().union(*(met(child, who, plan) for child in node[2]))


@pytest.mark.parametrize("sets", [2, 3, 40], ids=["forgetful", "less so", "perfect information"])
def test_tables_against_all_full_plans(sets: int) -> None:
    forgets = entries = 0
    for seed in range(40):
        rules = RandomTree(seed, sets)
        game = extensive_form(rules)
        if game.num_infosets > 9:
            continue
        table = to_normal_form(game)
        forgets += not perfect_recall(game)
        mine = [[int(game.keys[s]) for s in np.flatnonzero(game.owner == i)] for i in (0, 1)]
        full = [[dict(zip(m, a)) for a in product((0, 1), repeat=len(m))] for m in mine]
        names = [[_name(rules, i, mine[i], plan) for plan in full[i]] for i in (0, 1)]
        assert [set(n) for n in names] == [set(a) for a in table.actions]
        exact = table.exact()
        for (a, first), (b, second) in product(*(zip(n, f) for n, f in zip(names, full))):
            at = table.actions[0].index(a), table.actions[1].index(b)
            assert exact[:, *at].tolist() == list(worth(rules.root, (first, second)))
            entries += 1
    assert entries > 300 and (forgets > 5) == (sets < 40)


def _name(rules: RandomTree, who: int, sets: list[int], plan: dict[int, int]) -> str:
    there = met(rules.root, who, plan)
    return " ".join(str(plan[s]) if s in there else "*" for s in sets) or "-"


def test_plans_are_counted_without_a_list_of_them() -> None:
    for seed in range(60):
        game = extensive_form(RandomTree(seed, 40))
        own = [own_histories(game, i) for i in (0, 1)]
        if perfect_recall(game):
            assert to_normal_form(game).num_actions == tuple(num_plans(game, o) for o in own)


def test_plans_of_who_forgets_are_refused_where_they_are_too_many() -> None:
    trees = (extensive_form(RandomTree(seed, 3)) for seed in range(20))
    game = next(tree for tree in trees if not perfect_recall(tree))
    entries = 2 * np.prod(to_normal_form(game).num_actions)
    assert to_normal_form(game, int(entries)).num_players == 2
    with pytest.raises(UserError, match="the limit is"):
        to_normal_form(game, int(entries) - 1)


@pytest.mark.parametrize("floats", [False, True], ids=["fractions", "decimals of a file"])
def test_payoffs_that_tie_in_fractions_alone(floats: bool) -> None:
    """A tenth and two tenths are three tenths: floats make 0.30000000000000004 of them, so that a
    tie would be missed, and with it equilibria. By the table that fractions make by hand."""
    tenths = '"x" 0.1 "y" 0.2 "z" 0.7' if floats else '"x" 1/10 "y" 1/5 "z" 7/10'
    # Ann bets on x or y (1 each) or takes .3; Bob, unseen, doubles her bet for himself or not.
    game = read_efg(f"""EFG 2 R "" {{ "ann" "bob" }}
    p "" 1 1 "" {{ "bet" "sure" }} 0
    p "" 2 1 "" {{ "in" "out" }} 0
    c "" 1 "" {{ {tenths} }} 0 t "" 1 "" {{ 1 1 }} t "" 1 t "" 2 "" {{ 0 0 }}
    c "" 1 "" 0 t "" 3 "" {{ 1 0.3 }} t "" 3 t "" 4 "" {{ 0 0.3 }}
    p "" 2 1 "" 0 t "" 5 "" {{ 0.3 0 }} t "" 6 "" {{ 0.3 1 }}""")
    table, tenth = to_normal_form(game), Fraction(3, 10)
    want = [[[tenth, tenth], [tenth, tenth]], [[tenth, tenth], [0, 1]]]
    assert table.exact().tolist() == want
    assert to_normal_form(read_efg(write_efg(game))).exact().tolist() == want
    by_hand = {((1, 0), (1, 0)), ((1, 0), (0, 1)), ((0, 1), (0, 1))}
    for exact in (True, False):
        found = equilibria(table, exact)
        assert {(tuple(x), tuple(y)) for x, y in found} == by_hand


def test_sums_of_any_length_are_exact() -> None:
    """Numbers of 1 to 80 digits in one tree, whose sums floats would lose."""
    numbers = [Fraction(10**80 + 1), Fraction(-(10**80)), Fraction(1, 10**40), Fraction(7, 3)]
    ends = " ".join(f't "" {i + 1} "" {{ {n} }}' for i, n in enumerate(numbers))
    game = read_efg(f"""EFG 2 R "" {{ "ann" }}
    c "" 1 "" {{ "1" 1/4 "2" 1/4 "3" 1/4 "4" 1/4 }} 0 {ends}""")
    table: NormalForm = to_normal_form(game)
    assert table.exact().ravel().tolist() == [sum(numbers) / 4]
