"""Adversary: good agents must reach a goal without showing an adversary which landmark it is.

The good agents see the goal and are paid for the nearest of them being near it and the adversary
being far; the adversary, who sees only landmarks and agents, for being near it
(`mpe2.simple_adversary_v3`). Spread out over all landmarks, the good agents give nothing away.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.env import Action
from shoal.core.limits import Several
from shoal.envs.particle import palette
from shoal.envs.particle.scene import (
    Index,
    Many,
    Number,
    Scene,
    chain,
    distance,
    each,
    join,
    nearest,
)
from shoal.envs.particle.scripted import assign, steer
from shoal.envs.particle.world import REACHED, Body, ParticleState, ParticleWorld, landmark


class SimpleAdversary(ParticleWorld):
    """`num_agents` counts everyone: one adversary and `num_agents - 1` good agents, with as many
    landmarks as good agents.

    Observation:
        A good agent sees the way to the goal (2), to each landmark (2 each) and to each other agent
        (2 each); the adversary the same without the goal.

    Reward:
        A good agent gets the adversary's distance to the goal less that of the nearest good agent;
        the adversary minus its own distance to the goal.

    Metrics:
        distance: From the nearest good agent to the goal, in world units, at the end.
        adversary_distance: From the adversary to the goal, in world units, at the end.
        success: Whether a good agent ended within 0.1 of the goal and the adversary did not, 0 or
            1.
    """

    num_agents: Several = eqx.field(static=True, default=3)
    """Everyone: the adversary and the good agents; there are as many landmarks as good agents."""

    name = "mpe/simple_adversary"
    channel = 2
    spread = 1.0
    metric_reductions = (("distance", "last"), ("adversary_distance", "last"), ("success", "last"))

    @property
    def agents(self) -> tuple[Body, ...]:
        adversary = Body("adversary_0", 0.15, collides=False, color=palette.RED)
        good = (
            Body(f"agent_{i}", 0.15, collides=False, role=1, team=1)
            for i in range(self.num_agents - 1)
        )
        return (adversary, *good)

    @property
    def landmarks(self) -> tuple[Body, ...]:
        return tuple(landmark(f"landmark {i}", 0.08) for i in range(self.num_agents - 1))

    @property
    def goals(self) -> tuple[int, ...]:
        return (self.num_agents - 1,)

    def observe(self, scene: Scene) -> Many:
        goal = scene.pick(scene.goal[0])

        def good(i: Index) -> Float[Array, "D"]:
            me = scene.agents[i]
            return join(goal - me, scene.to_landmarks(i), scene.to_others(i))

        adversary = join(scene.to_landmarks(0), scene.to_others(0))
        return chain([adversary], each(good, scene.indices[1:]))

    def _away(self, scene: Scene) -> tuple[Number, Number]:
        """How far the nearest good agent and the adversary are from the goal."""
        goal = scene.pick(scene.goal[0])
        adversary, *good = scene.agents
        return nearest(goal, good), distance(adversary, goal)

    def reward(self, scene: Scene) -> list[Number]:
        good, adversary = self._away(scene)
        return [-adversary] + [adversary - good] * (self.num_agents - 1)

    def measure(self, scene: Scene) -> dict[str, Array | float]:
        good, adversary = self._away(scene)
        success = (good < REACHED) & (adversary >= REACHED)
        return {"distance": good, "adversary_distance": adversary, "success": success}

    def scripted(self, state: ParticleState) -> Action:
        """The good agent nearest to the goal goes there, the others to the other landmarks.
        The adversary, who is not told the goal, goes to the landmark nearest to a good agent."""
        scene = self.scene(state)
        good = scene.agents[1:]
        away = jnp.stack(each(lambda mark: nearest(mark, good), scene.landmarks))
        suspect = scene.pick(away.argmin())
        return steer(self, scene, [suspect, *self._decoys(scene)])

    def _decoys(self, scene: Scene) -> Many:
        """A landmark for each good agent, the goal for the one nearest to it."""
        good, goal = scene.agents[1:], scene.goal[0]
        marks = assign(good, scene.landmarks)
        place = scene.pick(goal)
        first = jnp.stack(each(lambda a: distance(a, place), good)).argmin()
        swapped = jnp.where(marks == goal, marks[first], marks).at[first].set(goal)
        return each(scene.pick, swapped)
