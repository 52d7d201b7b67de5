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
from shoal.envs.particle.pursuit import (
    BLOCKED,
    chase,
    contacts,
    copies,
    escape,
    escaped,
    outside,
)
from shoal.envs.particle.scripted import act
from shoal.envs.particle.world import (
    Body,
    Number,
    ParticleState,
    ParticleWorld,
    Scene,
    Vector,
    distance,
    landmark,
    nearest,
)

LEADER = 0


class Sides(NamedTuple):
    """Where everything is, by kind."""

    predators: list[Vector]
    prey: list[Vector]
    obstacles: list[Vector]
    food: list[Vector]
    forests: list[Vector]


class SimpleWorldComm(ParticleWorld):
    """`num_adversaries` predators, the first of which leads, `num_good` prey, `num_obstacles` fixed
    discs, `num_food` places to eat and `num_forests` places to hide.

    Metrics: `captures`, the touches of a predator and a prey, and `eaten`, those of a prey and a
    piece of food, counted each step; `caught`, whether there was any capture; `hidden`, the mean
    share of prey in a forest; `escaped`, the mean share of prey outside of the arena."""

    num_good: Count = eqx.field(static=True, default=2)
    num_adversaries: Count = eqx.field(static=True, default=4)
    num_obstacles: Natural = eqx.field(static=True, default=1)
    num_food: Count = eqx.field(static=True, default=2)
    num_forests: Natural = eqx.field(static=True, default=2)
    agent_size: Positive = 0.045
    agent_acceleration: Positive = 4.0
    agent_max_speed: Positive = 1.3
    adversary_size: Positive = 0.075
    adversary_acceleration: Positive = 3.0
    adversary_max_speed: Positive = 1.0
    obstacle_size: Positive = 0.2
    food_size: Positive = 0.03
    forest_size: Positive = 0.3

    name = "mpe/simple_world_comm"
    channel = 4
    spread = 0.9
    metric_reductions = (
        ("captures", "sum"),
        ("eaten", "sum"),
        ("caught", "max"),
        ("hidden", "mean"),
        ("escaped", "mean"),
    )

    @property
    def agents(self) -> tuple[Body, ...]:
        predator = Body(
            "adversary_{}",
            self.adversary_size,
            acceleration=self.adversary_acceleration,
            max_speed=self.adversary_max_speed,
            color=palette.RED,
        )
        leader = predator._replace(
            name="leadadversary_0", speaks=True, role=2, color=palette.DARK_RED
        )
        prey = Body(
            "agent_{}",
            self.agent_size,
            acceleration=self.agent_acceleration,
            max_speed=self.agent_max_speed,
            role=1,
            team=1,
            color=palette.GREEN,
        )
        return leader, *copies(predator, self.num_adversaries - 1), *copies(prey, self.num_good)

    @property
    def landmarks(self) -> tuple[Body, ...]:
        obstacle = landmark("landmark {}", self.obstacle_size, True, palette.SLATE)
        food = landmark("food {}", self.food_size, color=palette.YELLOW)
        forest = landmark("forest {}", self.forest_size, color=palette.LEAF)
        return (
            copies(obstacle, self.num_obstacles)
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

    def _inside(self, scene: Scene) -> list[Bool[Array, "F"]]:
        """For each agent, which of the forests it is in."""
        sizes = [self.forest_size + body.size for body in self.agents]
        forests = self._sides(scene).forests
        return [
            jnp.array([distance(me, forest) < size for forest in forests], bool)
            for me, size in zip(scene.agents, sizes)
        ]

    def observe(self, scene: Scene) -> list[Float[Array, "D_i"]]:
        inside = self._inside(scene)
        return [self._observe_one(scene, inside, i) for i in range(len(scene.agents))]

    def _observe_one(
        self, scene: Scene, inside: list[Bool[Array, "F"]], i: int
    ) -> Float[Array, "D_i"]:
        """Who is hidden looks as if it stood, without moving, where the observer is."""
        me, others = scene.agents[i], [j for j in range(len(scene.agents)) if j != i]
        sees = {j: self._sees(inside, i, j) for j in others}
        places = [jnp.where(sees[j], scene.agents[j] - me, 0.0) for j in others]
        speeds = [
            jnp.where(sees[j], scene.velocity[j], 0.0) for j in others if j >= self.num_adversaries
        ]
        forests = jnp.where(inside[i], 1.0, -1.0)
        known = [scene.velocity[i], me, *scene.to_landmarks(i), *places]
        if i < self.num_adversaries:
            return jnp.concatenate([*known, *speeds, forests, scene.message[LEADER]])
        return jnp.concatenate([*known, forests, *speeds])

    def _sees(self, inside: list[Bool[Array, "F"]], i: int, j: int) -> Bool[Array, ""]:
        """Whether agent `i` sees `j`: in the same forest, both in none, or as the leader."""
        if i == LEADER:
            return jnp.array(True)
        together = (inside[i] & inside[j]).any()
        return together | ~(inside[i].any() | inside[j].any())

    def reward(self, scene: Scene) -> list[Number]:
        side = self._sides(scene)
        reach = self.adversary_size + self.agent_size
        caught = [contacts(side.predators, [me], reach) for me in side.prey]
        hunting = [5 * sum(caught) - 0.1 * nearest(me, side.prey) for me in side.predators]
        living = [
            2 * self._eaten(side, [me]) - 5 * c - 2 * outside(me) - 0.05 * nearest(me, side.food)
            for me, c in zip(side.prey, caught)
        ]
        return [*hunting, *living]

    def _eaten(self, side: Sides, prey: list[Vector]) -> Number:
        return contacts(prey, side.food, self.agent_size + self.food_size)

    def measure(self, scene: Scene) -> dict[str, Array | float]:
        side = self._sides(scene)
        captures = contacts(side.predators, side.prey, self.adversary_size + self.agent_size)
        hidden = [forests.any() for forests in self._inside(scene)[self.num_adversaries :]]
        return {
            "captures": captures,
            "eaten": self._eaten(side, side.prey),
            "caught": captures > 0,
            "hidden": jnp.stack(hidden).mean(),
            "escaped": escaped(side.prey),
        }

    def scripted(self, state: ParticleState) -> Action:
        """Predators run to where the nearest prey will be, and the leader says in which quadrant of
        the arena its own prey is. Prey looks ahead, keeps clear of predators, obstacles and the
        edge, and goes to food when it can."""
        scene = self.scene(state)
        forces = chase(scene, self.num_adversaries, self.adversary_max_speed) + self._forage(scene)
        return act(self, forces, words={LEADER: self._quadrant(scene)})

    def _quadrant(self, scene: Scene) -> Int[Array, ""]:
        prey = jnp.stack(self._sides(scene).prey)
        x, y = prey[jnp.stack([distance(scene.agents[LEADER], p) for p in prey]).argmin()]
        return jnp.int32(x > 0) + 2 * jnp.int32(y > 0)

    def _forage(self, scene: Scene) -> list[Vector]:
        side = self._sides(scene)

        def worth(place: Vector) -> Number:
            blocked = contacts([place], side.obstacles, self.obstacle_size + self.agent_size)
            return 2 * self._eaten(side, [place]) - nearest(place, side.food) - BLOCKED * blocked

        return escape(self, scene, self.num_adversaries, self.adversary_max_speed, worth)
