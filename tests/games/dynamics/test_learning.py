"""Learners: hand arithmetic, regret bounds of the theorems, and known limits and cycles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.dynamics.learning import (
    fictitious_play,
    hedge,
    matching,
    nearest_distribution,
    projection,
    regret_matching,
)
from shoal.games.normal_form import NormalForm, expected_payoffs

PENNIES = NormalForm.zero_sum([[1, -1], [-1, 1]])
RPS = NormalForm.zero_sum([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
BIASED = NormalForm.zero_sum([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])
SHAPLEY = NormalForm.bimatrix(np.eye(3), np.roll(np.eye(3), 1, axis=1))
GENERAL = NormalForm(np.random.default_rng(3).uniform(size=(3, 2, 3, 4)))  # three players
AT_ONCE = {"alternating": False}
SOLVERS = {
    "regret matching": (regret_matching, {}, 1e-3),
    "regret matching+, linear": (regret_matching, {"plus": True, "averaging": 1.0}, 1e-3),
    "regret matching, at once": (regret_matching, AT_ONCE, 0.02),
    "regret matching+, linear, at once": (
        regret_matching,
        AT_ONCE | {"plus": True, "averaging": 1.0},
        1e-2,
    ),
    "optimistic regret matching+": (regret_matching, {"plus": True, "optimistic": True}, 1e-3),
    "optimistic hedge": (hedge, {"optimistic": True}, 1e-3),
    "optimistic ascent": (projection, {"optimistic": True, "rate": 0.1}, 1e-3),
    "fictitious play": (fictitious_play, {}, 0.05),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    ("game", "row"),
    [(PENNIES, [1 / 2, 1 / 2]), (RPS, [1 / 3] * 3), (BIASED, [1 / 16, 10 / 16, 5 / 16])],
    ids=["pennies", "rps", "biased rps"],
)
def test_the_average_solves_zero_sum_games(name: str, game: NormalForm, row: list) -> None:
    solver, settings, bound = SOLVERS[name]
    count = game.num_actions[0]
    rising = np.arange(1, count + 1) / np.arange(1, count + 1).sum()
    start = (rising, np.eye(count)[1] * 0.9 + 0.1 / count)  # far from equilibrium, and inside
    played = solver(game, 20_000, start=start, every=20_000, **settings)
    assert played.average_regret[-1] < bound
    assert played.average_regret[0] > bound  # the start is far from it
    assert abs(expected_payoffs(game, played.last_average)[0]) < bound  # the value is 0
    if bound <= 1e-3:
        np.testing.assert_allclose(played.last_average[0], row, rtol=0, atol=0.02)


def test_fictitious_play_cycles_in_shapleys_game() -> None:
    """Each run of one action profile is longer than the last by a ratio r with r^3 = r^2 + 1: in a
    cycle of six profiles the rival's counts of two actions must balance when a player turns."""
    played = fictitious_play(SHAPLEY, 30_000, start=([1.0, 0, 0], [1.0, 0, 0]))
    joint = played.profiles[0].argmax(1) * 3 + played.profiles[1].argmax(1)
    turns = np.flatnonzero(np.diff(joint))
    lengths = np.diff(turns)
    ratio = max(r.real for r in np.roots([1, -1, 0, -1]) if abs(r.imag) < 1e-12)
    assert abs(ratio - 1.46557) < 1e-5
    np.testing.assert_allclose(lengths[-4:] / lengths[-5:-1], ratio, rtol=5e-3)
    visited = joint[turns[-7:] + 1].tolist()
    assert visited[0] == visited[6] and len(set(visited)) == 6
    assert played.average_regret[-2000:].min() > 0.05


def test_first_steps_by_hand() -> None:
    start = ([1.0, 0.0], [1.0, 0.0])
    # The row gains 1 and regrets nothing: uniform. The column lost 1 and would have gained 1.
    played = regret_matching(PENNIES, 2, start=start, **AT_ONCE)
    assert played.profiles[0][1].tolist() == [0.5, 0.5]
    assert played.profiles[1][1].tolist() == [0.0, 1.0]
    # Then the row loses 0 on average; its sums are 0 - 1, -2 + 1, and the column's 0 + 0, 2 + 0.
    assert played.profiles[0][2].tolist() == [0.5, 0.5]
    # With plus they are [0 - 1]+, [0 + 1]+: the row turns at once.
    plus = regret_matching(PENNIES, 2, plus=True, start=start, **AT_ONCE)
    assert plus.profiles[0][2].tolist() == [0.0, 1.0]
    # Optimism adds the last regret: [0 - 1]+ - 1, [0 + 1]+ + 1.
    both = regret_matching(PENNIES, 2, plus=True, optimistic=True, start=start, **AT_ONCE)
    assert both.profiles[0][2].tolist() == [0.0, 1.0]
    weights = hedge(PENNIES, 1, rate=0.5, start=([0.5, 0.5], [1.0, 0.0])).profiles[0][1]
    np.testing.assert_allclose(weights[0] / weights[1], np.exp(0.5 * 2), rtol=1e-12)
    ahead = hedge(PENNIES, 1, rate=0.5, optimistic=True, start=([0.5, 0.5], [1.0, 0.0]))
    weights = ahead.profiles[0][1]
    np.testing.assert_allclose(weights[0] / weights[1], np.exp(0.5 * 4), rtol=1e-12)
    climbed = projection(PENNIES, 1, rate=0.1, start=([0.5, 0.5], [1.0, 0.0])).profiles[0][1]
    np.testing.assert_allclose(climbed, [0.6, 0.4], rtol=0, atol=1e-15)


