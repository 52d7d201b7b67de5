"""Pure equilibria: textbook games, the definition one action profile at a time, and ties."""

from itertools import product

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.classic import covariant
from shoal.games.normal_form import NormalForm
from shoal.games.pure_equilibria import pure_action_profiles, pure_equilibria

# McKelvey and McLennan's 2 x 2 x 2 game has four among its nine; [player, a, b, c]
MCKELVEY = np.zeros((3, 2, 2, 2))
MCKELVEY[:, 0, 0, 0] = 9, 8, 12
MCKELVEY[:, 1, 1, 0] = 9, 8, 2
MCKELVEY[:, 0, 1, 1] = 3, 4, 6
MCKELVEY[:, 1, 0, 1] = 3, 4, 4


def found(game: NormalForm, **options: float) -> list[tuple[int, ...]]:
    found = pure_equilibria(game, **options)
    assert not found.complete and max(found.regrets, default=0.0) <= 1e-9
    return [tuple(int(x.argmax()) for x in profile) for profile in found]


@pytest.mark.parametrize(
    ("game", "want"),
    [
        (NormalForm([[[3, 0], [5, 1]], [[3, 5], [0, 1]]]), [(1, 1)]),
        (NormalForm.symmetric(np.eye(3)), [(0, 0), (1, 1), (2, 2)]),
        (NormalForm.zero_sum([[1, -1], [-1, 1]]), []),
        (NormalForm.zero_sum([[2, 1, 5], [-3, -4, -2]]), [(0, 1)]),
        (NormalForm.zero_sum(np.zeros((1, 2))), [(0, 0), (0, 1)]),
        (NormalForm(MCKELVEY), [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]),
        (NormalForm([[1.0, 3.0, 2.0]]), [(1,)]),
    ],
    ids=["dilemma", "coordination", "pennies", "saddle", "tie", "three players", "one player"],
)
def test_by_hand(game: NormalForm, want: list[tuple[int, ...]]) -> None:
    assert found(game) == want


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2), (2, 2, 2, 3)])
def test_by_the_definition(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    some = 0
    for _ in range(10):
        payoffs = rng.integers(0, 4, (len(shape), *shape)).astype(float)
        want = []
        for actions in product(*map(range, shape)):
            others = [
                payoffs[(i, *actions[:i], b, *actions[i + 1 :])] <= payoffs[(i, *actions)]
                for i in range(len(shape))
                for b in range(shape[i])
            ]
            want += [actions] * all(others)
        assert found(NormalForm(payoffs)) == want
        some += len(want)
    assert some


def test_payoffs_that_differ_by_rounding_tie() -> None:
    game = NormalForm.bimatrix([[0.1 + 0.2], [0.3], [0.0]], [[0], [0], [0]])
    assert found(game) == [(0, 0), (1, 0)]
    assert found(game, tolerance=0.0) == [(0, 0)]


def test_a_common_interest_has_one() -> None:
    game = covariant((2, 3, 2), 1.0, 1)
    best = np.unravel_index(int(np.argmax(game.payoffs[0])), game.num_actions)
    assert best in pure_action_profiles(game)


def test_bad_input_is_named() -> None:
    with pytest.raises(UserError, match="tolerance is -1, expected 0 or more"):
        pure_equilibria(NormalForm.symmetric(np.eye(2)), tolerance=-1.0)
