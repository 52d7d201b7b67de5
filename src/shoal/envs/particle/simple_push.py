"""Push: an agent wants to be at a goal that an adversary, who does not see which, keeps it from.

The agent is paid minus its distance to the goal; the adversary the agent's distance less its own
(`mpe2.simple_push_v3`). The two collide, so the adversary can push the agent away.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.env import Action
from shoal.core.limits import Positive
from shoal.envs.particle import palette
from shoal.envs.particle.scene import Number, Scene, choose, distance, overlap
from shoal.envs.particle.scripted import steer
from shoal.envs.particle.world import REACHED, Body, ParticleState, ParticleWorld, landmark

SEEN = ((0.1, 0.9, 0.1), (0.1, 0.1, 0.9))  # the landmarks' colours
WORN = ((0.25, 0.75, 0.25), (0.25, 0.25, 0.75))  # the agent's colour, by its goal
DRAWN = (palette.GREEN, palette.BLUE)


class SimplePush(ParticleWorld):
    """Two agents that collide, and two coloured landmarks, one of which is the goal.

    Observation:
        The agent sees its velocity (2), the way to the goal (2), its own colour, which tells the
        goal (3), the way to each landmark (2 each), their colours (3 each) and the way to the
        adversary (2). The adversary sees its velocity (2), the way to each landmark (2 each) and to
        the agent (2).

    Reward:
        The agent gets minus its distance to the goal; the adversary the agent's distance less its
        own.

    Metrics:
        distance: From the agent to the goal, in world units, at the end.
        adversary_distance: From the adversary to the goal, in world units, at the end.
        collisions: Steps on which the two touch.
        success: Whether the agent ended within 0.1 of the goal, 0 or 1.
    """

    size: Positive = 0.05
    """Radius of both agents, in world units."""

    name = "mpe/simple_push"
    channel = 2
    spread = 1.0
    metric_reductions = (
        ("distance", "last"),
        ("adversary_distance", "last"),
        ("collisions", "sum"),
        ("success", "last"),
    )

    @property
    def agents(self) -> tuple[Body, ...]:
        return (
            Body("adversary_0", self.size, color=palette.RED),
            Body("agent_0", self.size, role=1, team=1),
        )

    @property
    def landmarks(self) -> tuple[Body, ...]:
        return tuple(landmark(f"landmark {i}", color=c) for i, c in enumerate(DRAWN))

    @property
    def goals(self) -> tuple[int, ...]:
        return (len(SEEN),)

    def observe(self, scene: Scene) -> list[Float[Array, "D_i"]]:
        goal = scene.goal[0]
        adversary = [scene.velocity[0], *scene.to_landmarks(0), *scene.to_others(0)]
        agent = [
            scene.velocity[1],
            scene.pick(goal) - scene.agents[1],
            choose(goal, jnp.array(WORN)),
            *scene.to_landmarks(1),
            *jnp.array(SEEN),
            *scene.to_others(1),
        ]
        return [jnp.concatenate(adversary), jnp.concatenate(agent)]

    def _away(self, scene: Scene) -> list[Number]:
        """How far the adversary and the agent are from the goal."""
        return [distance(agent, scene.pick(scene.goal[0])) for agent in scene.agents]

    def reward(self, scene: Scene) -> list[Number]:
        adversary, agent = self._away(scene)
        return [agent - adversary, -agent]

    def measure(self, scene: Scene) -> dict[str, Array | float]:
        adversary, agent = self._away(scene)
        return {
            "distance": agent,
            "adversary_distance": adversary,
            "collisions": overlap(scene.agents[0], scene.agents[1], 2 * self.size),
            "success": agent < REACHED,
        }

    def scripted(self, state: ParticleState) -> Action:
        """Both go to the goal, which the adversary is told, and whoever comes second must push."""
        scene = self.scene(state)
        return steer(self, scene, [scene.pick(scene.goal[0])] * 2)
