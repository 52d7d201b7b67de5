"""Private values: distributions, virtual values, and the best reserve price."""

import numpy as np
import pytest
from scipy import stats

from shoal.core.errors import UserError
from shoal.games.mechanisms.auctions import second_price
from shoal.games.mechanisms.private_values import STANDARD, Uniform, myerson_reserve, virtual_value


@pytest.mark.parametrize(
    ("distribution", "cost", "reserve"),
    [
        pytest.param(STANDARD, 0, 1 / 2, id="uniform"),
        pytest.param(STANDARD, 0.4, 0.7, id="uniform with a cost"),
        pytest.param(Uniform(0.0, 6.0), 0, 3, id="uniform to 6"),
        pytest.param(Uniform(2.0, 3.0), 0, 2, id="all values above their virtual zero"),
        pytest.param(stats.expon(scale=2.0), 1, 3, id="exponential: the mean plus the cost"),
        # F = v^2: v - (1 - v^2) / (2 v) = 0 at 1 / sqrt(3).
        pytest.param(stats.beta(2, 1), 0, 3**-0.5, id="F = v^2"),
    ],
)
def test_reserves_in_closed_form(distribution, cost: float | int, reserve: float | int) -> None:
    assert myerson_reserve(distribution, cost) == pytest.approx(reserve, rel=0, abs=1e-9)


def test_no_reserve_earns_more() -> None:
    best = second_price(2, reserve=myerson_reserve()).revenue
    assert best == pytest.approx(5 / 12, abs=1e-9)
    others = [second_price(2, reserve=r).revenue for r in np.linspace(0, 0.95, 20)]
    assert max(others) <= best + 1e-12


def test_uniform_is_scipys() -> None:
    mine, theirs = Uniform(1.0, 3.0), stats.uniform(1, 2)
    x, q = np.linspace(0, 4, 9), np.linspace(0, 1, 5)
    assert np.allclose(mine.cdf(x), theirs.cdf(x), 0, 1e-15)
    assert np.allclose(mine.pdf(x), theirs.pdf(x), 0, 1e-15)
    assert np.allclose(mine.ppf(q), theirs.ppf(q), 0, 1e-15)


def test_virtual_values_average_to_the_lowest_value() -> None:
    # E[v - (1 - F) / f] is the low end: what a seller surely gets.
    q = (np.arange(10_000) + 0.5) / 10_000
    distribution = Uniform(1.0, 3.0)
    assert np.mean(virtual_value(distribution.ppf(q), distribution)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Uniform(1.0, 1.0), r"\[1, 1\], expected low below high"),
        (lambda: myerson_reserve(stats.poisson(3)), "expected a continuous one"),
        (lambda: myerson_reserve(STANDARD, 2), "cost is 2: no virtual value"),
        # Two humps: between them hardly any density, so that the virtual value plunges.
        (lambda: myerson_reserve(stats.beta(0.2, 0.2)), "falls somewhere"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
