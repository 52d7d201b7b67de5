"""Stable matching of people and places by name, some of which may be liked the same.

With ties a matching is (weakly) stable if no two would both strictly rather have each other. One is
found by any order among those who tie, and how many are matched may depend on it: the most that can
be is hard to find (Iwama, Manlove, Miyazaki and Morita 1999, "Stable marriage with incomplete lists
and ties").
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from shoal.core.errors import require, unknown
from shoal.games.mechanisms.matching import gale_shapley

Wishes = Mapping[Hashable, Sequence[Any]]
"""For each name the names that it accepts, the best first; those in a tuple or a list tie."""


@dataclass(frozen=True)
class NamedMatching:
    """Who is with whom, by name. The certificate is `blocking`, which is empty if the matching is
    stable."""

    partner: dict[Hashable, Hashable | None]
    """The receiver of each proposer, or None."""
    held: dict[Hashable, list[Hashable]]
    """The proposers of each receiver, the best first."""
    blocking: list[tuple[Hashable, Hashable]]
    """Proposer and receiver of each pair that would both strictly rather have each other."""
    method: str = "deferred acceptance, ties in the order given"

    @property
    def stable(self) -> bool:
        return not self.blocking


def match_by_name(
    proposers: Wishes, receivers: Wishes, capacities: Mapping[Hashable, int] | None = None
) -> NamedMatching:
    """A stable matching of names; those who tie are asked, and taken, in the order given. Without
    ties it is the one that every proposer likes best.

    Args:
        proposers: the receivers whom each accepts, the best first, `{"Ann": ["North", "South"]}`;
            `["North", ("South", "East")]` has a tie. Dictionaries of pandas' `to_dict("list")` do.
        receivers: the proposers whom each accepts, likewise.
        capacities: how many each receiver takes; 1 where it is not named.

    Raises:
        UserError: a list names nobody, or someone twice; a capacity is negative or of nobody.

    >>> wishes = {"Ann": ["North", "South"], "Bob": [("North", "South")]}
    >>> match_by_name(wishes, {"North": ["Bob", "Ann"], "South": ["Ann", "Bob"]}).partner
    {'Ann': 'South', 'Bob': 'North'}
    """
    sides = (list(proposers), list(receivers))
    tiers = (
        _tiers("proposer", proposers, receivers, "receiver"),
        _tiers("receiver", receivers, proposers, "proposer"),
    )
    orders = [[[*chain(*tier)] for tier in side] for side in tiers]
    for name in capacities or {}:
        if name not in receivers:
            raise unknown("receiver of a capacity", str(name), map(str, receivers))
    places = [(capacities or {}).get(name, 1) for name in sides[1]]
    found = gale_shapley(orders[0], orders[1], places)
    named = {i: (None if host == -1 else sides[1][host]) for i, host in enumerate(found.partner)}
    return NamedMatching(
        {sides[0][i]: host for i, host in named.items()},
        {sides[1][h]: [sides[0][i] for i in suitors] for h, suitors in enumerate(found.held)},
        [(sides[0][i], sides[1][h]) for i, h in _blocking(found.partner, tiers, places)],
    )


def _tiers(who: str, wishes: Wishes, others: Wishes, whom: str) -> list[list[list[int]]]:
    """For each name its lists of those that it likes the same, the best first, as numbers."""
    number, out = {name: i for i, name in enumerate(others)}, []
    for name, wanted in wishes.items():
        text = isinstance(wanted, str | bytes) or not isinstance(wanted, Sequence)
        require(not text, f"{who} {name!r} wants {wanted!r}, expected a list of names")
        tiers = [[*tier] if isinstance(tier, tuple | list) else [tier] for tier in wanted]
        flat = [*chain(*tiers)]
        for other in flat:
            if other not in number:
                raise unknown(whom, str(other), map(str, others))
            require(flat.count(other) == 1, f"{who} {name!r} names {other!r} twice")
        out.append([[number[other] for other in tier] for tier in tiers])
    return out


def _blocking(
    partner: Sequence[int], tiers: Sequence[list[list[list[int]]]], places: Sequence[int]
) -> list[tuple[int, int]]:
    """Who would both strictly rather have each other."""
    mine, theirs = (
        [{j: level for level, tier in enumerate(own) for j in tier} for own in side]
        for side in tiers
    )
    held = [[i for i, h in enumerate(partner) if h == host] for host in range(len(theirs))]
    pairs = []
    for i, levels in enumerate(mine):
        now = levels.get(partner[i], len(levels))
        for host, level in levels.items():
            if level >= now or i not in theirs[host]:
                continue
            worst = max((theirs[host][k] for k in held[host]), default=-1)
            free = len(held[host]) < places[host]
            if free or theirs[host][i] < worst:
                pairs.append((i, host))
    return pairs
