"""A sound world passes; a world with a planted defect is told which, where and how to mend it."""

import dataclasses
import random
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal import registry
from shoal.core.env import Env, EnvSpec, TimeStep
from shoal.core.errors import UserError
from shoal.core.picture import Circle, Picture, Polygon, Text
from shoal.core.spaces import Box, Discrete
from shoal.envs.check import CHECKS, check_environment, inspect_environment

HORIZON = 6


class Walk(eqx.Module):
    place: Any  # [2]
    time: Any
    extra: Any = None


class Good(Env):
    """Two walkers on a line. The first leaves at 4 or beyond; the second acts at even times, and
    always once it is alone."""

    horizon: int = eqx.field(static=True, default=HORIZON)

    @property
    def spec(self):
        return EnvSpec(
            name="good",
            agents=("left", "right"),
            teams=(0, 1),
            roles=(0, 1),
            obs_sizes=(2, 3),
            action=Discrete((2, 3)),
            state_size=2,
            horizon=self.horizon,
            metrics=(("far", "max"),),
        )

    def reset(self, key):
        place = jax.random.uniform(key, (2,), minval=0.5)
        state = Walk(place, jnp.int32(0))
        return state, self.show(state, jnp.zeros(2))

    def step(self, key, state, action):
        move = jnp.where(self.active(state), action, 0)
        place = state.place + move + 0.01 * jax.random.normal(key, (2,))
        state = Walk(place, state.time + 1)
        return state, self.show(state, move.astype(jnp.float32))

    def gone(self, state):
        return jnp.array([state.place[0] >= 4.0, False])

    def active(self, state):
        gone = self.gone(state)
        return ~gone & jnp.array([True, gone[0] | (state.time % 2 == 0)])

    def legal(self, state):
        first = jnp.arange(3) == 0
        return jnp.where(self.active(state)[:, None], jnp.arange(3) < jnp.array([[2], [3]]), first)

    def show(self, state, reward):
        own = jnp.stack([state.place, state.place[::-1], jnp.array([0.0, 1.0])], -1)
        return TimeStep(
            obs=own,
            reward=reward,
            terminated=self.gone(state),
            truncated=jnp.full(2, state.time >= self.horizon),
            active=self.active(state),
            action_mask=self.legal(state),
            global_state=state.place,
            metrics={"far": state.place.max()},
        )

    def scripted(self, state):
        return jnp.where(self.active(state), jnp.array([1, 2]), 0)

    def draw(self, state):
        left, right = (float(x) for x in state.place)
        return Picture((Circle(left, 0.0, 0.1, "#ff0000"), Text(right, 0.0, "right")))


def test_a_sound_world_has_no_findings():
    report = inspect_environment(Good(), episodes=8)
    assert report.findings == [] and report.skipped == {}
    assert {report.outcome(check) for check in CHECKS} == {"passed"}


class Spoilt(Good):
    """Changes what a sound world returns."""

    def reset(self, key):
        state, timestep = super().reset(key)
        return self.spoil(key, None, None, state, timestep, False)

    def step(self, key, state, action):
        return self.spoil(key, state, action, *super().step(key, state, action), True)

    def spoil(self, key, before, action, state, timestep, stepped):
        return state, self.spoil_timestep(state, timestep, stepped)

    def spoil_timestep(self, state, timestep, stepped):
        return timestep


def put(thing, **values):
    """A copy with some fields replaced, which no constructor checks."""
    copy = jax.tree.map(lambda x: x, thing)
    for name, value in values.items():
        object.__setattr__(copy, name, value)
    return copy


def spoilt(**changes):
    """A world whose timesteps have some fields replaced by functions of (state, field, stepped)."""

    class World(Spoilt):
        def spoil_timestep(self, state, timestep, stepped):
            new = {k: f(state, getattr(timestep, k), stepped) for k, f in changes.items()}
            return put(timestep, **new)

    return World()


def with_spec(**changes):
    """A world whose spec has some fields replaced."""

    class World(Good):
        @property
        def spec(self):
            return put(super().spec, **changes)

    return World()


def found(env, check, severity="error", **settings):
    """The finding of that check, which must be the only error there is."""
    report = inspect_environment(env, **({"episodes": 8} | settings))
    errors = {f.check for f in report.findings if f.severity == "error"}
    assert errors == ({check} if severity == "error" else set()), report.findings
    finding = next(f for f in report.findings if (f.check, f.severity) == (check, severity))
    assert finding.seen and finding.expected and finding.mend
    return finding


