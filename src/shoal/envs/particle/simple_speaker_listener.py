"""Speaker and listener: one sees which landmark is the goal, the other can go there.

The speaker cannot move and sees the goal's colour; the listener moves and hears the speaker. Both
are paid minus the squared distance from the listener to the goal
(`mpe2.simple_speaker_listener_v4`).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.env import Action
from shoal.envs.particle import palette
from shoal.envs.particle.scene import Number, Scene, choose, distance
from shoal.envs.particle.scripted import steer
from shoal.envs.particle.world import REACHED, Body, ParticleState, ParticleWorld, landmark

SEEN = ((0.65, 0.15, 0.15), (0.15, 0.65, 0.15), (0.15, 0.15, 0.65))  # the landmarks' colours
DRAWN = (palette.RED, palette.GREEN, palette.BLUE)


class SimpleSpeakerListener(ParticleWorld):
    """A speaker that stands still, a listener, and three coloured landmarks, one of them the goal.

    Observation:
        The speaker sees the colour of the goal (3). The listener sees its own velocity (2), the way
        to each landmark (2 each) and the speaker's last message (3).

    Reward:
        Minus the squared distance from the listener to the goal, for both.

    Metrics:
        distance: From the listener to the goal, in world units, at the end.
        success: Whether the listener ended within 0.1 of the goal, 0 or 1.
    """

    name = "mpe/simple_speaker_listener"
    channel = 3
    spread = 1.0
    metric_reductions = (("distance", "last"), ("success", "last"))

    @property
    def agents(self) -> tuple[Body, ...]:
        return (
            Body("speaker_0", 0.075, False, False, speaks=True, color=palette.TEAL),
            Body("listener_0", 0.075, collides=False, role=1),
        )

    @property
    def landmarks(self) -> tuple[Body, ...]:
        return tuple(landmark(f"landmark {i}", 0.04, color=c) for i, c in enumerate(DRAWN))

    @property
    def goals(self) -> tuple[int, ...]:
        return (len(SEEN),)  # the landmark that the listener should go to

    def observe(self, scene: Scene) -> list[Float[Array, "D_i"]]:
        goal_color = choose(scene.goal[0], jnp.array(SEEN))
        listener = [scene.velocity[1], *scene.to_landmarks(1), scene.message[0]]
        return [goal_color, jnp.concatenate(listener)]

    def _away(self, scene: Scene) -> Float[Array, ""]:
        """How far the listener is from the goal."""
        return distance(scene.agents[1], scene.pick(scene.goal[0]))

    def reward(self, scene: Scene) -> list[Number]:
        return [-(self._away(scene) ** 2)] * 2

    def measure(self, scene: Scene) -> dict[str, Array | float]:
        away = self._away(scene)
        return {"distance": away, "success": away < REACHED}

    def scripted(self, state: ParticleState) -> Action:
        """The speaker says the index of the goal; the listener goes there."""
        scene = self.scene(state)
        goal = scene.goal[0]
        return steer(self, scene, [scene.agents[0], scene.pick(goal)], words={0: goal})
