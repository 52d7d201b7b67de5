"""A walk that can be followed by hand, and a policy that takes it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float, Int

from shoal.core.algorithm import Policy
from shoal.core.distributions import Categorical
from shoal.core.env import Env, EnvSpec, TimeStep
from shoal.core.picture import Circle, Line, Picture, Ring, Text
from shoal.core.spaces import Discrete
from shoal.training.backend import record

RED, BLUE = "#e03131", "#1c7ed6"


class WalkState(eqx.Module):
    x: Float[Array, "2"]
    said: Int[Array, ""]
    time: Int[Array, ""]


class Walk(Env):
    """Action 1 moves an agent by 0.5 and pays 1 to the first, 2 to the second. It is over when the
    first is at 2; after 6 steps time is up. The second says what it did."""

    agent_names: tuple[str, str] = eqx.field(static=True, default=("walker_0", "walker_1"))

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            name="test/walk",
            agents=self.agent_names,
            teams=(0, 0),
            roles=(0, 0),
            obs_sizes=(1, 1),
            action=Discrete((2, 2)),
            state_size=0,
            horizon=6,
            metrics=(("moves", "sum"), ("place", "last")),
        )

    def reset(self, key):
        del key
        state = WalkState(jnp.zeros(2), jnp.int32(0), jnp.int32(0))
        return state, self._show(state, jnp.zeros(2))

    def step(self, key, state, action):
        del key
        moved = action.astype(jnp.float32)
        state = WalkState(state.x + 0.5 * moved, action[1].astype(jnp.int32), state.time + 1)
        return state, self._show(state, moved * jnp.array([1.0, 2.0]))

    def _show(self, state, reward):
        return TimeStep(
            obs=state.x[:, None],
            reward=reward,
            terminated=jnp.full(2, state.x[0] >= 2.0),
            truncated=jnp.full(2, state.time >= 6),
            active=jnp.ones(2, bool),
            action_mask=None,
            global_state=None,
            metrics={"moves": reward[0], "place": state.x[0]},
        )

    def draw(self, state):
        first, second = self.agent_names
        a, b = map(float, state.x)
        return Picture(
            shapes=(
                Line(-1, -0.5, 3, -0.5, "#495057"),
                Ring(2.0, 1.3, 0.35, "#f08c00"),
                Text(-0.5, -0.8, "start", size=0.2),
                Circle(a, 1.3, 0.25, RED, first),
                Circle(b, 0.0, 0.25, BLUE, second),
            ),
            view=(-1.0, -1.0, 3.0, 2.0),
            messages={second: "go" if state.said else ""},
        )


class TwoOfThree(Policy):
    """Prefers to move, except in every third step. Counts steps in its carry."""

    strength: float = 0.5

    def initial_carry(self):
        return jnp.int32(0)

    def __call__(self, timestep, carry, key):
        del key
        preference = jnp.where(carry % 3 == 2, -self.strength, self.strength)
        logits = jnp.stack([jnp.zeros(2), jnp.full(2, preference)], -1)
        return Categorical(logits, timestep.action_mask), carry + 1


@pytest.fixture(scope="session")
def walk():
    return Walk()


@pytest.fixture(scope="session")
def two_of_three():
    return TwoOfThree()


@pytest.fixture(scope="session")
def recording(walk, two_of_three):
    """Two episodes, both alike: the walk has no chance in it and the policy is greedy."""
    key = jax.random.key(0)
    return record(two_of_three, walk, key, episodes=2, algorithm="two_of_three", seed=7)