# The spec.


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teams": (0,)}, "spec.teams has 1 entries, spec.agents has 2"),
        ({"obs_sizes": (2, 3, 3)}, "spec.obs_sizes has 3 entries"),
        ({"obs_sizes": (2, 0)}, "spec.obs_sizes is (2, 0)"),
        ({"action": Discrete((2,))}, "spec.action.sizes has 1 entries"),
        ({"action": 3}, "spec.action is of type int"),
        ({"agents": ("a", "a")}, "two agents have one name"),
        ({"agents": ["a", "b"]}, "spec.agents is ['a', 'b']"),
        ({"horizon": 0}, "spec.horizon is 0"),
        ({"horizon": 2.5}, "spec.horizon is 2.5"),
        ({"state_size": -1}, "spec.state_size is -1"),
        ({"metrics": ("far", "max")}, "spec.metrics is ('far', 'max')"),
        ({"metrics": (("far", "mad"),)}, "metric far is reduced by 'mad'"),
    ],
)
def test_defects_of_the_spec(changes, said):
    assert said in found(with_spec(**changes), "spec").seen


def test_a_list_in_a_static_field_cannot_be_hashed():
    class World(Good):
        sizes: list = eqx.field(static=True, default_factory=lambda: [1])

    assert "World.sizes cannot be hashed: unhashable type: 'list'" in found(World(), "spec").seen


def test_a_spec_that_changes_is_not_static():
    class World(Good):
        @property
        def spec(self):
            counts.append(0)
            return put(super().spec, horizon=HORIZON + len(counts))

    counts = []
    assert "two different specs" in found(World(), "spec").seen


def test_what_is_no_environment_and_what_has_no_spec():
    assert "it is a int" in found(3, "spec").seen

    class World(Good):
        @property
        def spec(self):
            return {}["none"]

    assert "KeyError in test_check.py, line" in found(World(), "spec").seen

    class Method(Good):
        def spec(self):
            return super().spec

    assert "write @property" in found(Method(), "spec").mend


def test_a_field_that_no_config_can_keep_is_a_warning():
    class World(Good):
        kind: type = eqx.field(static=True, default=int)

    assert "field kind is a type" in found(World(), "spec", "warning").seen


def test_one_role_of_different_agents_is_a_warning():
    assert "role 0" in found(with_spec(roles=(0, 0)), "spec", "warning").seen


# Compiling.


def stepping(function):
    """A world with another step."""

    class World(Good):
        def step(self, key, state, action):
            return function(super(), key, state, action)

    return World()


def branch(world, key, state, action):
    return world.step(key, state, action + 1 if state.time > 3 else action)


def by_numpy(world, key, state, action):
    return world.step(key, put(state, place=np.sort(state.place)), action)


def by_int(world, key, state, action):
    return world.step(key, state, action + int(state.time))


def by_range(world, key, state, action):
    return world.step(key, state, action + len(range(state.time)))


def one_value(world, key, state, action):
    return world.step(key, state, action)[0]


def a_name(world, key, state, action):
    state, timestep = world.step(key, state, action)
    return put(state, extra="walking"), timestep


def leak(world, key, state, action):
    KEPT.append(state.place)
    return world.step(key, state, action)


KEPT = []


@pytest.mark.parametrize(
    ("step", "seen", "mend"),
    [
        (branch, "TracerBoolConversionError in test_check.py, line", "jnp.where"),
        (by_numpy, "TracerArrayConversionError in test_check.py", "use jax.numpy"),
        (by_int, "ConcretizationTypeError", "keep it an array"),
        (by_range, "TracerIntegerConversionError in test_check.py", "jax.lax.fori_loop"),
        (one_value, "step returns a Walk", "return state, TimeStep(...)"),
        (a_name, "step raises TypeError", "static fields"),
        (leak, "step raises Exception", "nothing may be kept outside"),
    ],
)
def test_what_does_not_compile(step, seen, mend):
    finding = found(stepping(step), "compile")
    KEPT.clear()
    assert seen in finding.seen and mend in finding.mend


def test_an_environment_that_changes_itself():
    class World(Good):
        def reset(self, key):
            self.horizon = 3
            return super().reset(key)

    assert "belongs into the state" in found(World(), "compile").mend


# Purity.


def global_numpy(world, key, state, action):
    return world.step(key, put(state, place=state.place + np.random.rand()), action)


def unseeded(world, key, state, action):
    shift = np.random.default_rng().random()
    return world.step(key, put(state, place=state.place + shift), action)


