"""Game trees as worlds, by name."""

import functools
import re
from collections.abc import Sequence
from typing import ClassVar, Literal

import equinox as eqx

from shoal.core.limits import Count
from shoal.core.picture import Picture
from shoal.envs.game.card_table import draw_hands, draw_tricks
from shoal.envs.game.tree import TreeGame, TreeState
from shoal.games.extensive.goofspiel import goofspiel
from shoal.games.extensive.kuhn import BET, kuhn
from shoal.games.extensive.leduc import CARDS, FOLD, RAISE, STAKES, leduc
from shoal.games.extensive.liars_dice import liars_dice
from shoal.games.extensive.tree import CHANCE, ExtensiveForm
from shoal.games.gambit.efg import read_efg, write_efg

# An environment is asked for its tree at every step that is traced: each is made once.
_kuhn, _leduc, _goofspiel, _liars_dice, _read = map(
    functools.cache, (kuhn, leduc, goofspiel, liars_dice, read_efg)
)


class Kuhn(TreeGame):
    """Kuhn poker: one card each, one bet."""

    name: ClassVar[str] = "game/kuhn"
    players: Count = eqx.field(static=True, default=2)
    """How many players, 2 to 4."""

    @property
    def form(self) -> ExtensiveForm:
        return _kuhn(self.players)

    def draw(self, state: TreeState) -> Picture:
        """Each player's card, what they did and paid, and the pot."""
        form, play = self.form, self.play(state)
        ranks = "TJQKA"[-self.players - 1 :] if self.players > 2 else "JQK"
        hands = [[ranks[int(card)]] for card in play.of(CHANCE)]
        paid = [1 + (BET in play.of(i)) for i in range(self.players)]
        return draw_hands(form.title, form.players, self.spec.agents, play, hands, paid=paid)


class Leduc(TreeGame):
    """Leduc hold'em: a private card, a public card, two rounds of bets."""

    name: ClassVar[str] = "game/leduc"

    @property
    def form(self) -> ExtensiveForm:
        return _leduc()

    def draw(self, state: TreeState) -> Picture:
        """Each player's card and the public one, what they did and paid, and the pot."""
        form, play = self.form, self.play(state)
        cards, paid, betting = [], [1, 1], 0
        for who, move in play.moves:
            if who == CHANCE:
                cards.append(CARDS[int(move)])
                betting = len(cards) - 2
            elif move != FOLD:
                paid[who] = paid[1 - who] + (STAKES[betting] if move == RAISE else 0)
        return draw_hands(
            *(form.title, form.players, self.spec.agents, play),
            [[card] for card in cards[:2]],
            public=cards[2:],
            paid=paid,
        )


class Goofspiel(TreeGame):
    """Goofspiel: bid a card of your hand for each prize, unseen."""

    name: ClassVar[str] = "game/goofspiel"
    cards: Count = eqx.field(static=True, default=4)
    """How many cards each player has."""
    order: Literal["descending", "ascending", "random"] = eqx.field(
        static=True, default="descending"
    )
    """Of the prizes."""
    returns: Literal["win_loss", "point_difference"] = eqx.field(static=True, default="win_loss")
    """What is paid at the end."""
    hidden: bool = eqx.field(static=True, default=True)
    """Whether bids stay hidden."""

    @property
    def form(self) -> ExtensiveForm:
        return _goofspiel(self.cards, self.order, self.returns, self.hidden)

    def draw(self, state: TreeState) -> Picture:
        """The prizes and the bids, with the last trick, which plays itself."""
        form, play = self.form, self.play(state)
        first, second = ([int(bid) for bid in play.of(i)] for i in (0, 1))
        prizes = self._left(())
        if self.order == "random":
            prizes = [int(prize) for prize in play.of(CHANCE)]
        elif self.order == "descending":
            prizes.reverse()
        if play.payoffs is not None:
            prizes += self._left(prizes)
            first, second = first + self._left(first), second + self._left(second)
        shown = prizes[: max(len(second) + 1, len(first))] if play.payoffs is None else prizes
        names = form.title, form.players, self.spec.agents
        return draw_tricks(*names, play, shown, (first, second))

    def _left(self, used: Sequence[int]) -> list[int]:
        return [card for card in range(1, self.cards + 1) if card not in used]


class LiarsDice(TreeGame):
    """Liar's dice: bid on all dice under the cups, until somebody says liar."""

    name: ClassVar[str] = "game/liars_dice"
    dice: Count = eqx.field(static=True, default=1)
    """How many dice each player has."""
    sides: Count = eqx.field(static=True, default=4)
    """How many sides a die has."""

    @property
    def form(self) -> ExtensiveForm:
        return _liars_dice(self.dice, self.sides)

    def draw(self, state: TreeState) -> Picture:
        """The dice of both, and their bids."""
        form, play = self.form, self.play(state)
        hands = [[int(die) for die in re.findall(r"\d+", roll)] for roll in play.of(CHANCE)]
        return draw_hands(form.title, form.players, self.spec.agents, play, hands)


PENNIES = """EFG 2 R "matching pennies" { "player 1" "player 2" }
p "" 1 1 "" { "heads" "tails" } 0
p "" 2 1 "" { "heads" "tails" } 0
t "" 1 "same" { 1, -1 }
t "" 2 "different" { -1, 1 }
p "" 2 1 "" { "heads" "tails" } 0
t "" 2
t "" 1
"""


def _text(tree: str) -> str:
    """The text itself, so that a run keeps its game whatever becomes of the file."""
    return tree if tree.lstrip().startswith("EFG") else write_efg(read_efg(tree))


class GambitTree(TreeGame):
    """Any tree, from Gambit's `.efg`: matching pennies, one hidden from the other, unless given."""

    name: ClassVar[str] = "game/efg"
    tree: str = eqx.field(static=True, default=PENNIES, converter=_text)
    """The text of an `.efg` file, or where the file is."""

    @property
    def form(self) -> ExtensiveForm:
        return _read(self.tree)
