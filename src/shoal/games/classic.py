"""Games known by name, and random ones: what the other files of this folder are tried on.

Blotto: two generals split their troops over fields (Borel 1921); covariant: GAMUT (Nudelman 2004).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from shoal.core.errors import require, unknown
from shoal.games.checks import game_sizes, nonnegative
from shoal.games.congestion import braess, congestion, machines, pigou
from shoal.games.normal_form import NormalForm

RULES = ("first", "second", "all-pay")
"""Who pays what in `sealed_bid`."""


def prisoners_dilemma() -> NormalForm:
    """Each does better by defecting, whatever the other does; both would do better cooperating."""
    return _named([[3, 0], [5, 1]], "prisoner's dilemma", "cooperate", "defect")


def stag_hunt() -> NormalForm:
    """The stag takes both hunters; a hare is sure (Rousseau; payoffs of Skyrms 2004)."""
    return _named([[4, 1], [3, 3]], "stag hunt", "stag", "hare")


def chicken() -> NormalForm:
    """Who yields loses a little, two who dare lose all (payoffs of Aumann 1974).

    Its best correlated equilibrium has welfare 10.5.
    """
    return _named([[6, 2], [7, 0]], "chicken", "yield", "dare")


def hawk_dove(value: float = 2.0, cost: float = 4.0) -> NormalForm:
    """Hawks fight over `value` at `cost`: where cost exceeds value, a share `value / cost` are
    hawks in the mixed equilibrium (Maynard Smith and Price 1973)."""
    fight = (value - cost) / 2
    return _named([[fight, value], [0, value / 2]], "hawk-dove", "hawk", "dove")


def matching_pennies() -> NormalForm:
    """One player wins where the coins match, the other where they differ."""
    sides = ["heads", "tails"]
    return NormalForm.zero_sum([[1, -1], [-1, 1]], actions=[sides, sides], title="matching pennies")


def rock_paper_scissors() -> NormalForm:
    """Each action beats one and loses to another: the only equilibrium is uniform."""
    rows = [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]
    return _named(rows, "rock-paper-scissors", "rock", "paper", "scissors")


def battle_of_the_sexes() -> NormalForm:
    """Both want to be together, each prefers another place."""
    names = ["opera", "football"]
    return NormalForm.bimatrix(
        [[3, 0], [0, 2]], [[2, 0], [0, 3]], actions=[names, names], title="battle of the sexes"
    )


def coordination(num_actions: int = 2) -> NormalForm:
    """Both gain 1 where they choose the same: `2**num_actions - 1` equilibria."""
    require(num_actions >= 1, f"num_actions is {num_actions}, expected at least 1")
    return NormalForm.symmetric(np.eye(num_actions), title=f"coordination({num_actions})")


def shapley_game() -> NormalForm:
    """Shapley's game (1964), in which fictitious play does not converge."""
    return NormalForm.bimatrix(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        title="Shapley's game",
    )


def random(num_actions: Sequence[int] = (3, 3), seed: Any = 0) -> NormalForm:
    """Independent uniform payoffs in [0, 1). `seed` is a number or a key of JAX."""
    shape = (len(num_actions), *game_sizes(num_actions))
    payoffs = _generator(seed).random(shape)
    return NormalForm(payoffs, title=f"random{tuple(num_actions)}")


def covariant(num_actions: Sequence[int] = (3, 3), rho: float = 0.0, seed: Any = 0) -> NormalForm:
    """Normal payoffs with correlation `rho` between the players in each action profile: 1 is a
    common interest, -1 (two players) is zero-sum.

    Raises:
        UserError: `rho` is not in [-1/(N-1), 1]: no N payoffs are correlated so.
    """
    count = len(num_actions)
    least = -1 / max(1, count - 1)
    require(least - 1e-12 <= rho <= 1, f"rho is {rho:g}, expected {least:g} to 1")
    covariance = (1 - rho) * np.eye(count) + rho
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    normal = _generator(seed).standard_normal((count, *game_sizes(num_actions)))
    return NormalForm(np.tensordot(root, normal, 1), title=f"covariant(rho={rho:g})")