def python_random(world, key, state, action):
    return world.step(key, put(state, place=state.place + random.random()), action)


def counter(world, key, state, action):
    COUNTS.append(0)
    return world.step(key, put(state, place=state.place + len(COUNTS)), action)


def callback(world, key, state, action):
    draw = jax.pure_callback(lambda: np.float32(RNG.random()), jax.ShapeDtypeStruct((), "float32"))
    return world.step(key, put(state, place=state.place + draw), action)


COUNTS, RNG = [], np.random.default_rng(0)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (global_numpy, "draws NumPy's global random numbers"),
        (unseeded, "step compiled twice makes two different programs"),
        (python_random, "step compiled twice makes two different programs"),
        (counter, "step compiled twice makes two different programs"),
    ],
)
def test_what_does_not_come_from_the_arguments(step, said):
    assert said in found(stepping(step), "pure").seen


def test_a_callback_that_draws():
    report = inspect_environment(stepping(callback), episodes=4)
    assert any("played twice give different episodes" in f.seen for f in report.findings)


# Shapes and types.


@pytest.mark.parametrize(
    ("changes", "said", "mend"),
    [
        ({"obs": lambda s, x, _: x[:, :2]}, "obs of {} is float32[2, 2]", "shown 2 numbers"),
        ({"obs": lambda s, x, _: x[0]}, "obs of {} is float32[3]", "a row of numbers for each"),
        ({"obs": lambda s, x, _: x.astype(jnp.float16)}, "obs of {} is float16[2, 3]", "astype"),
        ({"reward": lambda s, x, _: x.sum()}, "reward of {} is float32[]", "jnp.full(2, x)"),
        ({"reward": lambda s, x, _: x.astype(int)}, "reward of {} is int32[2]", "jnp.float32"),
        ({"terminated": lambda s, x, _: x.all()}, "terminated of {} is bool[]", "jnp.full(2"),
        (
            {"truncated": lambda s, x, _: x.all()},
            "truncated of {} is bool[]",
            "one truth value for each",
        ),
        ({"active": lambda s, x, _: x[:1]}, "active of {} is bool[1]", "one value for each agent"),
        ({"action_mask": lambda s, x, _: x[:, :2]}, "action_mask of {} is bool[2, 2]", "a row"),
        ({"action_mask": lambda s, x, _: None}, "action_mask of {} is None", "spec.action.mask"),
        ({"global_state": lambda s, x, _: None}, "global_state of {} is None", "state_size=0"),
        ({"global_state": lambda s, x, _: x[:1]}, "global_state of {} is float32[1]", "row of 2"),
        ({"metrics": lambda s, x, _: {}}, "metrics of {} are []", "the same metrics"),
        ({"metrics": lambda s, x, _: {"far": s.time}}, "metrics['far'] of {} is int32[]", "astype"),
        ({"metrics": lambda s, x, _: {"far": s.place}}, "metrics['far'] of {} is", "x.mean()"),
    ],
)
def test_timesteps_that_are_not_what_the_spec_says(changes, said, mend):
    """One finding, though reset and step both have the defect; and of one alone, one."""
    report = inspect_environment(spoilt(**changes), episodes=2)
    [finding] = [f for f in report.findings if f.check == "timestep"]
    assert said.format("reset and step") in finding.seen and mend in finding.mend
    [(field, spoil)] = changes.items()
    late = {field: lambda s, x, stepped: spoil(s, x, stepped) if stepped else x}
    [finding] = [
        f for f in inspect_environment(spoilt(**late), episodes=2).findings if f.check == "timestep"
    ]
    assert said.format("step") in finding.seen


def test_a_type_that_changes_with_the_first_step():
    class World(Good):
        def reset(self, key):
            state, timestep = super().reset(key)
            return put(state, time=jnp.float32(0)), timestep

        def step(self, key, state, action):
            return super().step(key, put(state, time=state.time.astype(jnp.int32)), action)

    finding = found(World(), "carry")
    assert "state.time is float32[] after reset, int32[] after step" in finding.seen
    assert ".astype(jnp.int32) in reset" in finding.mend


def test_a_structure_that_changes_with_the_first_step():
    class World(Good):
        def reset(self, key):
            state, timestep = super().reset(key)
            return put(state, extra=jnp.zeros(2)), timestep

    assert "the state has another structure" in found(World(), "carry").seen


