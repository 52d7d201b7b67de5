"""The two-step game: what the first agent does decides which matrix both then play.

    state A pays 7 whatever they do,        state B pays  0  1
                                                          1  8

The best return is 8. A sum of agents' values cannot tell B's 8 from its 1s and settles for 7; a
monotonic mixture whose weights depend on the state can.
Rashid et al. 2018, arXiv:1803.11485, section 5.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.spaces import Discrete

START, A, B = 0, 1, 2


class TwoStepState(eqx.Module):
    """Which of the three states the game is in, and how many steps were made."""

    place: Int[Array, ""]
    time: Int[Array, ""]


class TwoStepGame(Env):
    """Two agents of one team, two actions each, two steps. Both see the state."""

    safe: float = 7.0
    """What state A pays."""
    best: float = 8.0
    """What state B pays where both choose the second action."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            name="game/two_step",
            agents=("first", "second"),
            obs_sizes=(3, 3),
            action=Discrete((2, 2)),
            horizon=2,
            state_size=3,
        )

    def reset(self, key: PRNGKeyArray) -> tuple[TwoStepState, TimeStep]:
        del key
        state = TwoStepState(jnp.int32(START), jnp.int32(0))
        return state, self._show(state, jnp.float32(0))

    def step(
        self, key: PRNGKeyArray, state: TwoStepState, action: Action
    ) -> tuple[TwoStepState, TimeStep]:
        del key
        in_b = jnp.where(action.sum() == 2, self.best, action.sum().astype(jnp.float32))
        paid = jnp.where(state.place == A, self.safe, in_b)
        reward = jnp.where(state.place == START, 0.0, paid)
        place = jnp.where(state.place == START, A + action[0], state.place)
        state = TwoStepState(place.astype(jnp.int32), state.time + 1)
        return state, self._show(state, reward)

    def _show(self, state: TwoStepState, reward: Float[Array, ""]) -> TimeStep:
        seen = jax.nn.one_hot(state.place, 3)
        return TimeStep.of(
            jnp.broadcast_to(seen, (2, 3)),
            reward=reward,
            terminated=state.time >= 2,
            global_state=seen,
        )
