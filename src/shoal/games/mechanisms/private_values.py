r"""Private values: how bidders' values are drawn, and what a seller should ask for at least.

    virtual value  v - (1 - F(v)) / f(v);   the best reserve price is where it is the seller's cost

Myerson 1981.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar

from shoal.core.errors import require


@runtime_checkable
class Distribution(Protocol):
    """How a bidder's value is drawn: as the frozen distributions of `scipy.stats`."""

    def cdf(self, x: Any) -> Any:
        """The chance of at most x, F."""
        ...

    def ppf(self, q: Any) -> Any:
        """The quantile function, F's inverse."""
        ...

    def pdf(self, x: Any) -> Any:
        """The density f."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Values spread evenly over [low, high]."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self):
        require(
            self.low < self.high,
            f"the interval is [{self.low:g}, {self.high:g}], expected low below high",
        )

    def cdf(self, x: Any) -> Any:
        return np.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)

    def ppf(self, q: Any) -> Any:
        return self.low + q * (self.high - self.low)

    def pdf(self, x: Any) -> Any:
        return np.where((x >= self.low) & (x <= self.high), 1 / (self.high - self.low), 0.0)


STANDARD = Uniform()
"""Values between 0 and 1, the distribution of the textbooks."""


def virtual_value(value: Any, distribution: Distribution) -> Any:
    """What a sale to this value is worth to the seller, $v - (1 - F(v)) / f(v)$ (Myerson 1981)."""
    return value - (1 - distribution.cdf(value)) / distribution.pdf(value)


def myerson_reserve(distribution: Any = STANDARD, cost: float | int = 0) -> float:
    """The reserve price that maximises revenue, whatever the number of bidders: where the virtual
    value is what the item is worth to the seller, `cost` (Myerson 1981).

    Raises:
        UserError: the virtual value falls somewhere, so that the best auction is not one with a
            reserve; nobody values the item at more than its cost.

    >>> round(myerson_reserve(), 9)
    0.5
    """
    check_continuous(distribution)
    values = np.array([float(distribution.ppf(u)) for u in ranks_up(0.0, 513)[1:-1]])
    worth = np.array([float(virtual_value(v, distribution)) for v in values])
    require(
        bool((np.diff(worth) >= -1e-9 * max(1.0, float(np.abs(worth).max()))).all()),
        "the virtual value v - (1 - F) / f falls somewhere: the best auction irons it and is not "
        "one with a reserve price",
    )
    require(bool(worth[-1] > cost), f"the cost is {cost:g}: no virtual value is above it")
    if worth[0] >= cost:
        lowest = float(distribution.ppf(0.0))
        return lowest if np.isfinite(lowest) else float(values[0])
    found = root_scalar(
        lambda v: float(virtual_value(v, distribution)) - cost,
        bracket=(values[0], values[-1]),
        method="brentq",
        xtol=1e-14,
    )
    return float(found.root)


def check_continuous(distribution: Any) -> None:
    """Raises `UserError` for values that are not drawn from a continuum: they have no density."""
    require(
        isinstance(distribution, Distribution),
        "the distribution of values has no cdf, pdf and ppf: expected a continuous one",
    )


def ranks_up(lowest: float, count: int) -> Float[np.ndarray, "K"]:
    """Ranks from that of the lowest bidder to nearly 1, where values may be infinite."""
    return np.linspace(lowest, 1 - 1e-6, count)
