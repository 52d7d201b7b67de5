"""GAME on the command line: a name, a file, or payoffs written out.

prisoners_dilemma   kuhn(players=3)   game.nfg   game.efg   open_spiel:leduc_poker
"1 -1; -1 1"        one number a cell: what the row player gains from the column player
"3,3 0,5; 5,0 1,1"  one number for each of the two players; "3, 3 0, 5" is the same
"[[[3,0],[5,1]], [[3,5],[0,1]]]"    JSON: payoffs [N, A1, ..., AN], or [A1, A2] of zero sum
"""

import inspect
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from shoal.cli.array_input import read_json, read_rows
from shoal.core.errors import UserError, require, unknown

FILES = (".nfg", ".efg")
ACTION_GRAPHS = (".agg", ".bagg")


def read_game(text: str) -> Any:
    """A `NormalForm` or an `ExtensiveForm`.

    Raises:
        UserError: there is no such game or file, or what is written out is no game.
    """
    text = text.strip()
    if text.lower().endswith(FILES):
        return _file(Path(text))
    require(
        not text.lower().endswith(ACTION_GRAPHS),
        f"{text}: action-graph games ({' and '.join(ACTION_GRAPHS)}) are not read, only Gambit's "
        f"tables and trees ({' and '.join(FILES)})",
    )
    if text.startswith("open_spiel:"):
        from shoal.games.open_spiel import from_open_spiel

        return from_open_spiel(text.removeprefix("open_spiel:"))
    if text.startswith("["):
        return _json(text)
    if re.match(r"^[\s\d.+\-/;,|eE]+$", text) and re.search(r"\d", text):
        return _matrix(text)
    return _named(text)


def read_payoffs(text: str) -> Any:
    """The payoffs `[N, A1, ..., AN]` of a game in normal form, as nested lists.

    Raises:
        UserError: see `read_game`; or it is a tree.
    """
    from shoal.games import NormalForm

    game = read_game(text)
    instead = f", which game/efg --env.tree {text} takes" if text.endswith(".efg") else ""
    require(isinstance(game, NormalForm), f"{text} is a tree{instead}: expected payoffs")
    return game.payoffs.tolist()


def action_words(actions: Iterable[str]) -> list[str]:
    """The names of actions, those that are numbers told from amounts: `action 1`."""
    return [f"action {name}" if name.isdecimal() else name for name in actions]


def _file(path: Path) -> Any:
    from shoal.games import read_efg, read_nfg

    require(path.is_file(), f"there is no file {path}")
    return (read_efg if path.suffix.lower() == ".efg" else read_nfg)(path)


def _json(text: str) -> Any:
    import numpy as np

    from shoal.games import NormalForm

    payoffs = read_json(text, "the list of payoffs", exact=True)
    try:
        two = np.ndim(payoffs) == 2
    except ValueError:
        two = False
    return NormalForm.zero_sum(payoffs) if two else NormalForm(payoffs)


def _matrix(text: str) -> Any:
    """One number a cell, or the two players' payoffs between commas."""
    from shoal.games import NormalForm

    for row in map(str.strip, text.split(";")):
        both = re.search(r",\S", row) and re.search(r",\s", row)
        require(
            not both or len(re.sub(r"\s*,\s*", ",", row).split()) > 1,
            f"'{row}' has commas with a blank and without: write '3,3 0,5' for two players, "
            "'3 0' for zero sum",
        )
    rows = read_rows(text)
    kinds = {len(cell) for row in rows for cell in row}
    require(
        kinds in ({1}, {2}),
        f"cells of the matrix have {sorted(kinds)} numbers, expected one each (zero sum) or two",
    )
    if kinds == {1}:
        return NormalForm.zero_sum([[cell[0] for cell in row] for row in rows])
    return NormalForm.bimatrix(*([[cell[i] for cell in row] for row in rows] for i in (0, 1)))


def _named(text: str) -> Any:
    """`name` or `name(option=value, ...)`."""
    found = re.match(r"^(?:game/)?([\w-]+)\s*(?:\((.*)\))?$", text, re.DOTALL)
    if not found:
        raise unknown("game", text, games())
    name, inside = found[1].replace("-", "_"), found[2] or ""
    known = games()
    if name not in known:
        raise unknown("game", text.split("(")[0], known)
    options = _options(name, inside, known[name])
    try:
        return known[name](**options)
    except TypeError as error:
        raise UserError(f"{name}: {error}") from None


def _options(name: str, inside: str, maker: Callable[..., Any]) -> dict[str, Any]:
    options = {}
    for part in re.split(r",(?![^\[]*\])", inside) if inside.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        require(bool(equals), f"'{part.strip()}' in {name}(...): expected option=value")
        if key not in inspect.signature(maker).parameters:
            raise unknown(f"option of {name}", key, inspect.signature(maker).parameters)
        try:
            options[key] = json.loads(value)
        except json.JSONDecodeError:
            options[key] = value.strip("'\"")
    return options


def games() -> dict[str, Callable[..., Any]]:
    """What makes each game that has a name."""
    from shoal import games as made

    trees = (made.kuhn, made.leduc, made.goofspiel, made.liars_dice, made.tic_tac_toe)
    return {**made.CLASSIC, **{tree.__name__: tree for tree in trees}}
