"""How good outcomes are for all: welfare, Pareto optima, and what selfishness costs.

    price of anarchy = optimum / worst equilibrium,   of stability = optimum / best equilibrium

(Koutsoupias and Papadimitriou 1999; Anshelevich et al. 2004). Of costs the inverses are taken, so
that both are 1 or more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal.core.errors import require, unknown
from shoal.games.dominance import dominating
from shoal.games.exact_programs import MOST
from shoal.games.normal_form import (
    NormalForm,
    Profile,
    check_profile,
    expected_payoffs,
    pure,
    regret,
)
from shoal.games.pure_equilibria import pure_action_profiles

SOCIAL = ("welfare", "fairness")
AMONG = ("pure", "correlated")


@dataclass(frozen=True)
class Price:
    """The optimum against an equilibrium; `float(price)` is the ratio."""

    ratio: float
    """1 or more; infinite where the worse of the two is worth nothing."""
    optimum: tuple[int, ...]
    """An action profile where all together are best off."""
    optimum_value: float
    """Its social value: of costs the cost."""
    equilibrium: tuple[np.ndarray, ...]
    """The worst equilibrium, of anarchy, or the best, of stability."""
    equilibrium_value: float
    """Its social value, expected."""
    regret: float
    """The certificate: the most that a player could gain by leaving the equilibrium."""
    method: str

    def __float__(self) -> float:
        return self.ratio


def welfare(game: NormalForm, profile: Profile) -> float:
    """The sum of the expected payoffs.

    >>> welfare(NormalForm.symmetric([[3, 0], [5, 1]]), ([1, 0], [1, 0]))
    6.0
    """
    return float(expected_payoffs(game, check_profile(game, profile)).sum())


def pareto_front(game: NormalForm) -> list[tuple[int, ...]]:
    """The action profiles that no other one dominates: none is better for one and as good for all.

    >>> pareto_front(NormalForm.symmetric([[3, 0], [5, 1]]))
    [(0, 0), (0, 1), (1, 0)]
    """
    values = np.asarray(game.payoffs, np.float64).reshape(game.num_players, -1).T
    # By their sums, and then by each payoff: none is dominated by one that comes after it.
    left = np.lexsort((*values.T[::-1], values.sum(1)))[::-1]
    front: list[int] = []
    while len(left):
        best = values[left[0]]
        same = (values[left] == best).all(1)
        front += left[same].tolist()
        left = left[~(values[left] <= best).all(1)]
    return [tuple(int(a) for a in np.unravel_index(c, game.num_actions)) for c in sorted(front)]


def is_pareto_optimal(game: NormalForm, at: Any, among: str = "pure") -> bool:
    """Whether nothing is better for one player and as good for all.

    Args:
        game: any number of players.
        at: an action profile (numbers of actions) or a strategy profile.
        among: "pure", compared with every action profile; or "correlated", with every
            distribution over them, by a linear program.

    Raises:
        UserError: not an action or strategy profile of the game, or unknown `among`.
    """
    if among not in AMONG:
        raise unknown("comparison", among, AMONG)
    profile = _profile(game, at)
    values = np.asarray(game.payoffs, np.float64).reshape(game.num_players, -1)
    here = expected_payoffs(game, profile, exact=values.size <= MOST).astype(float)
    # Players have units of their own; powers of two, so that nothing is rounded.
    _, power = np.frexp(np.ptp(values, axis=1))
    rows = np.ldexp(np.column_stack([values, here]).T, -power)
    return dominating(rows, len(rows) - 1, strict=False, mixed=among == "correlated") is None


def price_of_anarchy(
    game: NormalForm,
    equilibria: Iterable[Profile] | None = None,
    costs: bool = False,
    social: str = "welfare",
) -> Price:
    """How much worse the worst equilibrium is than the optimum, as a ratio.

    Args:
        game: with `costs` its payoffs are costs with the sign changed.
        equilibria: those to look at, such as the result of a solver; by default all pure ones.
        costs: whether players pay rather than gain.
        social: what is good for all: "welfare", the sum of payoffs; or "fairness", the least one,
            of costs the highest (the longest load, the "makespan").

    Raises:
        UserError: there is no pure equilibrium; or gains and costs are mixed, so that a ratio
            says nothing.
    """
    return _price(game, equilibria, costs, social, worst=True)


def price_of_stability(
    game: NormalForm,
    equilibria: Iterable[Profile] | None = None,
    costs: bool = False,
    social: str = "welfare",
) -> Price:
    """How much worse the best equilibrium is than the optimum, as a ratio; the arguments and
    errors are those of `price_of_anarchy`."""
    return _price(game, equilibria, costs, social, worst=False)


def _price(
    game: NormalForm,
    equilibria: Iterable[Profile] | None,
    costs: bool,
    social: str,
    worst: bool,
) -> Price:
    values = _social(game, social)
    if equilibria is None:
        profiles = [pure(game, a) for a in pure_action_profiles(game)]
        require(
            len(profiles) > 0,
            "the game has no pure equilibrium: pass equilibria, such as support_enumeration(game)",
        )
    else:
        profiles = [check_profile(game, p) for p in equilibria]
        require(len(profiles) > 0, "equilibria is empty, expected at least one profile")
    reached = [_mean(values, p) for p in profiles]
    at = int(np.argmin(reached) if worst else np.argmax(reached))
    sign = -1.0 if costs else 1.0
    best = sign * float(values.max()) + 0.0  # not -0.0
    found = sign * reached[at] + 0.0
    optimum = np.unravel_index(int(values.argmax()), game.num_actions)
    return Price(
        ratio=_ratio(found, best) if costs else _ratio(best, found),
        optimum=tuple(int(a) for a in optimum),
        optimum_value=best,
        equilibrium=profiles[at],
        equilibrium_value=found,
        regret=float(regret(game, profiles[at])),
        method="pure equilibria" if equilibria is None else "given equilibria",
    )


def _social(game: NormalForm, social: str) -> np.ndarray:
    """The social value of each action profile, `[A1, ..., AN]`: more is better."""
    if social not in SOCIAL:
        raise unknown("social value", social, SOCIAL)
    payoffs = np.asarray(game.payoffs, np.float64)
    if social == "fairness":
        return payoffs.min(0)
    values = payoffs.sum(0)
    # What rounding leaves of 0 must not count as a gain or a loss.
    return np.where(np.abs(values) <= 1e-14 * np.abs(payoffs).max(0), 0.0, values)


def _mean(values: np.ndarray, profile: Sequence[np.ndarray]) -> float:
    """The expectation over action profiles."""
    for x in reversed(profile):
        values = np.asarray(values @ np.asarray(x, np.float64))
    return float(values)


def _ratio(more: float, less: float) -> float:
    require(
        more >= 0 and less >= 0,
        f"social values are {more:g} and {less:g}: a ratio needs both 0 or more; "
        "with costs=True payoffs are costs with the sign changed",
    )
    if less == 0:
        return 1.0 if more == 0 else float("inf")
    return more / less


def _profile(game: NormalForm, at: Any) -> tuple[np.ndarray, ...]:
    if not all(np.ndim(part) == 0 for part in at):
        return check_profile(game, at)
    require(
        len(at) == game.num_players
        and all(a == int(a) and 0 <= a < n for a, n in zip(at, game.num_actions)),
        f"action profile {tuple(at)} does not exist in a game of "
        f"{' x '.join(map(str, game.num_actions))}",
    )
    return pure(game, [int(a) for a in at])
