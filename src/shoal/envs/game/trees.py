"""Game trees as worlds, by name."""

import functools
from typing import ClassVar, Literal

import equinox as eqx

from shoal.core.limits import Count
from shoal.envs.game.tree import TreeGame
from shoal.games.extensive.goofspiel import goofspiel
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.leduc import leduc
from shoal.games.extensive.liars_dice import liars_dice
from shoal.games.extensive.tree import ExtensiveForm
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


class Leduc(TreeGame):
    """Leduc hold'em: a private card, a public card, two rounds of bets."""

    name: ClassVar[str] = "game/leduc"

    @property
    def form(self) -> ExtensiveForm:
        return _leduc()


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
