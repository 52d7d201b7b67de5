"""Kuhn poker: one card each, one bet. The value for two players is -1/18 for the first.

Every player antes 1 and gets one of N + 1 cards. In turn each passes or bets 1; after a bet the
others, in turn, call or fold. The highest card that has paid wins. Kuhn, Simplified two-person
poker (1950); for more players Szafron, Gibson & Sturtevant (2013).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal.core.errors import require
from shoal.games.extensive.tree import CHANCE, TERMINAL, ExtensiveForm, extensive_form

PASS, BET = "pass", "bet"


def kuhn(players: int = 2) -> ExtensiveForm:
    """Kuhn poker for 2 to 4 players. To call is to bet, to fold is to pass.

    Raises:
        UserError: there are fewer or more players.

    >>> kuhn().num_nodes, kuhn().num_infosets
    (58, 12)
    """
    require(2 <= players <= 4, f"Kuhn poker has 2 to 4 players, not {players}")
    return extensive_form(_Kuhn(players))


@dataclass(frozen=True)
class _Kuhn:
    """A state is the cards dealt, one for each player in turn, and the moves made."""

    num_players: int

    @property
    def title(self) -> str:
        return f"Kuhn poker, {self.num_players} players"

    @property
    def players(self) -> tuple[str, ...]:
        return tuple(f"player {i + 1}" for i in range(self.num_players))

    def start(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        return (), ()

    def to_move(self, state: tuple[tuple[int, ...], tuple[str, ...]]) -> int:
        cards, moves = state
        if len(cards) < self.num_players:
            return CHANCE
        # All have acted; or all have, after the bet, and whoever bets first acts once.
        last = moves.index(BET) + self.num_players if BET in moves else self.num_players
        return len(moves) % self.num_players if len(moves) < last else TERMINAL

    def chances(
        self, state: tuple[tuple[int, ...], tuple[str, ...]]
    ) -> Sequence[tuple[int, float]]:
        left = [card for card in range(self.num_players + 1) if card not in state[0]]
        return [(card, 1 / len(left)) for card in left]

    def actions(self, state: tuple[tuple[int, ...], tuple[str, ...]]) -> Sequence[str]:
        return PASS, BET

    def play(
        self, state: tuple[tuple[int, ...], tuple[str, ...]], move: int | str
    ) -> tuple[tuple[int, ...], tuple[str, ...]]:
        cards, moves = state
        return (cards, (*moves, move)) if isinstance(move, str) else ((*cards, move), moves)

    def sees(self, state: tuple[tuple[int, ...], tuple[str, ...]]) -> str:
        cards, moves = state
        return f"{cards[len(moves) % self.num_players]} {' '.join(moves)}".strip()

    def returns(self, state: tuple[tuple[int, ...], tuple[str, ...]]) -> Sequence[float]:
        cards, moves = state
        n = self.num_players
        bettors = {i % n for i, move in enumerate(moves) if move == BET}
        paid = [2.0 if i in bettors else 1.0 for i in range(n)]
        winner = max(bettors or range(n), key=lambda i: cards[i])
        return [(sum(paid) if i == winner else 0.0) - paid[i] for i in range(n)]
