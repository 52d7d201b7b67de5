"""Reference: two agents, each of which knows only where the *other* should go.

Both move and both speak. Each is paid minus the distance of its partner from the partner's goal,
mixed with the mean over both by `local_ratio` (`mpe2.simple_reference_v3`).
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shoal.core.env import Action
from shoal.core.limits import Fraction
from shoal.core.picture import Shape
from shoal.envs.particle import palette
from shoal.envs.particle.drawing import agent_colors, ring
from shoal.envs.particle.scene import Number, Scene, Vector, choose, distance
from shoal.envs.particle.scripted import steer
from shoal.envs.particle.world import REACHED, Body, ParticleState, ParticleWorld, landmark

SEEN = ((0.75, 0.25, 0.25), (0.25, 0.75, 0.25), (0.25, 0.25, 0.75))  # the landmarks' colours
DRAWN = (palette.RED, palette.GREEN, palette.BLUE)


class SimpleReference(ParticleWorld):
    """Three coloured landmarks; `goal[i]` is the one that agent `i` knows of, for its partner.

    Observation:
        An agent's velocity (2), the way to each landmark (2 each), the colour of its partner's goal
        (3) and the partner's last message (10).

    Reward:
        `local_ratio` times minus the distance of the partner from its goal, and `1 - local_ratio`
        times minus the mean distance over both.

    Metrics:
        distance: From an agent to its goal, mean over both, in world units, at the end.
        goals_reached: Agents that ended within 0.1 of their goals, 0 to 2.
        success: Whether both did, 0 or 1.
    """

    local_ratio: Fraction = 0.5
    """Share of the partner's own distance in an agent's reward; the rest is the mean over both."""

    name = "mpe/simple_reference"
    channel = 10
    spread = 1.0
    metric_reductions = (("distance", "last"), ("goals_reached", "last"), ("success", "last"))

    @property
    def agents(self) -> tuple[Body, ...]:
        return tuple(Body(f"agent_{i}", collides=False, speaks=True) for i in range(2))

    @property
    def landmarks(self) -> tuple[Body, ...]:
        return tuple(landmark(f"landmark {i}", color=c) for i, c in enumerate(DRAWN))

    @property
    def goals(self) -> tuple[int, ...]:
        return (len(SEEN), len(SEEN))

    def observe(self, scene: Scene) -> list[Float[Array, "D"]]:
        colors = jnp.array(SEEN)
        return [
            jnp.concatenate(
                [
                    scene.velocity[i],
                    *scene.to_landmarks(i),
                    choose(scene.goal[i], colors),
                    scene.message[1 - i],
                ]
            )
            for i in range(2)
        ]

    def _away(self, scene: Scene) -> Float[Array, "2"]:
        """Entry `i`: how far agent `1 - i` is from its goal, which agent `i` knows."""
        return jnp.stack(
            [distance(scene.agents[1 - i], scene.pick(scene.goal[i])) for i in range(2)]
        )

    def reward(self, scene: Scene) -> list[Number]:
        away = self._away(scene)
        shared = -(1 - self.local_ratio) * away.mean()
        return [shared - self.local_ratio * away[i] for i in range(2)]

    def measure(self, scene: Scene) -> dict[str, Array | float]:
        away = self._away(scene)
        reached = away < REACHED
        return {
            "distance": away.mean(),
            "goals_reached": reached.sum(),
            "success": reached.all(),
        }

    def destinations(self, scene: Scene) -> dict[str, Vector]:
        return {f"goal of agent_{i}": scene.pick(scene.goal[1 - i]) for i in range(2)}

    def serves(self, away: Float[Array, "N G"]) -> Bool[Array, "N G"]:
        """Both may be where both should go."""
        return away < REACHED

    def goal_marks(self, scene: Scene) -> list[Shape]:
        """Around each goal a ring in the colour of the agent that should go there."""
        colors = agent_colors(self)
        marks = enumerate(int(g) for g in scene.goal)
        return [
            ring(self.landmarks[k], scene.landmarks[k], colors[1 - i], layer=i) for i, k in marks
        ]

    def scripted(self, state: ParticleState) -> Action:
        """Each says the index of its partner's goal and goes to its own."""
        scene = self.scene(state)
        targets = [scene.pick(scene.goal[1 - i]) for i in range(2)]
        return steer(self, scene, targets, words=dict(enumerate(scene.goal)))
