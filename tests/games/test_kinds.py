"""Every solver of `shoal.games` tells a game of the wrong kind in one line."""

import inspect
import pickle

import jax.numpy as jnp
import pytest

from shoal import games
from shoal.core.errors import UserError
from shoal.games import (
    CharacteristicFunction,
    ExtensiveForm,
    NormalForm,
    equilibria,
    kuhn,
    pure_equilibria,
    shapley,
)

WRONG = {
    NormalForm: [(kuhn(), "to_normal_form"), ([[1, 0]], "NormalForm.zero_sum"), (None, "NoneType")],
    ExtensiveForm: [(NormalForm.zero_sum([[1]]), "a tree"), ("kuhn", "this is str")],
    CharacteristicFunction: [([0, 1, 2, 4], "CharacteristicFunction(values)")],
}
FUNCTIONS = {
    name: getattr(games, name)
    for name in games.__all__
    if name not in games._BRIDGES and inspect.isfunction(getattr(games, name))
}


def test_all_that_take_a_game_ask_for_its_kind() -> None:
    asked = 0
    for name, solver in FUNCTIONS.items():
        first = next(iter(inspect.signature(solver).parameters.values()), None)
        for wrong, said in WRONG.get(first.annotation, []) if first else []:
            with pytest.raises(UserError) as error:
                solver(wrong)
            assert str(error.value).startswith(f"{name} takes ") and said in str(error.value)
            with pytest.raises(UserError):
                solver(**{first.name: wrong})
            asked += 1
    assert asked > 60


def test_right_games_pass_by_name_and_place() -> None:
    game = NormalForm.zero_sum([[1, 0]])
    assert len(equilibria(game)) == len(equilibria(game=game)) == len(pure_equilibria(game)) == 1
    assert shapley(CharacteristicFunction([0, 1, 2, 4])).tolist() == [1.5, 2.5]
    assert pickle.loads(pickle.dumps(equilibria)) is equilibria


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NormalForm([[1, 0]], [[0, 1]]), "NormalForm.bimatrix(row, column)"),
        (lambda: NormalForm([[1, 0], [0, 1]]), "NormalForm.zero_sum"),
        (lambda: NormalForm.bimatrix([[1, 0]]), "NormalForm.symmetric"),
        (lambda: NormalForm.zero_sum(kuhn()), "payoffs are of type ExtensiveForm"),
        (lambda: NormalForm([[[10**400]], [[0]]]), "a payoff is beyond 1e308"),
        (lambda: NormalForm(jnp.array([[[jnp.nan]], [[0.0]]])), "payoff [0, 0, 0] is nan"),
    ],
    ids=["two matrices", "one matrix", "half a bimatrix", "a tree", "too large", "nan of JAX"],
)
def test_what_makes_no_table_is_told_what_would(make, said: str) -> None:
    with pytest.raises(UserError) as error:
        make()
    assert said in str(error.value)
