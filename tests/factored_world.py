"""A small world of several choices at once, and a policy and an algorithm that act in any space."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.algorithm import Algorithm, Policy
from shoal.core.descend import descend, init_optimizer
from shoal.core.distributions import Distribution, action_distribution
from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.parallel import weighted_mean
from shoal.core.spaces import ActionSpace, Factored

SIZES = ((3, 4), (2,))


class State(eqx.Module):
    time: Int[Array, ""]
    goal: Int[Array, "N F"]
    legal: Bool[Array, "N L"]


class Switchboard(Env):
    """A caller chooses one of three lines and one of four words, an operator one of two levers.
    Each sees the right options of its own, and is paid the share of them that it chose. With
    `masked`, one wrong option of each factor is illegal, another one in each step."""

    horizon: int = eqx.field(static=True, default=4)
    masked: bool = eqx.field(static=True, default=True)

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            name="switchboard",
            agents=("caller", "operator"),
            roles=(0, 1),
            obs_sizes=(8, 2),
            action=Factored(SIZES),
            horizon=self.horizon,
            metrics=(("illegal", "sum"),),
        )

    def _draw(self, key: PRNGKeyArray, time: Array) -> State:
        space = self.spec.action
        key_goal, key_legal = jax.random.split(key)
        counts = jnp.asarray(space.counts)
        goal = jax.random.randint(key_goal, counts.shape, 0, counts)
        other = goal + jax.random.randint(key_legal, counts.shape, 1, jnp.maximum(counts, 2))
        broken = (other % counts)[..., None] == jnp.arange(space.num_options)
        broken &= ((counts > 2) & self.masked)[..., None]
        legal = jnp.asarray(space.mask) & ~broken.reshape(space.mask.shape)
        return State(time, goal, legal)

    def reset(self, key):
        state = self._draw(key, jnp.int32(0))
        return state, self._show(state, jnp.zeros(2), jnp.float32(0))

    def step(self, key, state, action: Action):
        space = self.spec.action
        real = ~space.split(jnp.asarray(space.idle)).any(-1)
        right = ((action == state.goal) & real).sum(-1) / real.sum(-1)
        chosen = action[..., None] == jnp.arange(space.num_options)
        illegal = ~(chosen & space.split(state.legal)).any(-1)
        state = self._draw(key, state.time + 1)
        return state, self._show(state, right, illegal.sum().astype(jnp.float32))

    def _show(self, state: State, reward: Float[Array, "N"], illegal: Array) -> TimeStep:
        space = self.spec.action
        obs = jax.nn.one_hot(state.goal, space.num_options).reshape(space.mask.shape)
        return TimeStep.of(
            obs * ~space.idle,
            reward=reward,
            truncated=state.time >= self.horizon,
            action_mask=state.legal if self.masked else None,
            metrics={"illegal": illegal},
        )

    def scripted(self, state):
        return state.goal


class Linear(Policy):
    """A product of what an agent sees with weights of its own, read as a distribution."""

    weight: Float[Array, "N D A"]
    space: ActionSpace

    @staticmethod
    def of(spec: EnvSpec, key: PRNGKeyArray, scale: float = 1.0) -> "Linear":
        shape = (spec.num_agents, spec.obs_size, spec.action.size)
        return Linear(scale * jax.random.normal(key, shape), spec.action)

    def initial_carry(self) -> None:
        return None

    def __call__(self, timestep, carry, key) -> tuple[Distribution, Any]:
        out = jnp.einsum("...nd,nda->...na", timestep.obs, self.weight)
        width = jnp.full(self.space.mask.shape, -1.0)
        return action_distribution(self.space, out, timestep.action_mask, width), carry


class Reinforce(Algorithm):
    """The log-probability of each action, weighted by its own reward."""

    learning_rate: float = 0.05

    def init(self, spec, key):
        policy = Linear.of(spec, key, 0.0)
        return {"policy": policy}, {"policy": init_optimizer(policy)}

    def acting(self, state):
        return self.policy(state)

    def policy(self, state):
        return state[0]["policy"]

    def act(self, acting, timestep, carry, key):
        distribution, carry = acting(timestep, carry, key)
        return distribution.sample(key), carry, None

    def learn(self, state, trajectory, key):
        steps = trajectory.transitions
        paid = steps.successor.reward

        def loss(params):
            distribution, _ = params["policy"](steps.timestep, None, key)
            advantage = paid - paid.mean((0, 1))
            gain = distribution.log_prob(steps.action) * advantage + 0.01 * distribution.entropy()
            return -weighted_mean(gain, jnp.ones_like(gain)), {}

        *state, metrics = descend(
            loss, *state, learning_rate=self.learning_rate, max_grad_norm=10.0
        )
        return tuple(state), metrics
