"""Liar's dice: bids on all dice under the cups, until somebody says liar.

A bid is a quantity and a face, higher than the one before; the highest face is wild. Whoever is
called a liar shows: the bidder wins if the bid holds. Lisý, Lanctot & Bowling (2015), as DudoIII.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from shoal.core.errors import require
from shoal.games.extensive.tree import CHANCE, TERMINAL, ExtensiveForm, extensive_form

LIAR = "liar"


def liars_dice(dice: int = 1, sides: int = 6) -> ExtensiveForm:
    """Liar's dice for two players with as many dice each; the loser pays 1.

    The tree has about 2 (sides^dice)^2 2^(2 dice sides) nodes: 294,883 by default. A player's roll
    is one move of chance, of all its dice at once, in no order.

    Raises:
        UserError: there is no die, or dice of one side; or the tree is too large, as that of two
            dice of 6 sides is.

    >>> liars_dice(sides=3).num_nodes, liars_dice(sides=3).num_infosets
    (1147, 192)
    """
    require(dice >= 1, f"each player has at least one die, not {dice}")
    require(sides >= 2, f"dice have at least two sides, not {sides}")
    return extensive_form(_LiarsDice(dice, sides))


@dataclass(frozen=True)
class _LiarsDice:
    """A state is the rolls, the numbers of the bids, and whether the last was called a lie."""

    dice: int
    sides: int
    players = ("player 1", "player 2")

    @property
    def title(self) -> str:
        return f"liar's dice, {self.dice} of {self.sides} sides"

    def start(self) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...], bool]:
        return (), (), False

    def to_move(self, state: tuple[tuple, tuple[int, ...], bool]) -> int:
        rolls, bids, called = state
        if called:
            return TERMINAL
        return CHANCE if len(rolls) < 2 else len(bids) % 2

    def chances(
        self, state: tuple[tuple, tuple[int, ...], bool]
    ) -> Sequence[tuple[tuple[int, ...], float]]:
        faces = range(1, self.sides + 1)
        rolls = Counter(tuple(sorted(roll)) for roll in product(faces, repeat=self.dice))
        return [(roll, count / self.sides**self.dice) for roll, count in rolls.items()]

    def actions(self, state: tuple[tuple, tuple[int, ...], bool]) -> Sequence[str]:
        bids = state[1]
        first = bids[-1] + 1 if bids else 0
        higher = range(first, 2 * self.dice * self.sides)
        return [*map(self._name, higher), *([LIAR] if bids else [])]

    def play(
        self, state: tuple[tuple, tuple[int, ...], bool], move: str | tuple[int, ...]
    ) -> tuple[tuple, tuple[int, ...], bool]:
        rolls, bids, _ = state
        if isinstance(move, tuple):
            return (*rolls, move), bids, False
        if move == LIAR:
            return rolls, bids, True
        quantity, face = map(int, move.split("x"))
        return rolls, (*bids, (quantity - 1) * self.sides + face - 1), False

    def sees(self, state: tuple[tuple, tuple[int, ...], bool]) -> str:
        rolls, bids, _ = state
        roll = ",".join(map(str, rolls[len(bids) % 2]))
        return f"{roll}: {' '.join(map(self._name, bids))}".strip()

    def returns(self, state: tuple[tuple, tuple[int, ...], bool]) -> Sequence[float]:
        rolls, bids, _ = state
        quantity, face = bids[-1] // self.sides + 1, bids[-1] % self.sides + 1
        shown = [die for roll in rolls for die in roll]
        holds = sum(die in (face, self.sides) for die in shown) >= quantity
        bidder = (len(bids) - 1) % 2
        winner = bidder if holds else 1 - bidder
        return (1.0, -1.0) if winner == 0 else (-1.0, 1.0)

    def _name(self, bid: int) -> str:
        return f"{bid // self.sides + 1}x{bid % self.sides + 1}"