def blotto(troops: int = 10, fields: int = 3) -> NormalForm:
    """Colonel Blotto: more troops win a field, more fields win the battle, +1 or -1.

    The actions are the divisions of `troops` over `fields`: 66 for (10, 3). The value is 0.
    """
    require(troops >= 0 and fields >= 1, f"blotto({troops}, {fields}): expected troops and fields")
    splits = np.array(list(_divisions(troops, fields)))
    game_sizes([len(splits)] * 2)
    fought = np.zeros((len(splits),) * 2)
    for f in range(fields):
        fought += np.sign(splits[:, None, f] - splits[None, :, f])
    names = ["-".join(map(str, s)) for s in splits]
    return NormalForm.zero_sum(
        np.sign(fought), actions=[names, names], title=f"Blotto({troops}, {fields})"
    )


def sealed_bid(
    values: Any = (4, 3), bids: Any = (0, 1, 2, 3, 4), rule: str = "first"
) -> NormalForm:
    """One item goes to the highest of the sealed bids, each as likely where several tie; what it is
    worth to each bidder is known to all (Vickrey 1961).

    Args:
        values: what the item is worth to each of N bidders, `[N]`, 2 or more.
        bids: what each may bid, `[B]`: the actions.
        rule: the winner pays its bid, "first"; or the next highest bid, "second"; or all pay their
            own bids, "all-pay".

    Raises:
        UserError: an unknown rule, fewer than 2 bidders, a number that is negative or not finite.
    """
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    worth, offers = nonnegative("values", values), nonnegative("bids", bids)
    require(len(worth) > 1, "an auction needs 2 bidders or more: values has 1")
    shape = game_sizes([len(offers)] * len(worth))
    bid = np.stack(np.meshgrid(*[offers] * len(shape), indexing="ij"))
    highest = bid == bid.max(0)
    chance = highest / highest.sum(0)
    price = bid if rule == "first" else np.sort(bid, axis=0)[-2]
    paid = bid if rule == "all-pay" else chance * price
    names = [f"{offer:.12g}" for offer in offers]
    return NormalForm(
        chance * worth.reshape(-1, *[1] * len(shape)) - paid,
        actions=[names] * len(shape),
        title=f"sealed bids, {rule}",
    )


CLASSIC: dict[str, Callable[..., NormalForm]] = {
    "prisoners_dilemma": prisoners_dilemma,
    "stag_hunt": stag_hunt,
    "chicken": chicken,
    "hawk_dove": hawk_dove,
    "matching_pennies": matching_pennies,
    "rock_paper_scissors": rock_paper_scissors,
    "battle_of_the_sexes": battle_of_the_sexes,
    "coordination": coordination,
    "shapley": shapley_game,
    "random": random,
    "covariant": covariant,
    "congestion": congestion,
    "pigou": pigou,
    "braess": braess,
    "machines": machines,
    "blotto": blotto,
    "sealed_bid": sealed_bid,
}
"""The generators by name; each but `congestion` has defaults for all arguments."""


def classic(name: str, **options: Any) -> NormalForm:
    """A game by its name, with the options of its generator.

    >>> classic("coordination", num_actions=3).num_actions
    (3, 3)
    """
    if name not in CLASSIC:
        raise unknown("game", name, CLASSIC)
    return CLASSIC[name](**options)


def _named(row: Any, title: str, *names: str) -> NormalForm:
    return NormalForm.symmetric(row, actions=[names, names], title=title)


def _generator(seed: Any) -> np.random.Generator:
    if isinstance(seed, jax.Array):
        is_key = jax.numpy.issubdtype(seed.dtype, jax.dtypes.prng_key)
        seed = np.asarray(jax.random.key_data(seed) if is_key else seed).ravel().tolist()
    return np.random.default_rng(seed)


def _divisions(troops: int, fields: int) -> Any:
    """Every way to split the troops: bars between stars."""
    for bars in itertools.combinations(range(troops + fields - 1), fields - 1):
        edges = (-1, *bars, troops + fields - 1)
        yield [b - a - 1 for a, b in itertools.pairwise(edges)]
