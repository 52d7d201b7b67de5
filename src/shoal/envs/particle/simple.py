"""Simple: one agent must go to one landmark.

The reward is minus the squared distance (`mpe2.simple_v3`). The smallest world there is, to see
whether a learner works at all.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.env import Action
from shoal.envs.particle import palette
from shoal.envs.particle.scene import Number, Scene, distance
from shoal.envs.particle.scripted import steer
from shoal.envs.particle.world import REACHED, Body, ParticleState, ParticleWorld, landmark


class Simple(ParticleWorld):
    """One agent and one landmark, anywhere in the square from -1 to 1.

    Observation:
        The agent's velocity (2), then the way to the landmark (2).

    Reward:
        Minus the squared distance to the landmark.

    Metrics:
        distance: From the agent to the landmark, in world units, at the end.
        success: Whether the agent ended within 0.1 of the landmark, 0 or 1.
    """

    name = "mpe/simple"
    channel = 0
    spread = 1.0
    metric_reductions = (("distance", "last"), ("success", "last"))

    @property
    def agents(self) -> tuple[Body, ...]:
        return (Body("agent_0", collides=False),)

    @property
    def landmarks(self) -> tuple[Body, ...]:
        return (landmark("landmark 0", color=palette.RED),)

    def observe(self, scene: Scene) -> list[Float[Array, "D"]]:
        return [jnp.concatenate([scene.velocity[0], *scene.to_landmarks(0)])]

    def reward(self, scene: Scene) -> list[Number]:
        return [-(distance(scene.agents[0], scene.landmarks[0]) ** 2)]

    def measure(self, scene: Scene) -> dict[str, Array | float]:
        away = distance(scene.agents[0], scene.landmarks[0])
        return {"distance": away, "success": away < REACHED}

    def scripted(self, state: ParticleState) -> Action:
        """Straight to the landmark."""
        scene = self.scene(state)
        return steer(self, scene, scene.landmarks)
