"""Rendezvous: agents on a ring of cells must all come to stand on one cell."""

import cmath

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

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
        n, names = self.num_agents, tuple(f"walker_{i}" for i in range(self.num_agents))
        actions = Discrete((3,) * n)  # back, stay, forward
        sizes, metrics = (2 * n,) * n, (("met", "max"),)
        return EnvSpec("rendezvous", names, sizes, actions, self.horizon, metrics=metrics)

    def reset(self, key):
        cell = jax.random.randint(key, (self.num_agents,), 0, self.cells)
        state = Ring(cell, jnp.int32(0))
        return state, TimeStep.of(self._see(state), metrics={"met": 0.0})

    def step(self, key, state, action):
        state = Ring((state.cell + action - 1) % self.cells, state.time + 1)
        met = (state.cell == state.cell[0]).all()
        return state, TimeStep.of(
            self._see(state),
            reward=met - self.step_cost,
            terminated=met,  # a true end: nothing follows
            truncated=state.time >= self.horizon,  # a time limit: the walk could have gone on
            metrics={"met": met},
        )

    def _see(self, state):
        """How far ahead the others are, as a point on a circle."""
        apart = 2 * jnp.pi * (state.cell - state.cell[:, None]) / self.cells
        return jnp.concatenate([jnp.cos(apart), jnp.sin(apart)], -1)

    def draw(self, state):
        """Each walks on a circle of its own: they have met where they stand in line."""
        places = [
            cmath.rect(0.9 - 0.6 * i / self.num_agents, 2 * cmath.pi * int(cell) / self.cells)
            for i, cell in enumerate(state.cell)
        ]
        each = zip(places, shades("#4c6ef5", self.num_agents), self.spec.agents)
        return Picture(tuple(Circle(p.real, p.imag, 0.08, color, name) for p, color, name in each))
