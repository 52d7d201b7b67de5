"""VCG: payments by hand, the best allotment by brute force, and truth as a best reply on a grid."""

import itertools

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.mechanisms.vcg import vcg, vcg_assignment


def random_bundles(bidders: int, items: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 20, (bidders, 1 << items)).astype(float)
    values[:, 0] = 0
    return values


def brute_force(values: np.ndarray) -> float:
    """The most welfare over all ways to give each item to someone or nobody."""
    bidders, items = len(values), values.shape[1].bit_length() - 1
    best = 0.0
    for owners in itertools.product(range(-1, bidders), repeat=items):
        masks = [sum(1 << k for k in range(items) if owners[k] == i) for i in range(bidders)]
        best = max(best, sum(values[i, mask] for i, mask in enumerate(masks)))
    return best


def test_a_pair_against_two_by_hand() -> None:
    # Alone, the first would get both items for 10; the others' worth with and without each.
    found = vcg([[0, 0, 0, 10], [0, 6, 0, 6], [0, 0, 7, 7]])
    assert found.bundles == ((), (0,), (1,)) and found.welfare == 13
    assert found.payments.tolist() == [0, 3, 4] and found.utilities.tolist() == [0, 3, 3]
    assert found.revenue == 7


def test_one_item_is_a_second_price_auction() -> None:
    found = vcg([[0, 3], [0, 9], [0, 5]])
    assert found.bundles == ((), (0,), ()) and found.payments.tolist() == [0, 5, 0]
    assert vcg_assignment([[3], [9], [5]]).payments.tolist() == [0, 5, 0]


def test_items_that_nobody_wants_are_left() -> None:
    assert vcg([[0, -1, 2, -3]]).bundles == ((1,),)
    found = vcg_assignment([[-1.0, 2.0], [-4.0, 1.0]])
    assert found.bundles == ((1,), ()) and found.payments.tolist() == [1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_against_brute_force(seed: int) -> None:
    values = random_bundles(3, 3, seed)
    found = vcg(values)
    assert found.welfare == brute_force(values)
    taken = [k for bundle in found.bundles for k in bundle]
    assert len(taken) == len(set(taken))  # no item twice
    got = [values[i, sum(1 << k for k in bundle)] for i, bundle in enumerate(found.bundles)]
    assert sum(got) == found.welfare
    for i in range(3):
        without = brute_force(np.delete(values, i, 0))
        assert found.payments[i] == without - (found.welfare - got[i])
    assert (found.utilities >= 0).all() and (found.payments >= 0).all()


@pytest.mark.parametrize("rule", [vcg, vcg_assignment])
def test_truth_is_a_best_reply(rule) -> None:
    rng = np.random.default_rng(0)
    values = random_bundles(3, 2, 5)
    honest = rule(values if rule is vcg else values[:, 1:3])
    gained = []
    for _ in range(200):
        told = values.copy()
        told[0, 1:] = rng.integers(-2, 25, 3)
        found = rule(told if rule is vcg else told[:, 1:3])
        real = values[0, sum(1 << k for k in found.bundles[0])]
        gained.append(real - found.payments[0] - honest.utilities[0])
    assert max(gained) <= 1e-12 and min(gained) < 0  # to lie never helps, and may hurt


@pytest.mark.parametrize(("bidders", "items"), [(4, 3), (2, 4), (3, 3)])
def test_assignment_is_vcg_of_single_items(bidders: int, items: int) -> None:
    single = np.random.default_rng(bidders).random((bidders, items))
    masks = [[k for k in range(items) if m >> k & 1] for m in range(1 << items)]
    bundles = np.array(
        [[max((row[k] for k in mask), default=0) for mask in masks] for row in single]
    )
    one, other = vcg_assignment(single), vcg(bundles)
    assert one.welfare == pytest.approx(other.welfare, abs=1e-12)
    assert np.allclose(one.payments, other.payments, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: vcg([[0, 1, 2]]), r"3 columns, expected 2\^M"),
        (lambda: vcg([[1, 1]]), "empty bundle has a value"),
        (lambda: vcg([[0, float("inf")]]), "finite"),
        (lambda: vcg([[0, 1], [0]]), "ragged"),
        (lambda: vcg(np.zeros((1, 2**13))), "13 items, expected at most 12.*vcg_assignment"),
        (lambda: vcg_assignment([1.0, 2.0]), r"shape \[2\], expected a matrix"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
