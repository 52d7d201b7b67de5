"""Flocking: robots head the same way, keep together and keep apart.

    r_i = alignment_weight v_i . mean_j v_j / max_speed^2
          - spacing_weight mean_j | d_ij - spacing | / sight - collision_weight touching_i

j are the neighbours in sight; who sees nobody is paid -spacing_weight. The square is a torus, so
that a flock may fly for ever. Separation, alignment and cohesion are the rules of Reynolds 1987,
"Flocks, herds and schools"; the order parameter is that of Vicsek et al. 1995,
arXiv:cond-mat/0611743.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.limits import NonNegative, Positive
from shoal.envs.cooperative.swarm import SwarmState, SwarmWorld, apart_from, polarisation

ALIGN, COHERE, SEPARATE, CRUISE = 2.0, 0.5, 4.0, 1.0  # the controller's weights


class Flocking(SwarmWorld):
    """Robots on a torus that are to become one flock.

    Observation:
        A robot's velocity (2), then of each of `neighbours` others where it is, how it moves (4)
        and 1; five zeros where there is none. Lengths are shares of `sight`, speeds of `max_speed`.

    Reward:
        How fast the robot heads where its neighbours head, less how far they are from `spacing`,
        less a cost of each robot that it touches, with the weights that are fields.

    Metrics:
        polarisation: Length of the mean heading, from 0 to 1 where all head the same way, at the
            end.
        collisions: Others that a robot touches, mean over robots, summed over steps.
        dispersion: From a robot to its neighbours, in metres, at the end; one that is missing
            counts as at the edge of sight.
        isolated: Share of robots that see nobody, at the end.
    """

    spacing: Positive = 0.6
    """How far neighbours should be from each other, in metres."""
    alignment_weight: NonNegative = 1.0
    """Reward of heading as fast as can be where the neighbours head."""
    spacing_weight: NonNegative = 0.5
    """Cost of neighbours who are `sight` too far or too near."""
    collision_weight: NonNegative = 0.5
    """Cost of each robot that is touched."""

    name = "coop/flocking"
    torus = True
    metric_reductions = (
        ("polarisation", "last"),
        ("collisions", "sum"),
        ("dispersion", "last"),
        ("isolated", "last"),
    )

    def observe(self, state: SwarmState) -> Float[Array, "N 0"]:
        return jnp.zeros((self.num_agents, 0))

    def mean_over_neighbours(
        self, state: SwarmState, x: Float[Array, "N K *D"]
    ) -> Float[Array, "N *D"]:
        """The mean over the neighbours in sight, 0 for who sees nobody."""
        here = state.near.present.reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        return jnp.where(here, x, 0.0).sum(1) / jnp.maximum(here.sum(1), 1)

    def reward(self, before: SwarmState, after: SwarmState) -> Float[Array, "N"]:
        velocity, near = after.velocity, after.near
        others = self.mean_over_neighbours(after, velocity[near.index])
        alignment = (velocity * others).sum(-1) / self.max_speed**2
        error = jnp.abs(jnp.where(near.present, near.distance, 0.0) - self.spacing) / self.sight
        error = jnp.where(near.present.any(1), self.mean_over_neighbours(after, error), 1.0)
        return (
            self.alignment_weight * alignment
            - self.spacing_weight * error
            - self.collision_weight * near.touching
        )

    def measure(self, state: SwarmState) -> dict[str, Array]:
        near = state.near
        return {
            "polarisation": polarisation(state.velocity),
            "collisions": near.touching.mean(),
            "dispersion": jnp.where(near.present, near.distance, self.sight).mean(),
            "isolated": (~near.present.any(1)).mean(),
        }

    def wish(self, state: SwarmState) -> Float[Array, "N 2"]:
        """Towards the neighbours' velocity and their middle, off who is near, and on at full
        speed (Reynolds' rules)."""
        near, velocity = state.near, state.velocity
        others = self.mean_over_neighbours(state, velocity[near.index])
        middle = self.mean_over_neighbours(state, near.apart)
        on = velocity + others
        on = on / jnp.maximum(jnp.hypot(*on.T)[:, None], 1e-3)
        align = ALIGN * (others - velocity) / self.max_speed
        return align + COHERE * middle + SEPARATE * apart_from(state, self.spacing) + CRUISE * on
