"""Spread: N agents must cover N landmarks without bumping into each other.

Everyone is paid the sum over landmarks of minus the distance to the nearest agent, mixed by
`local_ratio` with minus the number of its own collisions (`mpe2.simple_spread_v3`).
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.env import Action
from shoal.core.limits import Count, Fraction, Positive
from shoal.envs.particle.scene import Index, Many, Scene, each, join, nearest, overlaps
from shoal.envs.particle.scripted import assign, steer
from shoal.envs.particle.world import REACHED, Body, ParticleState, ParticleWorld, landmark


class SimpleSpread(ParticleWorld):
    """`num_agents` agents and as many landmarks.

    Observation:
        An agent's velocity (2) and position (2), the way to each landmark (2 each), the way to each
        other agent (2 each), then two zeros for each other agent, where its silent message would
        stand.

    Reward:
        `1 - local_ratio` times minus the sum over landmarks of the distance to the nearest agent,
        which all share, and `local_ratio` times minus the number of others that the agent touches.

    Metrics:
        collisions: Pairs of agents that touch, summed over steps.
        landmarks_covered: Landmarks with an agent within 0.1 at the end.
        distance: From a landmark to the agent nearest to it, mean over landmarks, in world units,
            at the end.
        success: Whether every landmark was covered at the end, 0 or 1.
    """

    num_agents: Count = eqx.field(static=True, default=3)
    """Agents, and as many landmarks."""
    local_ratio: Fraction = 0.5
    """Share of the agent's own collisions in its reward; the rest is the common distance."""
    agent_size: Positive = 0.15
    """Radius of an agent, in world units."""

    name = "mpe/simple_spread"
    channel = 2
    spread = 1.0
    metric_reductions = (
        ("collisions", "sum"),
        ("landmarks_covered", "last"),
        ("distance", "last"),
        ("success", "last"),
    )

    @property
    def agents(self) -> tuple[Body, ...]:
        return tuple(Body(f"agent_{i}", self.agent_size) for i in range(self.num_agents))

    @property
    def landmarks(self) -> tuple[Body, ...]:
        return tuple(landmark(f"landmark {i}") for i in range(self.num_agents))

    def observe(self, scene: Scene) -> Many:
        silence = jnp.zeros(self.channel * (self.num_agents - 1))

        def see(i: Index) -> Float[Array, "D"]:
            near = scene.to_landmarks(i), scene.to_others(i)
            return join(scene.velocity[i], scene.agents[i], *near, silence)

        return each(see, scene.indices)

    def _nearest(self, scene: Scene) -> Float[Array, "N"]:
        """For each landmark, how far the nearest agent is."""
        return jnp.stack(each(lambda mark: nearest(mark, scene.agents), scene.landmarks))

    def _bumps(self, scene: Scene) -> Many:
        """How many others each agent overlaps: one less than with itself."""
        return each(lambda me: overlaps(me, scene.agents, 2 * self.agent_size) - 1, scene.agents)

    def reward(self, scene: Scene) -> Many:
        shared = -(1 - self.local_ratio) * self._nearest(scene).sum()
        return each(lambda bumps: shared - self.local_ratio * bumps, self._bumps(scene))

    def measure(self, scene: Scene) -> dict[str, Array | float]:
        nearest = self._nearest(scene)
        return {
            "collisions": sum(self._bumps(scene)) / 2,
            "landmarks_covered": (nearest < REACHED).sum(),
            "distance": nearest.mean(),
            "success": (nearest < REACHED).all(),
        }

    def scripted(self, state: ParticleState) -> Action:
        """To the landmarks by the assignment of least total distance, off each other's way."""
        scene = self.scene(state)
        targets = each(scene.pick, assign(scene.agents, scene.landmarks))
        return steer(self, scene, targets, clearance=2 * self.agent_size + 0.1)
