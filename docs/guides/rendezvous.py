"""Rendezvous: agents on a ring of cells must all come to stand on one cell."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shoal.core.env import Env, EnvSpec, TimeStep
from shoal.core.spaces import Discrete


class Ring(eqx.Module):
    """Where the agents are, and for how long they have been walking."""

    cell: Int[Array, "N"]
    time: Int[Array, ""]


class Rendezvous(Env):
    """Every step costs everyone `step_cost`; meeting pays 1 and ends the episode."""

    num_agents: int = eqx.field(static=True, default=2)
    cells: int = eqx.field(static=True, default=9)
    horizon: int = eqx.field(static=True, default=20)
    step_cost: float = 0.1

    @property
    def spec(self):
        n = self.num_agents
        return EnvSpec(
            name="rendezvous",
            agents=tuple(f"walker_{i}" for i in range(n)),
            teams=(0,) * n,  # they share an interest
            roles=(0,) * n,  # and are of one kind, so they can share parameters
            obs_sizes=(2 * n,) * n,
            action=Discrete((3,) * n),  # back, stay, forward
            state_size=2 * n,
            horizon=self.horizon,
            metrics=(("met", "max"),),
        )

    def reset(self, key):
        cell = jax.random.randint(key, (self.num_agents,), 0, self.cells)
        state = Ring(cell, jnp.int32(0))
        return state, self._show(state, jnp.zeros(self.num_agents), jnp.bool_(False))

    def step(self, key, state, action):
        state = Ring((state.cell + action - 1) % self.cells, state.time + 1)
        met = (state.cell == state.cell[0]).all()
        reward = jnp.where(met, 1.0, 0.0) - self.step_cost
        return state, self._show(state, jnp.full(self.num_agents, reward), met)

    def _show(self, state: Ring, reward: Float[Array, "N"], met: Bool[Array, ""]) -> TimeStep:
        apart = (
            state.cell[None, :] - state.cell[:, None]
        )  # how far ahead of each agent the others are
        angle = 2 * jnp.pi * apart / self.cells
        obs = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], -1)
        return TimeStep(
            obs=obs,
            reward=reward,
            terminated=jnp.full(self.num_agents, met),  # a true end: nothing follows
            truncated=state.time >= self.horizon,  # a time limit: the walk could have gone on
            active=jnp.ones(self.num_agents, bool),
            action_mask=None,  # every action is always legal
            global_state=obs[0],  # for centralised critics
            metrics={"met": met.astype(jnp.float32)},
        )
