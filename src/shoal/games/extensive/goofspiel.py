"""Goofspiel: every trick, both bid a card of their hand for a prize, unseen. Equal bids lose it.

Both hold cards 1 to K, and the prizes are 1 to K. Here the bids stay hidden: players learn only who
won each trick, as in II-Goofspiel of Lanctot et al., Monte Carlo sampling for regret minimization
in extensive games (2009).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shoal.core.errors import require, unknown
from shoal.games.extensive.tree import CHANCE, TERMINAL, ExtensiveForm, extensive_form

ORDERS = ("descending", "ascending", "random")
RETURNS = ("win_loss", "point_difference")


def goofspiel(
    cards: int = 4, order: str = "descending", returns: str = "win_loss", hidden: bool = True
) -> ExtensiveForm:
    """Goofspiel for two players. The last trick, where nobody has a choice, plays itself.

    Args:
        cards: K, how many cards each has; 4 make 1,077 nodes in descending order.
        order: of the prizes: `descending`, `ascending`, or `random`, each drawn before its trick.
        returns: `win_loss` is 1 for more points, -1 for fewer; `point_difference` is half of it.
        hidden: whether bids stay hidden; otherwise they are shown after each trick.

    Raises:
        UserError: there is one card or none; the order or the kind of returns is unknown; or the
            tree is too large, as that of 6 cards in random order is.

    >>> goofspiel(3).num_nodes, goofspiel(3, "random").num_nodes
    (67, 418)
    """
    require(cards >= 2, f"goofspiel takes at least 2 cards, not {cards}")
    if order not in ORDERS:
        raise unknown("order of prizes", order, ORDERS)
    if returns not in RETURNS:
        raise unknown("kind of returns", returns, RETURNS)
    return extensive_form(_Goofspiel(cards, order, returns, hidden))


@dataclass(frozen=True)
class _Tricks:
    """The prizes so far, the bids for them, and the first player's bid that waits for the other."""

    prizes: tuple[int, ...] = ()
    bids: tuple[tuple[int, int], ...] = ()
    waiting: int = 0


@dataclass(frozen=True)
class _Goofspiel:
    cards: int
    order: str
    kind: str
    hidden: bool
    players = ("player 1", "player 2")

    @property
    def title(self) -> str:
        return f"goofspiel, {self.cards} cards, {self.order}"

    def start(self) -> _Tricks:
        return self._next(_Tricks())

    def to_move(self, state: _Tricks) -> int:
        if len(state.bids) == self.cards - 1:
            return TERMINAL
        if len(state.prizes) == len(state.bids):
            return CHANCE
        return 1 if state.waiting else 0

    def chances(self, state: _Tricks) -> Sequence[tuple[int, float]]:
        left = self._left(state.prizes)
        return [(prize, 1 / len(left)) for prize in left]

    def actions(self, state: _Tricks) -> Sequence[int]:
        who = self.to_move(state)
        return self._left([bid[who] for bid in state.bids])

    def play(self, state: _Tricks, move: int) -> _Tricks:
        who = self.to_move(state)
        if who == CHANCE:
            return replace(state, prizes=(*state.prizes, move))
        if who == 0:
            return replace(state, waiting=move)
        return self._next(_Tricks(state.prizes, (*state.bids, (state.waiting, move))))

    def sees(self, state: _Tricks) -> str:
        who = self.to_move(state)
        shown = [
            f"{prize} for {bid[who]} {_result(bid[who], bid[1 - who])}"
            if self.hidden
            else f"{prize} for {bid[who]} against {bid[1 - who]}"
            for prize, bid in zip(state.prizes, state.bids)
        ]
        return ", ".join([*shown, str(state.prizes[-1])])

    def returns(self, state: _Tricks) -> Sequence[float]:
        bids = [[bid[who] for bid in state.bids] for who in (0, 1)]
        last = self._left(bids[0])[0], self._left(bids[1])[0]
        prizes = (*state.prizes, *self._left(state.prizes))
        lead = sum(
            prize * ((mine > other) - (mine < other))
            for prize, (mine, other) in zip(prizes, (*state.bids, last))
        )
        gain = lead / 2 if self.kind == "point_difference" else float((lead > 0) - (lead < 0))
        return gain, -gain

    def _left(self, used: Sequence[int]) -> list[int]:
        return [card for card in range(1, self.cards + 1) if card not in used]

    def _next(self, state: _Tricks) -> _Tricks:
        """The next prize, where its order is known; the last one is not shown, nor needed."""
        if self.order == "random" or len(state.bids) == self.cards - 1:
            return state
        left = self._left(state.prizes)
        prize = left[-1] if self.order == "descending" else left[0]
        return replace(state, prizes=(*state.prizes, prize))


def _result(mine: int, other: int) -> str:
    return "won" if mine > other else "lost" if mine < other else "tied"
