"""Exact power in weighted voting: against all coalitions, all orders and what is published."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.cooperative.voting import voting_power


def by_all_coalitions(quota, weights):
    n = len(weights)
    shapley, banzhaf = [Fraction(0)] * n, [Fraction(0)] * n
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            for s in combinations(others, size):
                before = sum(weights[j] for j in s)
                if before < quota <= before + weights[i]:
                    shapley[i] += Fraction(
                        math.factorial(size) * math.factorial(n - 1 - size), math.factorial(n)
                    )
                    banzhaf[i] += Fraction(1, 2 ** (n - 1))
    return shapley, banzhaf


def test_against_all_coalitions() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        weights = [Fraction(int(w), 10) for w in rng.integers(0, 9, rng.integers(1, 8))]
        if not sum(weights):
            continue
        quota = Fraction(int(rng.integers(1, 10 * sum(weights) + 1)), 10)
        power = voting_power(float(quota), [float(w) for w in weights])
        shapley, banzhaf = by_all_coalitions(quota, weights)
        assert power.shapley.tolist() == shapley and power.banzhaf.tolist() == banzhaf


def test_the_security_council() -> None:
    """Five with a veto, ten without, nine of all needed: 421/2145 and 4/2145 (Shapley and Shubik's
    method on the council of 15; Straffin 1994)."""
    power = voting_power(39, [7] * 5 + [1] * 10)
    assert power.shapley[0] == Fraction(421, 2145) and power.shapley[-1] == Fraction(4, 2145)
    assert power.banzhaf[0] == Fraction(848, 2**14) and power.banzhaf[-1] == Fraction(84, 2**14)


def test_two_hundred_voters() -> None:
    """Of one weight all have one power; of a president and 200 who decide by majority the president
    is pivotal by the place that it comes at alone."""
    same = voting_power(101, [1] * 200)
    assert set(same.shapley) == {Fraction(1, 200)}
    assert set(same.banzhaf) == {Fraction(math.comb(199, 100), 2**199)}
    rng = np.random.default_rng(1)
    weights = rng.integers(1, 12, 200)
    power = voting_power(int(weights.sum()) // 2 + 1, weights)
    assert sum(power.shapley) == 1
    assert (np.diff(power.shapley[np.argsort(weights, kind="stable")]) >= 0).all()
    head = voting_power(151, [50] + [1] * 199)  # pivotal after 101 to 150 of the others
    assert head.shapley[0] == Fraction(50, 200)


@pytest.mark.parametrize(
    ("quota", "weights", "said"),
    [
        (0, [1, 2], "the quota is 0, expected above 0"),
        (4, [1, 2], "the sum of the weights, 3"),
        (1, [1, -2], "expected none below 0"),
        (float("nan"), [1], "expected a finite number"),
        (1, [0.123456789, 1e9], "round the weights"),
    ],
)
def test_what_is_no_vote_is_refused(quota, weights, said: str) -> None:
    with pytest.raises(UserError) as error:
        voting_power(quota, weights)
    assert said in str(error.value)
