"""Matching: against all stable matchings by brute force, hospitals, trading cycles, strategy."""

import itertools

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.mechanisms.matching import (
    blocking_pairs,
    gale_shapley,
    is_stable,
    top_trading_cycles,
)


def random_lists(agents: int, others: int, seed: int, least: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [
        rng.permutation(others)[: rng.integers(least, others + 1)].tolist() for _ in range(agents)
    ]


def all_stable(proposers, receivers, capacities=None) -> list[list[int]]:
    """Every stable matching, by the definition, pair by pair."""
    places = capacities or [1] * len(receivers)
    found = []
    for partner in itertools.product(range(-1, len(receivers)), repeat=len(proposers)):
        held = [[i for i, p in enumerate(partner) if p == h] for h in range(len(receivers))]
        if any(len(suitors) > c for suitors, c in zip(held, places)):
            continue
        pairs = [(i, p) for i, p in enumerate(partner) if p >= 0]
        if any(p not in proposers[i] or i not in receivers[p] for i, p in pairs):
            continue

        def better(i, h, partner=partner, held=held):
            if h not in proposers[i] or i not in receivers[h] or partner[i] == h:
                return False
            mine = partner[i] == -1 or proposers[i].index(h) < proposers[i].index(partner[i])
            rank = receivers[h].index
            return mine and (len(held[h]) < places[h] or any(rank(i) < rank(j) for j in held[h]))

        if not any(better(i, h) for i in range(len(proposers)) for h in range(len(receivers))):
            found.append(list(partner))
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("capacities", [None, [2, 1, 0], [2, 2, 1]], ids=str)
def test_the_best_stable_matching_for_proposers(seed: int, capacities: list[int] | None) -> None:
    proposers, receivers = random_lists(4, 3, seed, 1), random_lists(3, 4, seed + 99, 2)
    found = gale_shapley(proposers, receivers, capacities)
    every = all_stable(proposers, receivers, capacities)
    assert found.partner in every and found.stable
    for i, wanted in enumerate(proposers):
        ranks = [wanted.index(m[i]) if m[i] >= 0 else len(wanted) for m in every]
        mine = wanted.index(found.partner[i]) if found.partner[i] >= 0 else len(wanted)
        assert mine == min(ranks)
    # The checks agree with the definition on every matching that keeps to capacities.
    for partner in itertools.product(range(-1, 3), repeat=4):
        if all(partner.count(h) <= (capacities or [1] * 3)[h] for h in range(3)):
            assert is_stable(partner, proposers, receivers, capacities) is (list(partner) in every)


def test_by_hand() -> None:
    # Gale, Shapley 1962, example 1: all get their first choice, and the others their last.
    men, women = [[0, 1, 2], [1, 2, 0], [2, 0, 1]], [[1, 2, 0], [2, 0, 1], [0, 1, 2]]
    assert gale_shapley(men, women).partner == [0, 1, 2]
    assert gale_shapley(women, men).partner == [1, 2, 0]
    assert len(all_stable(men, women)) == 3


def test_hospitals_by_hand() -> None:
    found = gale_shapley([[0], [0, 1], [0, 1], [1, 0]], [[2, 1, 3, 0], [0, 3, 1]], [2, 1])
    assert found.partner == [-1, 0, 0, 1] and found.held == [[2, 1], [3]]


def test_blocking_pairs_by_hand() -> None:
    men, women = [[0, 1], [0, 1]], [[1, 0], [0, 1]]
    assert blocking_pairs([0, 1], men, women) == [(1, 0)]
    assert blocking_pairs([-1, 0], men, women) == [(0, 1)]
    assert not is_stable([0], [[]], [[0]])  # no pair blocks, but the proposer would rather be alone


def test_no_proposer_gains_by_a_lie() -> None:
    proposers, receivers = random_lists(3, 3, 1, 3), random_lists(3, 3, 8, 3)
    honest = gale_shapley(proposers, receivers).partner
    for i, wanted in enumerate(proposers):
        for count in range(4):
            for lie in itertools.permutations(range(3), count):
                told = [list(lie) if j == i else other for j, other in enumerate(proposers)]
                got = gale_shapley(told, receivers).partner[i]
                assert got == -1 or wanted.index(got) >= wanted.index(honest[i])


@pytest.mark.parametrize("seed", range(5))
def test_trading_cycles_leave_no_group_better_off(seed: int) -> None:
    wanted = random_lists(4, 4, seed, 4)
    got = top_trading_cycles(wanted)
    assert sorted(got) == [0, 1, 2, 3]
    for size in range(1, 5):
        for group in itertools.combinations(range(4), size):
            for trade in itertools.permutations(group):
                ranks = [
                    (wanted[i].index(h), wanted[i].index(got[i])) for i, h in zip(group, trade)
                ]
                worse = any(new > old for new, old in ranks)
                assert worse or all(new == old for new, old in ranks)


def test_trading_cycles_by_hand() -> None:
    # 0 and 1 swap; 2 then gets its second choice, its own; 3 wants nothing else.
    assert top_trading_cycles([[1], [0], [0, 2, 3], []]) == [1, 0, 2, 3]
    # The same houses under other owners.
    assert top_trading_cycles([[0], [1]], owned=[1, 0]) == [0, 1]
    # 0 points at 1, which is in no cycle with it: it joins one later.
    assert top_trading_cycles([[1, 2], [2], [1, 0]]) == [0, 2, 1]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: gale_shapley([[2]], [[0]]),
            "proposer 0 ranks receiver 2, expected",
        ),
        (lambda: gale_shapley([[0, 0]], [[0]]), "proposer 0 ranks receiver 0 twice"),
        (lambda: gale_shapley([[0]], [[1]]), "receiver 0 ranks proposer 1"),
        (lambda: gale_shapley([[0]], [[0]], [-1]), r"capacities are \[-1\]"),
        (lambda: is_stable([0, 0], [[0], [0]], [[0, 1]]), "receiver 0 has more proposers"),
        (lambda: is_stable([3], [[0]], [[0]]), "partner 3 is not a receiver"),
        (lambda: is_stable([], [[0]], [[0]]), "0 partners, expected 1"),
        (lambda: top_trading_cycles([[0], [1]], owned=[0, 0]), "expected each of 0 to 1 once"),
        (lambda: top_trading_cycles([[5]]), "agent 0 ranks house 5"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
