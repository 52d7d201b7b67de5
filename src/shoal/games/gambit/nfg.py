"""Gambit's `.nfg` files: games in normal form, to and from text.

A file lists payoffs by action profile, player 1's action fastest; or it lists outcomes, and
then the number of each action profile's outcome.
https://gambitproject.readthedocs.io/en/latest/formats.html
"""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np

from shoal.games.exact_numbers import exact_array
from shoal.games.gambit.tokens import Reader, quoted, read_head, unique_names, write_number
from shoal.games.normal_form import NormalForm

MOST = 10_000_000  # payoffs


def read_nfg(path_or_text: str | Path) -> NormalForm:
    """Reads a game from an `.nfg` file, or from its text.

    >>> read_nfg('NFG 1 R "" { "a" "b" } { 2 1 } 1 2 3 4').payoffs.tolist()
    [[[1.0], [3.0]], [[2.0], [4.0]]]

    Raises:
        UserError: there is no such file, or it is malformed; with line and column.
    """
    reader = Reader(path_or_text, "NFG")
    title, players = read_head(reader, "NFG")
    actions = _read_actions(reader, len(players))
    reader.accept("text")  # a comment
    count = math.prod(map(len, actions))
    if count * len(players) > MOST:
        much = f"{count:,} action profiles of {len(players)} players"
        reader.fail(f"{much}, expected at most {MOST:,} payoffs")
    outcomes = reader.peek().text == "{"
    rows = (_read_outcomes if outcomes else _read_payoffs)(reader, len(players), count)
    if reader.peek().kind != "end":
        reader.fail(f"expected the end after {count} action profiles, found {reader.peek().text}")
    flat = exact_array(rows)
    shape = tuple(map(len, actions))
    return NormalForm(
        np.stack([column.reshape(shape, order="F") for column in flat.T]),
        players=unique_names(players, "player "),
        actions=[unique_names(names) for names in actions],
        title=title,
    )


def write_nfg(game: NormalForm) -> str:
    """The text of an `.nfg` file. Numbers are rational where their denominators are small,
    decimal where decimals are all of them, and rational elsewhere.

    >>> print(write_nfg(NormalForm.zero_sum([[1 / 3, 0]], title="tiny")))
    NFG 1 R "tiny" { "player 1" "player 2" }
    { { "1" }
      { "1" "2" } }
    ""
    <BLANKLINE>
    1/3 -1/3
    0 0
    <BLANKLINE>
    """
    names = [" ".join(map(quoted, actions)) for actions in game.actions]
    payoffs = np.stack([p.ravel(order="F") for p in game.exact()], 1)
    return "\n".join(
        [
            f"NFG 1 R {quoted(game.title)} {{ {' '.join(map(quoted, game.players))} }}",
            "{ " + "\n  ".join(f"{{ {n} }}" for n in names) + " }",
            '""',
            "",
            *(" ".join(map(write_number, row)) for row in payoffs),
            "",
        ]
    )


def _read_actions(reader: Reader, num_players: int) -> list[list[str]]:
    """`{ 3 2 }` or `{ { "a" "b" "c" } { "d" "e" } }`."""
    opened = reader.take("brace", "'{' before the players' actions", "{")
    actions: list[list[str]] = []
    while not reader.accept("brace", "}"):
        if reader.peek().kind == "number":
            count = reader.integer("a number of actions")
            if count > MOST:
                reader.fail(f"{count:,} actions of one player, expected at most {MOST:,}", opened)
            actions.append([str(a + 1) for a in range(count)])
        else:
            actions.append(reader.strings("a player's actions"))
        if not actions[-1]:
            reader.fail(f"player {len(actions)} has no actions")
    if len(actions) != num_players:
        reader.fail(f"actions of {len(actions)} players, expected {num_players}", opened)
    return actions


def _read_payoffs(reader: Reader, num_players: int, count: int) -> list[list[Fraction]]:
    return [
        [reader.number(f"{count * num_players} payoffs") for _ in range(num_players)]
        for _ in range(count)
    ]


def _read_outcomes(reader: Reader, num_players: int, count: int) -> list[list[Fraction]]:
    """`{ { "name" 1, 2 } ... }`, then the number of each action profile's outcome; 0 is none."""
    reader.take("brace", "'{'", "{")
    outcomes = [[Fraction(0)] * num_players]
    while not reader.accept("brace", "}"):
        reader.take("brace", "'{' before an outcome", "{")
        reader.accept("text")
        token = reader.peek()
        outcomes.append(reader.numbers("a payoff"))
        if len(outcomes[-1]) != num_players:
            reader.fail(f"{len(outcomes[-1])} payoffs, expected {num_players}", token)
    rows = []
    for _ in range(count):
        token = reader.peek()
        number = reader.integer(f"{count} numbers of outcomes")
        if not 0 <= number < len(outcomes):
            reader.fail(f"there is no outcome {number}, they are 1 to {len(outcomes) - 1}", token)
        rows.append(outcomes[number])
    return rows
