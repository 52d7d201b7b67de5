"""World: predators with a leader who sees through forests and speaks, against prey that eats.

Tag with food that prey is paid to touch, forests that hide whoever is inside from everyone outside
but the leader, and a leader whose four-symbol message all predators hear
(`mpe2.simple_world_comm_v3`).
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shoal.core.env import Action
from shoal.core.limits import Count, Natural, Positive
from shoal.envs.particle import palette
from shoal.envs.particle.pursuit import BLOCKED, Pursuit, chase, copies, escape, escaped, outside
from shoal.envs.particle.scene import (
    Index,
    Many,
    Number,
    Scene,
    Vector,
    chain,
    distance,
    each,
    join,
    nearest,
    overlaps,
    without,
)
from shoal.envs.particle.scripted import act
from shoal.envs.particle.world import Body, ParticleState, landmark

LEADER = 0


class Sides(NamedTuple):
    """Where everything is, by kind."""

    predators: Many
    prey: Many
    obstacles: Many
    food: Many
    forests: Many


class SimpleWorldComm(Pursuit):
    """`num_adversaries` predators, the first of which leads, `num_good` prey, `num_obstacles` fixed
    discs, `num_food` places to eat and `num_forests` places to hide.

    Observation:
        An agent's velocity (2) and position (2), the way to each landmark (2 each: obstacles, food,
        forests) and to each other agent (2 each). Then a predator sees the velocity of each prey
        (2 each), for each forest 1 if it is in it and else -1, and the leader's last message (4); a
        prey for each forest the same, and the velocity of each other prey. Two see each other in
        the same forest or both outside of all, and zeros otherwise; the leader sees everyone.

    Reward:
        Each predator gets 5 for every touch of any predator with any prey, less 0.1 times its own
        distance to the nearest prey. A prey gets 2 for each piece of food that it touches, less 5
        for each predator that touches it, 0.05 times its distance to the nearest food, and twice
        what leaving the arena costs in tag.

    Metrics:
        captures: Touches of a predator and a prey, summed over steps.
        eaten: Touches of a prey and a piece of food, summed over steps.
        caught: Whether there was any capture, 0 or 1.
        hidden: Share of prey in a forest, mean over steps.
        escaped: Share of prey outside of the arena, mean over steps.
    """

    num_good: Count = eqx.field(static=True, default=2)
    """Prey."""
    num_adversaries: Count = eqx.field(static=True, default=4)
    """Predators, the first of which leads."""
    num_obstacles: Natural = eqx.field(static=True, default=1)
    """Fixed discs."""
    num_food: Count = eqx.field(static=True, default=2)
    """Places to eat."""
    num_forests: Natural = eqx.field(static=True, default=2)
    """Places to hide."""
    agent_size: Positive = 0.045
    """Radius of a prey, in world units."""
    food_size: Positive = 0.03
    """Radius of a piece of food, in world units."""
    forest_size: Positive = 0.3
    """Radius of a forest, in world units."""

    name = "mpe/simple_world_comm"
    channel = 4
    metric_reductions = (
        ("captures", "sum"),
        ("eaten", "sum"),
        ("caught", "max"),
        ("hidden", "mean"),
        ("escaped", "mean"),
    )

    @property
    def agents(self) -> tuple[Body, ...]:
        leader = self.predator._replace(
            name="leadadversary_0", speaks=True, role=2, color=palette.DARK_RED
        )
        predators = copies(self.predator, self.num_adversaries - 1)
        return leader, *predators, *copies(self.prey, self.num_good)

    @property
    def landmarks(self) -> tuple[Body, ...]:
        food = landmark("food {}", self.food_size, color=palette.YELLOW)
        forest = landmark("forest {}", self.forest_size, color=palette.LEAF)
        return (
            copies(self.obstacle, self.num_obstacles)
            + copies(food, self.num_food)
            + copies(forest, self.num_forests)
        )

    def _sides(self, scene: Scene) -> Sides:
        predators, food = self.num_adversaries, self.num_obstacles
        forests = food + self.num_food
        return Sides(
            scene.agents[:predators],
            scene.agents[predators:],
            scene.landmarks[:food],
            scene.landmarks[food:forests],
            scene.landmarks[forests:],
        )

    def _inside(self, scene: Scene) -> Many:
        """For each agent, which of the forests it is in."""
        forests = self._sides(scene).forests

        def inside(me: Vector, size: Number) -> Bool[Array, "F"]:
            return jnp.array([distance(me, forest) < size for forest in forests], bool)

        return each(inside, scene.agents, [self.forest_size + body.size for body in self.agents])

    def observe(self, scene: Scene) -> Many:
        inside, first, said = self._inside(scene), self.num_adversaries, scene.message[LEADER]

        def look(i: Index, prey: int, leads: bool = False) -> tuple[Array, Many, Array]:
            """What all see first, the speeds of other prey (from `prey` on), and the forests. Who
            is hidden looks as if it stood, without moving, where the observer is."""
            sees = each(lambda spot: leads | _sees(inside[i], spot), without(i, inside))
            places = each(_show, sees, scene.to_others(i))
            speeds = each(_show, sees[prey:], without(i, scene.velocity)[prey:])
            known = scene.velocity[i], scene.agents[i], scene.to_landmarks(i), places
            return join(*known), speeds, jnp.where(inside[i], 1.0, -1.0)

        def predator(i: Index, leads: bool = False) -> Float[Array, "D"]:
            return join(*look(i, first - 1, leads), said)

        def prey(i: Index) -> Float[Array, "D"]:
            known, speeds, forests = look(i, first)
            return join(known, forests, speeds)

        followers, hunted = scene.indices[1:first], scene.indices[first:]
        return chain([predator(LEADER, True)], each(predator, followers), each(prey, hunted))

    def destinations(self, scene: Scene) -> dict[str, Vector]:
        """The food."""
        first = self.num_obstacles
        return {f"food {i}": scene.landmarks[first + i] for i in range(self.num_food)}

    def _caught(self, side: Sides) -> Many:
        """How many predators touch each prey."""
        reach = self.adversary_size + self.agent_size
        return each(lambda me: overlaps(me, side.predators, reach), side.prey)

    def _eaten(self, side: Sides, me: Vector) -> Number:
        """How many pieces of food a prey touches."""
        return overlaps(me, side.food, self.agent_size + self.food_size)

    def reward(self, scene: Scene) -> Many:
        side = self._sides(scene)
        caught = self._caught(side)
        captures = sum(caught)

        def living(me: Vector, c: Number) -> Number:
            gain = 2 * self._eaten(side, me) - 5 * c
            return gain - 2 * outside(me) - 0.05 * nearest(me, side.food)

        hunting = each(lambda me: 5 * captures - 0.1 * nearest(me, side.prey), side.predators)
        return chain(hunting, each(living, side.prey, caught))

    def measure(self, scene: Scene) -> dict[str, Array | float]:
        side = self._sides(scene)
        captures = sum(self._caught(side))
        hidden = each(lambda spot: spot.any(), self._inside(scene)[self.num_adversaries :])
        return {
            "captures": captures,
            "eaten": sum(each(lambda me: self._eaten(side, me), side.prey)),
            "caught": captures > 0,
            "hidden": jnp.stack(hidden).mean(),
            "escaped": escaped(side.prey),
        }

    def scripted(self, state: ParticleState) -> Action:
        """Predators run to where the nearest prey will be, and the leader says in which quadrant of
        the arena its own prey is. Prey looks ahead, keeps clear of predators, obstacles and the
        edge, and goes to food when it can."""
        scene = self.scene(state)
        chasing = chase(scene, self.num_adversaries, self.adversary_max_speed)
        forces = [*chasing, *self._forage(scene)]
        return act(self, forces, words={LEADER: self._quadrant(scene)})

    def _quadrant(self, scene: Scene) -> Int[Array, ""]:
        prey, leader = self._sides(scene).prey, scene.agents[LEADER]
        closest = jnp.stack(each(lambda p: distance(leader, p), prey)).argmin()
        x, y = jnp.stack(prey)[closest]
        return jnp.int32(x > 0) + 2 * jnp.int32(y > 0)

    def _forage(self, scene: Scene) -> Many:
        side = self._sides(scene)

        def worth(place: Vector) -> Number:
            blocked = overlaps(place, side.obstacles, self.obstacle_size + self.agent_size)
            return 2 * self._eaten(side, place) - nearest(place, side.food) - BLOCKED * blocked

        return escape(self, scene, self.num_adversaries, self.adversary_max_speed, worth)


def _sees(mine: Bool[Array, "F"], theirs: Bool[Array, "F"]) -> Bool[Array, ""]:
    """Whether who is in some forests sees who is in others: in the same one, or both in none."""
    return (mine & theirs).any() | ~(mine.any() | theirs.any())


def _show(seen: Bool[Array, ""], x: Vector) -> Vector:
    return jnp.where(seen, x, 0.0)
