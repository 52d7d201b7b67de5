"""Tag: slow predators hunt fast prey among obstacles (the classic predator and prey).

Every predator is paid 10 for every touch of any predator with any prey; a prey pays 10 for each
touch of its own, and for leaving the arena (`mpe2.simple_tag_v3`).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.env import Action
from shoal.envs.particle.pursuit import BLOCKED, Pursuit, chase, copies, escape, escaped, outside
from shoal.envs.particle.scene import (
    Index,
    Many,
    Number,
    Scene,
    Vector,
    chain,
    each,
    join,
    nearest,
    overlaps,
    without,
)
from shoal.envs.particle.scripted import act
from shoal.envs.particle.world import Body, ParticleState


class SimpleTag(Pursuit):
    """`num_adversaries` predators, `num_good` prey, `num_obstacles` fixed discs.

    Observation:
        An agent's velocity (2) and position (2), the way to each obstacle (2 each), the way to each
        other agent (2 each), then the velocity of each prey but itself (2 each). Predators, who see
        all prey, have the longest observations.

    Reward:
        Each predator gets 10 for every touch of any predator with any prey. A prey pays 10 for each
        predator that touches it, and for leaving the arena: on each axis a ramp from 0 at 0.9 to 1
        at the edge, then `exp(2 x - 2)`, 10 at most.

    Metrics:
        captures: Touches of a predator and a prey, summed over steps.
        caught: Whether there was any, 0 or 1.
        distance: From a prey to its nearest predator, mean over prey and steps, in world units.
        escaped: Share of prey outside of the arena, mean over steps.
    """

    name = "mpe/simple_tag"
    channel = 2
    metric_reductions = (
        ("captures", "sum"),
        ("caught", "max"),
        ("distance", "mean"),
        ("escaped", "mean"),
    )

    @property
    def agents(self) -> tuple[Body, ...]:
        return copies(self.predator, self.num_adversaries) + copies(self.prey, self.num_good)

    @property
    def landmarks(self) -> tuple[Body, ...]:
        return copies(self.obstacle, self.num_obstacles)

    def observe(self, scene: Scene) -> Many:
        first = self.num_adversaries
        speed = scene.velocity[first:]

        def see(i: Index, prey: Many) -> Float[Array, "D"]:
            near = scene.to_landmarks(i), scene.to_others(i)
            return join(scene.velocity[i], scene.agents[i], *near, prey)

        predators = each(lambda i: see(i, speed), scene.indices[:first])
        prey = each(lambda i: see(i, without(i - first, speed)), scene.indices[first:])
        return chain(predators, prey)

    def _sides(self, scene: Scene) -> tuple[Many, Many]:
        """Where the predators and the prey are."""
        return scene.agents[: self.num_adversaries], scene.agents[self.num_adversaries :]

    def _caught(self, scene: Scene) -> Many:
        """How many predators touch each prey."""
        predators, prey = self._sides(scene)
        reach = self.adversary_size + self.agent_size
        return each(lambda me: overlaps(me, predators, reach), prey)

    def reward(self, scene: Scene) -> Many:
        caught, prey = self._caught(scene), scene.agents[self.num_adversaries :]
        paid = each(lambda c, me: -10 * c - outside(me), caught, prey)
        return chain([10 * sum(caught)] * self.num_adversaries, paid)

    def measure(self, scene: Scene) -> dict[str, Array | float]:
        predators, prey = self._sides(scene)
        captures = sum(self._caught(scene))
        return {
            "captures": captures,
            "caught": captures > 0,
            "distance": jnp.stack(each(lambda me: nearest(me, predators), prey)).mean(),
            "escaped": escaped(prey),
        }

    def scripted(self, state: ParticleState) -> Action:
        """Predators run to where the nearest prey will be; prey looks ahead and keeps clear of
        predators, obstacles and the edge."""
        scene = self.scene(state)
        speed = self.adversary_max_speed
        return act(self, [*chase(scene, self.num_adversaries, speed), *self._escape(scene)])

    def _escape(self, scene: Scene) -> Many:
        def worth(place: Vector) -> Number:
            blocked = overlaps(place, scene.landmarks, self.obstacle_size + self.agent_size)
            return -BLOCKED * blocked

        return escape(self, scene, self.num_adversaries, self.adversary_max_speed, worth)