def test_a_weak_type_is_a_warning():
    def weak(state, reward, stepped):
        return jnp.full(2, jnp.where(state.time > 3, 1.0, 0.0)) if stepped else reward

    finding = found(spoilt(reward=weak), "carry", "warning")
    assert "reward is float32[2] after reset, float32[2] (weak type) after step" in finding.seen


def test_a_number_of_python_s_in_the_state_is_no_error():
    class World(Good):
        def reset(self, key):
            state, timestep = super().reset(key)
            return put(state, time=0), timestep

    assert inspect_environment(World(), episodes=2).errors == 0


# Keys and batches.


def test_a_key_that_is_used_twice():
    class World(Good):
        def reset(self, key):
            state, timestep = super().reset(key)
            return put(state, place=state.place + jax.random.normal(key, (2,))), timestep

    assert "reset uses one key twice" in found(World(), "keys").seen


@pytest.mark.parametrize("raw", [False, True])
def test_the_key_of_the_reset_kept_for_the_steps(raw):
    class World(Good):
        def reset(self, key):
            state, timestep = super().reset(key)
            return put(state, extra=jax.random.key_data(key) if raw else key), timestep

        def step(self, key, state, action):
            own = jax.random.wrap_key_data(state.extra) if raw else state.extra
            after, timestep = super().step(own, state, action)
            return put(after, extra=state.extra), timestep

    assert "keeps the key that reset was given" in found(World(), "keys").seen


def test_another_key_in_the_state_is_a_warning():
    class World(Good):
        def reset(self, key):
            key, later = jax.random.split(key)
            state, timestep = super().reset(key)
            return put(state, extra=later), timestep

        def step(self, key, state, action):
            after, timestep = super().step(key, state, action)
            return put(after, extra=state.extra), timestep

    assert "state.extra is a key" in found(World(), "keys", "warning").seen


def test_a_batch_that_mixes_its_members():
    @jax.custom_batching.custom_vmap
    def mixed(x):
        return x

    @mixed.def_vmap
    def _(size, batched, x):
        return x[::-1], True

    def step(world, key, state, action):
        state, timestep = world.step(key, state, action)
        return put(state, place=mixed(state.place)), timestep

    report = inspect_environment(stepping(step), episodes=8)
    assert any("step of a batch differs from step of each" in f.seen for f in report.findings)


# Ends.


def test_a_time_limit_that_is_off_by_one():
    early = spoilt(truncated=lambda s, x, _: jnp.full(2, s.time >= HORIZON - 1))
    finding = found(early, "limit")
    assert "off by one: truncated one step early, at step 5" in finding.seen
    assert finding.step == 5 and "time >= horizon" in finding.mend
    finding = found(spoilt(truncated=lambda s, x, _: jnp.full(2, s.time > HORIZON)), "limit")
    assert "off by one: the episode ends one step late, at step 7" in finding.seen
    assert finding.step == 6


def test_other_time_limits():
    finding = found(spoilt(truncated=lambda s, x, _: jnp.zeros(2, bool)), "limit")
    assert "the episode goes on after step 6" in finding.seen
    finding = found(spoilt(truncated=lambda s, x, _: jnp.full(2, s.time >= 3)), "limit")
    assert "truncated at step 3, but spec.horizon is 6" in finding.seen
    cut = spoilt(truncated=lambda s, x, _: x | (s.place.sum() > 3))
    assert "truncated before the horizon" in found(cut, "limit", "warning").seen


def test_a_time_limit_that_terminates_is_a_warning():
    world = spoilt(
        terminated=lambda s, x, _: jnp.full(2, s.time >= HORIZON),
        truncated=lambda s, x, _: jnp.zeros(2, bool),
    )
    assert "comes to step 6, the horizon, terminates" in found(world, "limit", "warning").seen


def test_a_time_limit_that_terminates_is_seen_where_some_episodes_end_before():
    def over(state, terminated, _):
        return jnp.full(2, (state.time >= HORIZON) | (state.place[0] >= 2.5))

    world = spoilt(
        terminated=over,
        truncated=lambda s, x, _: jnp.zeros(2, bool),
        active=lambda s, x, _: jnp.array([True, True]),
        action_mask=lambda s, x, _: jnp.array([[True, True, False], [True, True, True]]),
    )
    report = inspect_environment(world, episodes=8)
    assert any("the horizon, terminates there" in f.seen for f in report.findings), report


def test_an_episode_that_is_over_at_once():
    world = spoilt(terminated=lambda s, x, _: jnp.array([True, True]))
    assert "over before its first step" in found(world, "end").seen


