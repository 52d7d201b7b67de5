"""Stable matching: deferred acceptance, and trading cycles.

    A matching is stable if no two who are not matched would both rather have each other.

Gale, Shapley 1962; hospitals and incomplete lists: Roth, Sotomayor 1990; top trading cycles:
Shapley, Scarf 1974. Preferences are rank lists: who is wanted, the best first, and nobody else.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from shoal.core.errors import require

Preferences = Sequence[Sequence[Any]]
"""For each agent the numbers of those whom it accepts, the best first; others are told what to do
with names."""


@dataclass(frozen=True)
class Matching:
    """Who is with whom. The certificate is `blocking`, which is empty if the matching is stable."""

    partner: list[int]
    """The receiver of each proposer, or -1."""
    held: list[list[int]]
    """The proposers of each receiver, the best first."""
    blocking: list[tuple[int, int]]
    """Proposer and receiver of each pair that would both rather have each other."""
    proposals: int
    """How many proposals were made."""
    method: str = "deferred acceptance"

    @property
    def stable(self) -> bool:
        return not self.blocking


def gale_shapley(
    proposers: Preferences, receivers: Preferences, capacities: Sequence[int] | None = None
) -> Matching:
    """The stable matching that every proposer likes best, and every receiver least.

    Truth is a dominant strategy for proposers. Every stable matching fills the same places.

    Args:
        proposers: the receivers whom each accepts, the best first.
        receivers: the proposers whom each accepts, the best first.
        capacities: how many each receiver takes; 1 unless given.

    Raises:
        UserError: a list names nobody, or someone twice; a capacity is negative or missing.

    >>> gale_shapley([[0, 1], [0, 1]], [[1, 0], [0, 1]]).partner
    [1, 0]
    """
    ranks, capacities = _checked(proposers, receivers, capacities)
    held: list[list[int]] = [[] for _ in receivers]
    asked = [0] * len(proposers)
    waiting = deque(range(len(proposers)))
    while waiting:
        suitor = waiting.popleft()
        while asked[suitor] < len(proposers[suitor]):
            host = proposers[suitor][asked[suitor]]
            asked[suitor] += 1
            if suitor not in ranks[host]:
                continue
            held[host].append(suitor)
            held[host].sort(key=ranks[host].__getitem__)
            if len(held[host]) > capacities[host]:
                rejected = held[host].pop()
                if rejected == suitor:
                    continue
                waiting.append(rejected)
            break
    partner = [-1] * len(proposers)
    for host, suitors in enumerate(held):
        for suitor in suitors:
            partner[suitor] = host
    blocking = blocking_pairs(partner, proposers, receivers, capacities)
    return Matching(partner, held, blocking, sum(asked))


def is_stable(
    partner: Sequence[int],
    proposers: Preferences,
    receivers: Preferences,
    capacities: Sequence[int] | None = None,
) -> bool:
    """Whether all are with someone they accept, or alone, and no pair would rather have each other.

    Raises:
        UserError: as `gale_shapley`; `partner` does not fit, or fills a receiver beyond capacity.
    """
    accepted = all(
        host == -1 or (host in proposers[i] and i in receivers[host])
        for i, host in _pairs(partner, proposers, receivers)
    )
    return not blocking_pairs(partner, proposers, receivers, capacities) and accepted


def blocking_pairs(
    partner: Sequence[int],
    proposers: Preferences,
    receivers: Preferences,
    capacities: Sequence[int] | None = None,
) -> list[tuple[int, int]]:
    """Proposers and receivers who accept each other and would both rather have each other.

    Args:
        partner: the receiver of each proposer, or -1.
        proposers: the receivers whom each accepts, the best first.
        receivers: the proposers whom each accepts, the best first.
        capacities: how many each receiver takes; 1 unless given.

    Raises:
        UserError: as `gale_shapley`; `partner` does not fit, or fills a receiver beyond capacity.
    """
    ranks, capacities = _checked(proposers, receivers, capacities)
    held: list[list[int]] = [[] for _ in receivers]
    for i, host in _pairs(partner, proposers, receivers):
        if host != -1:
            held[host].append(i)
    full = [host for host, place in enumerate(capacities) if len(held[host]) > place]
    require(not full, f"receiver {(full or [0])[0]} has more proposers than places")
    # Those who are not accepted rank below all others.
    worst = [
        max((rank.get(i, len(rank)) for i in suitors), default=-1)
        for rank, suitors in zip(ranks, held)
    ]
    blocking = []
    for i, wanted in enumerate(proposers):
        for host in wanted:
            if host == partner[i]:
                break
            free = len(held[host]) < capacities[host]
            if i in ranks[host] and (free or ranks[host][i] < worst[host]):
                blocking.append((i, host))
    return blocking


def top_trading_cycles(preferences: Preferences, owned: Sequence[int] | None = None) -> list[int]:
    """Who gets which house, where each owns one: all point at the owner of the best house left, and
    those in a cycle trade (Shapley, Scarf 1974, after Gale). The only point of the strict core.

    Args:
        preferences: the houses that each would have rather than its own, the best first; its own
            and all after it may be left out.
        owned: the house of each; its own number unless given.

    Raises:
        UserError: a list names no house, or one twice; two own one house.

    >>> top_trading_cycles([[1], [2], [0]])
    [1, 2, 0]
    """
    count = len(preferences)
    owned = list(range(count)) if owned is None else list(owned)
    require(
        sorted(owned) == list(range(count)),
        f"the houses owned are {owned}, expected each of 0 to {count - 1} once",
    )
    _check_lists("agent", preferences, "house", count)
    owner = {house: i for i, house in enumerate(owned)}
    house_of = [-1] * count
    points = [iter([*wanted, owned[i]]) for i, wanted in enumerate(preferences)]
    wanted = [next(house) for house in points]
    for start in range(count):
        path = [start]
        while house_of[start] == -1:
            last = path[-1]
            while house_of[owner[wanted[last]]] != -1:
                wanted[last] = next(points[last])
            following = owner[wanted[last]]
            if following not in path:
                path.append(following)
                continue
            cycle = path[path.index(following) :]
            for i in cycle:
                house_of[i] = wanted[i]
            path = path[: -len(cycle)] or [start]
    return house_of


def _checked(
    proposers: Preferences, receivers: Preferences, capacities: Sequence[int] | None
) -> tuple[list[dict[int, int]], list[int]]:
    """How each receiver ranks those whom it accepts, and how many it takes."""
    _check_lists("proposer", proposers, "receiver", len(receivers))
    _check_lists("receiver", receivers, "proposer", len(proposers))
    places = [1] * len(receivers) if capacities is None else [int(c) for c in capacities]
    require(
        len(places) == len(receivers) and all(c >= 0 for c in places),
        f"capacities are {places}, expected {len(receivers)} numbers, none below 0",
    )
    return [{i: rank for rank, i in enumerate(wanted)} for wanted in receivers], places


def _check_lists(who: str, preferences: Preferences, whom: str, count: int) -> None:
    for i, wanted in enumerate(preferences):
        for k, j in enumerate(wanted):
            require(
                isinstance(j, Integral),
                f"{who} {i} ranks {j!r}, expected the number of a {whom}: match_by_name takes "
                "names and ties",
            )
            require(
                0 <= j < count,
                f"{who} {i} ranks {whom} {j}, expected numbers 0 to {count - 1}",
            )
            require(j not in wanted[:k], f"{who} {i} ranks {whom} {j} twice")


def _pairs(
    partner: Sequence[int], proposers: Preferences, receivers: Preferences
) -> list[tuple[int, int]]:
    require(
        len(partner) == len(proposers),
        f"there are {len(partner)} partners, expected {len(proposers)}: one for each proposer",
    )
    wrong = [host for host in partner if not -1 <= host < len(receivers)]
    require(
        not wrong,
        f"partner {(wrong or [0])[0]} is not a receiver, expected -1 (none) or its number",
    )
    return [(i, int(host)) for i, host in enumerate(partner)]
