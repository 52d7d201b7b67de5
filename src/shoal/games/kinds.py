"""A game of the wrong kind is told in one line, with what makes the right one of it.

Tables, trees and coalitions have other solvers; the first argument of each says which it takes.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from shoal.core.errors import UserError
from shoal.games.cooperative.characteristic import CharacteristicFunction
from shoal.games.extensive.tree import ExtensiveForm
from shoal.games.normal_form import NormalForm

KINDS = {
    NormalForm: "a table, NormalForm: NormalForm.zero_sum(matrix) or "
    "NormalForm.bimatrix(row, column) makes one of matrices",
    ExtensiveForm: "a tree, ExtensiveForm: kuhn(), read_efg(file) or extensive_form(rules) makes "
    "one",
    CharacteristicFunction: "the values of coalitions, CharacteristicFunction: "
    "CharacteristicFunction(values) makes one of a list",
}
OF_A_TREE = "a table, NormalForm: to_normal_form(game) makes one of a tree"


def asks_for_its_kind(name: str, solver: Callable[..., Any]) -> Callable[..., Any]:
    """The solver that `shoal.games` offers by this name, which first asks whether its game is of
    the kind that its first parameter says; as it is, if that says none."""
    first = next(iter(inspect.signature(solver).parameters.values()), None)
    if first is None or first.annotation not in KINDS:
        return solver
    kind: type = first.annotation

    @functools.wraps(solver)
    def asked(*given: Any, **named: Any) -> Any:
        game = given[0] if given else named.get(first.name)
        if (given or first.name in named) and not isinstance(game, kind):
            tree = kind is NormalForm and isinstance(game, ExtensiveForm)
            wanted = OF_A_TREE if tree else KINDS[kind]
            raise UserError(f"{name} takes {wanted}; this is {type(game).__name__}")
        return solver(*given, **named)

    asked.__module__, asked.__qualname__ = "shoal.games", name  # where pickle finds it
    return asked