def test_who_has_terminated_comes_back():
    class World(Good):
        def gone(self, state):
            return jnp.array([state.time == 2, False])

    finding = found(World(), "end")
    assert "false again a step later" in finding.seen
    assert (finding.agent, finding.step) == ("left", 2)


def test_who_has_terminated_acts():
    world = spoilt(
        terminated=lambda s, x, _: jnp.array([s.time >= 3, False]),
        active=lambda s, x, _: x.at[0].set(True),
        action_mask=lambda s, x, _: x.at[0].set(jnp.array([True, True, False])),
    )
    finding = found(world, "end")
    assert "has terminated, and is active" in finding.seen and finding.agent == "left"


class Leaving(Good):
    """`left` is cut alone where it terminates in a sound world, which is sound too."""

    def show(self, state, reward):
        timestep, gone = super().show(state, reward), self.gone(state)
        none = jnp.zeros(2, bool)
        return put(timestep, terminated=none, truncated=gone | (state.time >= self.horizon))


def test_an_agent_may_be_cut_alone_before_the_time_limit():
    report = inspect_environment(Leaving(), episodes=8)
    assert report.findings == [] and report.skipped == {}


def test_who_was_cut_comes_back():
    class World(Leaving):
        def gone(self, state):
            return jnp.array([state.time == 2, False])

    finding = found(World(), "end")
    assert "truncated is true, and false again a step later" in finding.seen
    assert (finding.agent, finding.step) == ("left", 2) and "been cut" in finding.mend


def test_who_was_cut_acts():
    world = spoilt(
        truncated=lambda s, x, _: x.at[0].set(s.time >= 3),
        terminated=lambda s, x, _: jnp.zeros(2, bool),
        active=lambda s, x, _: x.at[0].set(True),
        action_mask=lambda s, x, _: x.at[0].set(jnp.array([True, True, False])),
    )
    finding = found(world, "end")
    assert "was cut, and is active" in finding.seen and finding.agent == "left"


@pytest.mark.parametrize("kind", [Good, Leaving])
def test_who_has_ended_and_is_paid_is_a_warning(kind):
    """As the fallen of a team that plays on are, where they should be inactive instead."""

    class World(kind):
        def show(self, state, reward):
            return super().show(state, reward.at[0].add(7.0 * (state.time == self.horizon)))

    finding = found(World(), "end", "warning")
    assert "had ended, and is paid 7" in finding.seen and "let it be inactive" in finding.mend
    assert (finding.agent, finding.step) == ("left", HORIZON)


def test_nobody_acts_is_a_warning():
    class World(Good):
        def active(self, state):
            return super().active(state) & (state.time != 3)

    finding = found(World(), "end", "warning")
    assert "nobody is active" in finding.seen and finding.step == 3


def test_a_step_that_resets_by_itself():
    def step(world, key, state, action):
        key_step, key_reset = jax.random.split(key)
        after, timestep = world.step(key_step, state, action)
        fresh, _ = world.reset(key_reset)
        pick = lambda a, b: jnp.where(timestep.done, a, b)  # noqa: E731
        return jax.tree.map(pick, fresh, after), timestep

    class World(Good):
        def step(self, key, state, action):
            return step(super(), key, state, action)

    finding = found(World(), "end")
    assert "that of a fresh reset" in finding.seen and finding.step == HORIZON


# Numbers.


@pytest.mark.parametrize(
    ("changes", "said", "agent"),
    [
        ({"obs": lambda s, x, _: x.at[1, 2].set(jnp.log(2 - s.time))}, "obs is", "right"),
        ({"reward": lambda s, x, _: x / (s.time - 3)}, "reward is", "left"),
        ({"global_state": lambda s, x, _: jnp.sqrt(1.5 - x)}, "global_state is nan", None),
        ({"metrics": lambda s, x, _: {"far": x["far"] / (s.time - 4)}}, "metrics['far'] is", None),
    ],
)
def test_numbers_that_are_not_finite(changes, said, agent):
    finding = found(spoilt(**changes), "numbers")
    assert said in finding.seen and finding.agent == agent and finding.step is not None


def test_only_extreme_actions_break_it():
    """Random walkers stay below 6 within their six steps; those who always go on do not."""

    class World(Good):
        def show(self, state, reward):
            timestep = super().show(state, reward)
            return put(timestep, obs=timestep.obs.at[1, 0].set(jnp.sqrt(6.5 - state.place[1])))

    assert "with the highest legal actions" in found(World(), "numbers").seen


