"""What all suites' worlds share: ends and limits told apart, boxes of several bounds, mistakes."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete
from shoal.envs.settings import read_settings
from shoal.envs.suites.suite import (
    HORIZON,
    Bounds,
    SuiteStep,
    SuiteWorld,
    build,
    import_suite,
    padded,
    parameters_of,
)


class Countdown(SuiteWorld):
    """Two agents; the first ends or falls with step 3, and the suite calls step 5 the end."""

    falls: bool = eqx.field(static=True, default=False)
    teams: tuple[int, ...] = eqx.field(static=True, default=(0, 0))
    plain: bool = eqx.field(static=True, default=False)  # whether the count begins as Python's 0
    deadly: bool = eqx.field(static=True, default=False)  # whether step 4 ends or fells the second

    @property
    def world(self):
        return None

    @property
    def own_limit(self):
        return {"clock": 5, "no clock": 0}[self.task]

    @property
    def limit_setting(self):
        return "clock"

    def describe(self):
        return EnvSpec(
            name="countdown",
            agents=("a", "b"),
            teams=self.teams,
            roles=(0, 0),
            obs_sizes=(1, 1),
            action=Discrete((2, 2)),
            state_size=0,
            horizon=self.limit,
        )

    def begin(self, key):
        return (0 if self.plain else jnp.int8(0)), self._seen(0, jnp.array([False, False]), False)

    def advance(self, key, inner, action, late):
        inner = inner.astype(jnp.int32) + 1  # another type than a reset's
        over = (inner >= 5) & (self.task == "clock")
        ended = jnp.stack([inner >= 3, over & ~late | (self.deadly & (inner >= 4))])
        return inner, self._seen(inner, ended, over)

    def _seen(self, time, ended, over):
        obs, over = jnp.full((2, 1), time, jnp.float32), jnp.asarray(over)
        if self.falls:
            return SuiteStep(obs, jnp.ones(2), jnp.zeros(2, bool), over, fallen=ended)
        return SuiteStep(obs, jnp.ones(2), ended, over)


def episode(env, steps):
    state, _ = env.reset(jax.random.key(0))
    for _ in range(steps):
        state, shown = env.step(jax.random.key(0), state, jnp.zeros(2, jnp.int32))
        yield shown


def test_the_world_s_own_limit_cuts_whom_nothing_else_has_ended():
    shown = list(episode(Countdown("clock"), 5))
    assert [s.terminated.tolist() for s in shown] == [[False] * 2] * 2 + [[True, False]] * 3
    assert [s.truncated.tolist() for s in shown] == [[False, False]] * 4 + [[False, True]]
    assert all(np.array_equal(s.active, ~s.terminated) for s in shown)
    assert [bool(s.done) for s in shown] == [False] * 4 + [True]


def test_a_shorter_horizon_cuts_first():
    shown = list(episode(Countdown("clock", horizon=3), 3))
    assert [s.truncated.tolist() for s in shown] == [[False, False]] * 2 + [[False, True]]
    assert shown[-1].terminated.tolist() == [True, False]  # an end with the last step is an end


def test_the_fallen_are_inactive_while_their_team_plays_on_and_are_cut_with_it():
    shown = list(episode(Countdown("clock", falls=True), 5))
    assert not any(s.terminated.any() for s in shown)
    assert [s.active.tolist() for s in shown] == [[True, True]] * 2 + [[False, True]] * 3
    assert [s.truncated.tolist() for s in shown] == [[False, False]] * 4 + [[True, True]]


def test_the_fallen_terminate_with_the_last_of_their_team():
    shown = list(episode(Countdown("clock", falls=True, deadly=True), 4))
    assert [s.terminated.tolist() for s in shown] == [[False, False]] * 3 + [[True, True]]
    assert [s.active.tolist() for s in shown][2:] == [[False, True], [False, False]]
    assert shown[-1].done and not any(s.truncated.any() for s in shown)


def test_whose_whole_team_has_fallen_has_terminated_though_others_play_on():
    shown = list(episode(Countdown("clock", falls=True, teams=(0, 1)), 5))
    assert [s.terminated.tolist() for s in shown] == [[False, False]] * 2 + [[True, False]] * 3
    assert [s.truncated.tolist() for s in shown] == [[False, False]] * 4 + [[False, True]]


def test_a_horizon_beyond_the_world_s_own_limit_is_a_mistake():
    with pytest.raises(UserError, match="horizon is 6, but clock ends its episodes after 5 steps"):
        _ = Countdown("clock", horizon=6).spec
    assert Countdown("no clock", horizon=6).spec.horizon == 6
    assert Countdown("no clock").spec.horizon == HORIZON
    with pytest.raises(UserError, match="horizon is -1, expected 0 or more"):
        Countdown("clock", horizon=-1)


def test_states_keep_their_types_so_that_scans_take_them():
    env = Countdown("clock")
    state, _ = env.reset(jax.random.key(0))
    after, _ = env.step(jax.random.key(0), state, jnp.zeros(2, jnp.int32))
    assert after.inner.dtype == state.inner.dtype == jnp.int8 and int(after.inner) == 1


def test_a_count_that_begins_as_a_plain_number_is_an_array():
    """As in Gymnax: what draws an episode puts the first state before the others."""
    state, _ = Countdown("clock", plain=True).reset(jax.random.key(0))
    assert isinstance(state.inner, jax.Array) and state.inner.shape == ()


def test_boxes_of_several_bounds_keep_them():
    bounds = Bounds.of("x", [([0.0, -2.0], [10.0, 2.0], (2,)), (-1.0, 3.0, (1,))])
    assert bounds.box == Box(((0.0, -2.0), (-1.0,)), ((10.0, 2.0), (3.0,)), (2, 1))
    assert bounds.own(0, jnp.array([-1.0, 0.5])).tolist() == [0.0, 0.5]
    assert bounds.own(1, jnp.array([9.0, 0.0])).tolist() == [3.0]  # clipped; padding is left out


def test_boxes_of_equal_bounds_stay_as_they_are():
    bounds = Bounds.of("x", [(-2.0, 2.0, (3,))] * 2)
    assert bounds.box == Box(-2.0, 2.0, (3, 3))
    assert bounds.own(1, jnp.array([-2.0, 0.5, 4.0])).tolist() == [-2.0, 0.5, 2.0]
    with pytest.raises(UserError, match="x has actions without bounds"):
        Bounds.of("x", [(-np.inf, np.inf, (2,))])


def test_rows_are_padded_with_zeros_behind():
    assert padded([jnp.ones(1), jnp.ones(3)], 4).tolist() == [[1, 0, 0, 0], [1, 1, 1, 0]]


class Made:
    def __init__(self, *, width: int = 1, **more):
        self.base = Inner(width, **more)


class Inner(Made):
    def __init__(self, width: int, depth: int = 1):
        if width < 0:
            raise AssertionError("too thin\nand more")


def test_constructors_complaints_are_one_line():
    known = functools.partial(parameters_of, Inner)
    assert sorted(known()) == ["depth", "width"]
    assert isinstance(build("x", Made, {"depth": 2}, known), Made)
    with pytest.raises(UserError, match=r"^unknown setting of x 'dept': did you mean 'depth'"):
        build("x", Made, {"dept": 2}, known)
    with pytest.raises(UserError, match=r"^x cannot be made: AssertionError: too thin$"):
        build("x", Made, {"width": -1}, known)


@pytest.mark.parametrize("text", ["{", "[1]", "3", ""])
def test_settings_are_a_json_object(text):
    with pytest.raises(UserError, match=r"settings of x are .*, expected (JSON|a JSON object)"):
        read_settings("x", text)


def test_a_missing_suite_says_how_to_install_it():
    with pytest.raises(UserError, match=r"^Nothing is not installed: pip install 'shoal\[no\]'$"):
        import_suite("nothing_of_this_name", "Nothing", "no")


def test_a_broken_suite_is_not_called_missing(tmp_path, monkeypatch, capsys):
    (tmp_path / "broken_suite.py").write_text("print('hello')\nimport nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"Broken cannot be imported: ModuleNotFoundError"):
        import_suite("broken_suite", "Broken", "broken")
    assert capsys.readouterr().out == ""
