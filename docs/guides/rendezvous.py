"""Rendezvous: agents on a ring of cells must all come to stand on one cell."""

import cmath

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shoal.core.env import Env, EnvSpec, TimeStep
from shoal.core.picture import Circle, Picture, shades
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
        return state, self._show(state, jnp.bool_(False), jnp.float32(0.0))

    def step(self, key, state, action):
        state = Ring((state.cell + action - 1) % self.cells, state.time + 1)
        met = (state.cell == state.cell[0]).all()
        return state, self._show(state, met, met.astype(jnp.float32) - self.step_cost)

    def _show(self, state: Ring, met: Bool[Array, ""], reward: Float[Array, ""]) -> TimeStep:
        apart = 2 * jnp.pi * (state.cell - state.cell[:, None]) / self.cells
        obs = jnp.concatenate([jnp.cos(apart), jnp.sin(apart)], -1)  # how far ahead the others are
        return TimeStep(
            obs=obs,
            reward=jnp.full(self.num_agents, reward),
            terminated=jnp.full(self.num_agents, met),  # a true end: nothing follows
            truncated=state.time >= self.horizon,  # a time limit: the walk could have gone on
            active=jnp.ones(self.num_agents, bool),
            action_mask=None,  # every action is always legal
            global_state=obs[0],  # for centralised critics
            metrics={"met": met.astype(jnp.float32)},
        )

    def draw(self, state: Ring) -> Picture:
        """Each walks on a circle of its own: they have met where they stand in line."""
        shapes = []
        for i, color in enumerate(shades("#4c6ef5", self.num_agents)):
            turn, radius = int(state.cell[i]) / self.cells, 0.9 - 0.6 * i / self.num_agents
            place = cmath.rect(radius, 2 * cmath.pi * turn)
            shapes.append(Circle(place.real, place.imag, 0.08, color, f"walker_{i}"))
        return Picture(tuple(shapes))