def test_padding_that_is_not_zero():
    finding = found(spoilt(obs=lambda s, x, _: x.at[0, 2].set(s.place[0])), "numbers")
    assert "not zero beyond the agent's 2 numbers" in finding.seen and finding.agent == "left"


def test_masks():
    finding = found(spoilt(action_mask=lambda s, x, _: x.at[1, 0].set(s.time % 2 == 0)), "masks")
    assert "no action is legal" in finding.seen
    assert (finding.agent, finding.step) == ("right", 1)
    finding = found(spoilt(action_mask=lambda s, x, _: jnp.ones((2, 3), bool)), "masks")
    assert "actions beyond the agent's 2 are legal" in finding.seen and finding.agent == "left"


def test_an_action_of_someone_inactive_counts():
    class World(Good):
        def step(self, key, state, action):
            after, timestep = super().step(key, state, action)
            return put(after, place=after.place + 0.1 * action), timestep

    finding = found(World(), "inactive")
    assert finding.agent == "right" and "the state.place" in finding.seen


def test_rewards_that_never_differ_are_a_warning():
    finding = found(spoilt(reward=lambda s, x, _: 0 * x), "reward", "warning")
    assert "every reward" in finding.seen and "is 0" in finding.seen


# What a world shows.


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda s: "a picture", "draw returns a str"),
        (lambda s: Picture((Circle(float("nan"), 0.0, 1.0, "#ff0000"),)), "x of a Circle is nan"),
        (lambda s: Picture((Circle(0.0, 0.0, 1.0, 3),)), "color of a Circle is 3"),
        (lambda s: Picture((Polygon(((0, 0), (1, 1)), "#000"),)), "points of a Polygon is ((0, 0)"),
        (lambda s: Picture((Polygon(((0, 0), (1,), (2, 2)), "#000"),)), "points of a Polygon"),
        (lambda s: Picture(((0.0, 0.0),)), "a shape is a tuple"),
        (lambda s: Picture(view=(1.0, 0.0, 1.0, 1.0)), "is empty"),
        (lambda s: s.nothing, "draw raises AttributeError"),
    ],
)
def test_pictures(draw, said):
    class World(Good):
        def draw(self, state):
            return draw(state)

    assert said in found(World(), "draw", episodes=2).seen


def test_an_empty_picture_is_a_warning():
    class World(Good):
        def draw(self, state):
            return Picture()

    assert "shows nothing" in found(World(), "draw", "warning", episodes=2).seen


@pytest.mark.parametrize(
    ("scripted", "said"),
    [
        (lambda s: jnp.array([1, 2]), "it chooses"),
        (lambda s: jnp.array([2, 0]), "it chooses 2, which is not legal"),
        (lambda s: jnp.array([0.0, 0.0]), "it gives float32[2]"),
        (lambda s: jnp.array(0), "it gives int32[]"),
        (lambda s: jnp.array([1, 1]) if s.time > 1 else None, "scripted raises"),
    ],
)
def test_scripted_controllers(scripted, said):
    class World(Good):
        def scripted(self, state):
            return scripted(state)

        def active(self, state):
            return ~self.gone(state)

        def legal(self, state):
            return super().legal(state) & jnp.array([[True] * 3, [True, True, False]])

    assert said in found(World(), "scripted", episodes=2).seen


def test_a_horizon_that_nothing_comes_to_is_not_called_right():
    world = dataclasses.replace(Good(), horizon=40_000)
    report = inspect_environment(world, episodes=2)
    assert report.errors == 0 and report.outcome("limit") == "skipped"


def test_box_actions():
    class World(Good):
        @property
        def spec(self):
            return put(super().spec, action=Box(-1.0, 1.0, (1, 2)))

        def legal(self, state):
            return None

        def step(self, key, state, action):
            return super().step(key, state, action.sum(-1))

        def scripted(self, state):
            return None

    assert check_environment(World(), episodes=4) == []


# The whole registry.


@pytest.mark.parametrize("name", list(registry.ENVIRONMENTS))
def test_every_world_of_the_registry_passes(name):
    report = inspect_environment(shoal.make(name), episodes=4)
    assert [f for f in report.findings if f.severity == "error"] == []
    assert set(report.skipped) <= {"scripted", "limit"}


def test_continuous_worlds_pass_too():
    world = shoal.make("mpe/simple_speaker_listener", continuous_actions=True)
    assert check_environment(world, episodes=4) == []


def test_there_must_be_an_episode():
    with pytest.raises(UserError, match="episodes is 0"):
        check_environment(Good(), episodes=0)