def test_taking_turns_by_hand() -> None:
    """Against half and half the row regrets nothing, and turns to half and half. The column meets
    that, and stays; all at once, it would have met heads, and turned to tails."""
    turns = regret_matching(PENNIES, 2, start=([1.0, 0.0], [0.5, 0.5]))
    assert turns.parameters["alternating"] is True
    # The row gains 0 either way. Then the column, which meets (.5, .5), also: all stay.
    assert turns.profiles[0][1].tolist() == turns.profiles[1][1].tolist() == [0.5, 0.5]
    at_once = regret_matching(PENNIES, 2, start=([1.0, 0.0], [0.5, 0.5]), **AT_ONCE)
    assert at_once.profiles[0][1].tolist() == [0.5, 0.5]
    assert at_once.profiles[1][1].tolist() == [0.0, 1.0]  # tails beats heads


def test_turns_are_taken_where_that_helps() -> None:
    drawn = regret_matching(PENNIES, 2, key=jax.random.key(0))
    others = [drawn, regret_matching(GENERAL, 2), regret_matching(SHAPLEY, 2)]
    assert [p.parameters["alternating"] for p in others] == [False] * 3
    moved = NormalForm(np.asarray(RPS.payoffs) + 7)  # the sum is constant
    assert regret_matching(moved, 2).parameters["alternating"] is True


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("game", [PENNIES, RPS, BIASED], ids=["pennies", "rps", "biased rps"])
def test_turns_bring_the_average_near_like_one_over_steps(game: NormalForm, plus: bool) -> None:
    count = game.num_actions[0]
    starts = np.random.default_rng(0).dirichlet([0.5] * count, (2, 20))
    played = regret_matching(game, 20_000, plus=plus, start=tuple(starts), every=100)
    early, late = played.average_regret[:, 50], played.average_regret[:, -1]  # 5,000 and 20,000
    assert (played.average_regret[:, 0] > 0.01).all()
    assert early.max() < 1e-3 and late.max() < 3e-4


def test_fictitious_play_answers_the_mean() -> None:
    played = fictitious_play(PENNIES, 4, start=([1.0, 0.0], [0.25, 0.75]))
    # Column's mean is (.25, .75): the row answers 2; the row's mean is (1, 0): the column takes 2.
    assert played.profiles[0][1].tolist() == [0, 1] and played.profiles[1][1].tolist() == [0, 1]
    # Then the means are (.5, .5), a tie, the first; and (.125, .875).
    assert played.profiles[0][2].tolist() == [0, 1] and played.profiles[1][2].tolist() == [1, 0]


@pytest.mark.parametrize("steps", [50, 400])
def test_hedge_keeps_its_bound_in_a_game_of_three(steps: int) -> None:
    played = hedge(GENERAL, steps, every=steps)
    for i, count in enumerate(GENERAL.num_actions):
        span = np.ptp(GENERAL.payoffs[i])
        assert played.external_regret[-1, i] <= span * np.sqrt(np.log(count) / (2 * steps))


def test_hedge_with_a_falling_rate_keeps_its_bound_at_all_times() -> None:
    spans = np.array([np.ptp(p) for p in GENERAL.payoffs])
    counts = np.array(GENERAL.num_actions)
    played = hedge(GENERAL, 400, rate=np.sqrt(8 * np.log(counts)) / spans, decay=0.5)
    t = played.times[1:, None]
    bound = spans * (2 * np.sqrt(t * np.log(counts) / 2) + np.sqrt(np.log(counts) / 8)) / t
    assert (played.external_regret[1:] <= bound).all()


def test_optimistic_hedge_has_constant_regret_in_sum() -> None:
    played = hedge(BIASED, 2000, optimistic=True, start=([0.8, 0.1, 0.1], [0.1, 0.1, 0.8]))
    total = played.external_regret[1:].sum(1) * played.times[1:]
    # From this start the ln A of the bound, 2 R N (N-1) ln A, is the distance -ln of its least
    # entry. R is 1.
    assert np.ptp(BIASED.payoffs[0]) == 1 and total.max() <= 2 * 2 * -np.log(0.1)
    assert total.max() > 0.1 * np.log(3)  # and there is something to bound


@pytest.mark.parametrize("plus", [False, True])
def test_regret_matching_keeps_its_bound(plus: bool) -> None:
    played = regret_matching(GENERAL, 400, plus=plus)  # of three: all learn at once
    spans = np.array([np.ptp(p) for p in GENERAL.payoffs])
    bound = spans * np.sqrt(np.array(GENERAL.num_actions) / played.times[1:, None])
    assert (played.external_regret[1:] <= bound).all()


@pytest.mark.parametrize(
    ("point", "want"),
    [
        ([0.8, 0.6], [0.6, 0.4]),
        ([2.0, 0.0], [1.0, 0.0]),
        ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
        ([0.5, 0.5, -3.0], [0.5, 0.5, 0.0]),
        ([-1.0, -1.0], [0.5, 0.5]),
    ],
)
def test_nearest_distribution(point: list, want: list) -> None:
    np.testing.assert_allclose(nearest_distribution(jnp.array(point)), want, rtol=0, atol=1e-6)


def test_matching_without_regret_is_uniform() -> None:
    assert matching(jnp.array([-1.0, 0.0, -2.0, -3.0])).tolist() == [0.25] * 4
    assert matching(jnp.array([-1.0, 3.0, 1.0])).tolist() == [0.0, 0.75, 0.25]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: hedge(PENNIES, 5, rate=0.0), "rate is 0.0, expected > 0"),
        (lambda: projection(PENNIES, 5, rate=-1.0), "rate is -1.0"),
        (lambda: fictitious_play(PENNIES, 5, temperature=0.0), "temperature is 0.0"),
        (lambda: regret_matching(PENNIES, 5).equilibrium("first"), "unknown choice 'first'"),
    ],
)
def test_bad_input_of_learners_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
