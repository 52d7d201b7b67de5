"""Leduc hold'em: poker with one private and one public card. The value is -0.0856064 for the first.

Six cards, two suits of jack, queen and king. Both ante 1; a round of bets of 2 on the private
card, then a public card and a round of bets of 4; two bets at most in a round. A pair with the
public card wins, else the higher rank. Southey et al., Bayes' bluff (2005).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shoal.games.extensive.tree import CHANCE, TERMINAL, ExtensiveForm, extensive_form

FOLD, CALL, RAISE = "fold", "call", "raise"
CARDS = ("Ja", "Jb", "Qa", "Qb", "Ka", "Kb")
STAKES = (2, 4)
MOST_RAISES = 2


def leduc() -> ExtensiveForm:
    """Leduc hold'em for two players. To check is to call. Suits are told apart, as in OpenSpiel.

    >>> leduc().num_nodes, leduc().num_infosets
    (9457, 936)
    """
    return extensive_form(_Leduc())


@dataclass(frozen=True)
class _Hand:
    """The cards (two private ones, then the public one), what both have paid, and the bets of
    each round."""

    cards: tuple[int, ...] = ()
    paid: tuple[int, int] = (1, 1)
    rounds: tuple[tuple[str, ...], ...] = ((),)

    @property
    def over(self) -> bool:
        """Whether the round of bets is: after two moves, unless the last one raised."""
        bets = self.rounds[-1]
        return FOLD in bets or (len(bets) >= 2 and bets[-1] == CALL)


class _Leduc:
    players = ("player 1", "player 2")
    title = "Leduc hold'em"

    def start(self) -> _Hand:
        return _Hand()

    def to_move(self, state: _Hand) -> int:
        if len(state.cards) < 2:
            return CHANCE
        if not state.over:
            return len(state.rounds[-1]) % 2
        done = FOLD in state.rounds[-1] or len(state.rounds) == 2
        return TERMINAL if done else CHANCE

    def chances(self, state: _Hand) -> Sequence[tuple[int, float]]:
        left = [card for card in range(len(CARDS)) if card not in state.cards]
        return [(card, 1 / len(left)) for card in left]

    def actions(self, state: _Hand) -> Sequence[str]:
        bets = state.rounds[-1]
        fold = (FOLD,) if RAISE in bets[-1:] else ()
        return (*fold, CALL, RAISE) if bets.count(RAISE) < MOST_RAISES else (*fold, CALL)

    def play(self, state: _Hand, move: int | str) -> _Hand:
        if not isinstance(move, str):
            rounds = (*state.rounds, ()) if len(state.cards) == 2 else state.rounds
            return replace(state, cards=(*state.cards, move), rounds=rounds)
        who = len(state.rounds[-1]) % 2
        paid = list(state.paid)
        if move != FOLD:
            stake = STAKES[len(state.rounds) - 1] if move == RAISE else 0
            paid[who] = paid[1 - who] + stake
        bets = (*state.rounds[-1], move)
        return _Hand(state.cards, (paid[0], paid[1]), (*state.rounds[:-1], bets))

    def sees(self, state: _Hand) -> str:
        who = len(state.rounds[-1]) % 2
        cards = [CARDS[state.cards[who]], *(CARDS[c] for c in state.cards[2:])]
        return " ".join(cards) + ": " + " / ".join(" ".join(bets) for bets in state.rounds)

    def returns(self, state: _Hand) -> Sequence[float]:
        if FOLD in state.rounds[-1]:
            winner = len(state.rounds[-1]) % 2  # the one who would have moved next
        else:
            strength = [_strength(card, state.cards[2]) for card in state.cards[:2]]
            if strength[0] == strength[1]:
                return 0.0, 0.0
            winner = int(strength[1] > strength[0])
        gain = float(state.paid[1 - winner])
        return (gain, -gain) if winner == 0 else (-gain, gain)


def _strength(card: int, public: int) -> tuple[bool, int]:
    return card // 2 == public // 2, card // 2
