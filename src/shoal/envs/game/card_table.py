"""Games of cards and dice as pictures: hands, what each player did and paid, and who wins."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from shoal.core.colors import INK, PALETTE, SOFT
from shoal.core.picture import Circle, Picture, Polygon, Rectangle, Shape, Text
from shoal.games.extensive.tree import CHANCE

FACE, EDGE, WON, PRIZE, RED = "#ffffff", "#adb5bd", "#2b8a3e", "#f59f00", "#e03131"
SUITS = {"a": RED, "b": INK}
LONGEST = 4  # moves of a player that are told
PIPS = {1: "e", 2: "ai", 3: "aei", 4: "acgi", 5: "acegi", 6: "acdfgi"}  # of places a to i


class Play(NamedTuple):
    """A game at some node: the moves from the root, each with who made it (a player's number or
    `CHANCE`), who moves next (below 0 where it is over) and, at the end, what each player gains."""

    moves: list[tuple[int, str]]
    actor: int
    payoffs: Sequence[float] | None

    def of(self, who: int) -> list[str]:
        """The moves of a player, or of chance."""
        return [move for actor, move in self.moves if actor == who]

    def said(self, agents: Sequence[str]) -> dict[str, str]:
        """The move just made, if a player made it."""
        made = [(who, move) for who, move in self.moves if who != CHANCE][-1:]
        return {agents[who]: move for who, move in made}

    def outcome(self, players: Sequence[str]) -> str:
        """Who wins how much, or whose turn it is."""
        if self.payoffs is None:
            return f"{players[self.actor]} is to move"
        wins = [f"{p} wins {x:g}" for p, x in zip(players, self.payoffs) if x > 0]
        return ", ".join(wins) or "nobody wins"


def draw_hands(
    title: str,
    players: Sequence[str],
    agents: Sequence[str],
    play: Play,
    hands: Sequence[Sequence[str | int]],
    *,
    public: Sequence[str | int] = (),
    paid: Sequence[int] = (),
) -> Picture:
    """Players side by side, each with a hand of cards (rank, and suit `a` or `b`) or dice (pips),
    what each did and has `paid`; between them what is `public`, and the pot."""
    shapes: list[Shape] = [Text(0.0, 0.88, title, SOFT, 0.07)]
    for i, (player, agent, hand) in enumerate(zip(players, agents, hands)):
        x = -1 + (2 * i + 1) / len(players)
        shapes += _row(hand, x, 0.4)
        shapes.append(Circle(x, -0.1, 0.08, PALETTE[i % len(PALETTE)], agent))
        shapes.append(Text(x, -0.29, player, SOFT, 0.06))
        made = play.of(i)
        told = (["..."] if len(made) > LONGEST else []) + made[-LONGEST:]
        shapes.append(Text(x, -0.4, ", ".join(told), size=0.075))
        if paid:
            shapes.append(Text(x, -0.53, f"paid {paid[i]}", SOFT, 0.06))
    shapes += _row(public, 0.0, 0.4)
    if paid:
        shapes.append(Text(0.0, -0.7, f"{sum(paid)} in the pot", size=0.07))
    shapes.append(Text(0.0, -0.88, play.outcome(players), size=0.08))
    return Picture(tuple(shapes), messages=play.said(agents))


def draw_tricks(
    title: str,
    players: Sequence[str],
    agents: Sequence[str],
    play: Play,
    prizes: Sequence[int],
    bids: tuple[Sequence[int], Sequence[int]],
) -> Picture:
    """Tricks side by side: the first player's bids above, the prizes, the second's below. A bid
    that took its prize has a green edge."""
    shapes: list[Shape] = [Text(0.0, 0.88, title, SOFT, 0.07)]
    wide = 1.6 / max(len(prizes), 4)
    points = [0, 0]
    for k, (prize, *pair) in enumerate(zip_longest(prizes, *bids)):
        x = -0.7 + wide * (k + 0.5)
        tall = min(0.42, 1.3 * wide)
        shapes += _card(str(prize), x, 0.02, 0.75 * tall, PRIZE)
        for i, (bid, y) in enumerate(zip(pair, (0.47, -0.43))):
            won = None not in pair and bid > pair[1 - i]
            points[i] += prize if won else 0
            if bid is not None:
                shapes += _card(str(bid), x, y, tall, WON if won else EDGE)
    for i, y in enumerate((0.47, -0.43)):
        shapes.append(Circle(-0.85, y, 0.08, PALETTE[i], agents[i]))
        shapes.append(
            Text(-0.85, y - 0.2, f"{points[i]} point" + "s" * (points[i] != 1), SOFT, 0.055)
        )
    shapes.append(Text(0.0, -0.88, play.outcome(players), size=0.08))
    return Picture(tuple(shapes), messages=play.said(agents))


def _row(things: Sequence[str | int], x: float, y: float) -> list[Shape]:
    """Cards and dice side by side around (x, y)."""
    out: list[Shape] = []
    for k, thing in enumerate(things):
        at = x + 0.3 * (k - (len(things) - 1) / 2)
        out += _die(thing, at, y) if isinstance(thing, int) else _card(thing, at, y, 0.42)
    return out


def _card(name: str, x: float, y: float, tall: float, edge: str = EDGE) -> list[Shape]:
    suit = SUITS.get(name[1:])
    out: list[Shape] = _block(x, y, 0.68 * tall, tall, edge)
    out.append(
        Text(x, y + (0.12 * tall if suit else 0), name[:1] if suit else name, size=0.4 * tall)
    )
    if suit:
        low, half = y - 0.24 * tall, 0.1 * tall
        corners = ((x, low + half), (x + 0.7 * half, low), (x, low - half), (x - 0.7 * half, low))
        out.append(Polygon(corners, suit))
    return out


def _die(pips: int, x: float, y: float) -> list[Shape]:
    out: list[Shape] = _block(x, y, 0.26, 0.26, EDGE)
    if pips not in PIPS:
        return [*out, Text(x, y, str(pips), size=0.15)]
    for place in map("abcdefghi".index, PIPS[pips]):
        out.append(Circle(x + 0.07 * (place % 3 - 1), y + 0.07 * (1 - place // 3), 0.025, INK))
    return out


def _block(x: float, y: float, wide: float, tall: float, edge: str) -> list[Shape]:
    """A card or a die, around (x, y)."""
    return [
        Rectangle(x - wide / 2 - t, y - tall / 2 - t, wide + 2 * t, tall + 2 * t, color, 0.03)
        for t, color in ((0.012, edge), (0.0, FACE))
    ]
