"""Jumanji's worlds inside Shoal's compiled loop: level-based foraging, robot warehouse, ...

    env = shoal.make("jumanji:RobotWarehouse-v0", generator={"num_agents": 2})

Each agent sees what is its own of the observation and all that is everybody's, flattened. A reward
that the team shares is every agent's. Agents end one by one in Connector alone, where each is paid
its own: who is connected or blocked has terminated. Bonnet et al. (2023), arXiv:2306.09884.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.env import Action, EnvSpec
from shoal.core.errors import require, unknown
from shoal.core.spaces import ActionSpace, Discrete
from shoal.envs.settings import read_settings
from shoal.envs.suites.suite import (
    Bounds,
    SuiteStep,
    SuiteWorld,
    build,
    import_suite,
    parameters_of,
)

MASK, CLOCK = "action_mask", "step_count"
TELLS = ("LevelBasedForaging", "Connector")
"""Classes that say of their last step whether time ran out; others call either a true end."""


class JumanjiWorld(SuiteWorld):
    """A world of Jumanji's whose agents all act at once: one number each, or a box each.

    One agent that chooses several numbers, such as a row and a column, chooses among all their
    combinations.

    What generates episodes can be a setting too, as the generator's own settings:
    `generator={"grid_size": 10, "num_agents": 3}`; what is left out stays as it is.
    """

    @property
    def world(self) -> Any:
        """The world itself; the same object for equal fields."""
        return _make(self.task, self.settings)

    @property
    def own_limit(self) -> int:
        own = getattr(self.world, "time_limit", None)
        return int(own) if isinstance(own, int | np.integer) else 0

    @property
    def limit_setting(self) -> str:
        return "time_limit"

    def clock(self, inner: Any) -> Any:
        count = getattr(inner, CLOCK, None)
        return count if count is not None and jnp.ndim(count) == 0 else None

    def describe(self) -> EnvSpec:
        action = _actions(self.task, self.world)
        sizes = action.sizes
        _, shown = jax.eval_shape(self.world.reset, jax.random.key(0))
        views = jax.eval_shape(lambda o: _views(o, len(sizes), 1), shown.observation)
        return EnvSpec(
            name=f"jumanji:{self.task}",
            agents=tuple(f"agent_{i}" for i in range(len(sizes))),
            teams=(0,) * len(sizes),
            roles=tuple(sizes.index(n) for n in sizes),
            obs_sizes=(views.shape[1],) * len(sizes),
            action=action,
            state_size=0,
            horizon=self.limit,
            endless=self.endless,
            metrics=tuple((name, "last") for name in _extras(self.world)),
        )

    def begin(self, key: PRNGKeyArray) -> tuple[Any, SuiteStep]:
        inner, shown = self.world.reset(key)
        count = self.spec.num_agents
        return inner, self._seen(shown, jnp.zeros(count), jnp.zeros(count, bool))

    def advance(
        self, key: PRNGKeyArray, inner: Any, action: Action, late: Bool[Array, ""]
    ) -> tuple[Any, SuiteStep]:
        del key  # states hold their own
        inner, shown = self.world.step(inner, self._joint(action))
        count = self.spec.num_agents
        reward = jnp.broadcast_to(jnp.asarray(shown.reward, jnp.float32), (count,))
        ended = jnp.broadcast_to(shown.discount == 0, (count,))
        if type(self.world).__name__ not in TELLS:
            ended = ended & ~late
        return inner, self._seen(shown, reward, ended)

    def _joint(self, action: Action) -> Array:
        """All agents' actions as the world wants them."""
        space, world = self.spec.action, self.world
        if isinstance(space, Discrete):
            joint = jnp.clip(action, 0, jnp.array(space.sizes) - 1)
            if not _by_agent(world):
                joint = jnp.stack(jnp.unravel_index(joint[0], _counts(world)))
        else:
            bounds = _bounds(self.task, world)
            joint = jnp.stack([bounds.own(i, action[i]) for i in range(len(space.sizes))])
        return joint.reshape(world.action_spec.shape)

    def _seen(self, shown: Any, reward: Float[Array, "N"], ended: Bool[Array, "N"]) -> SuiteStep:
        count = len(reward)
        found: Any = getattr(shown.observation, MASK, None)
        discrete = isinstance(self.spec.action, Discrete) and found is not None
        mask = jnp.asarray(found).reshape(count, -1).astype(bool) if discrete else None
        # What a reset does not tell yet is 0.
        told = {name: shown.extras.get(name, 0.0) for name in _extras(self.world)}
        return SuiteStep(
            obs=_views(shown.observation, count, self.own_limit or 1),
            reward=reward,
            ended=ended,
            over=jnp.asarray(shown.last(), bool),
            action_mask=mask,
            metrics={name: jnp.asarray(value, jnp.float32) for name, value in told.items()},
        )


def names() -> list[str]:
    """The names of Jumanji's worlds. Raises `UserError` where it is not installed."""
    return sorted(import_suite("jumanji", "Jumanji", "jumanji").registered_environments())


@functools.lru_cache(maxsize=64)
def _make(task: str, settings: str) -> Any:
    jumanji = import_suite("jumanji", "Jumanji", "jumanji")
    if task not in names():
        raise unknown("world of Jumanji", task, names())
    given = read_settings(task, settings)
    make = functools.partial(jumanji.make, task)
    if isinstance(given.get("generator"), dict):
        given["generator"] = _generator(task, make(), given["generator"])
    return build(task, make, given, lambda: parameters_of(type(make())))


def _generator(task: str, world: Any, given: dict[str, Any]) -> Any:
    """The world's own generator with some of its settings replaced."""
    held = vars(world)
    default = held.get("generator", held.get("_generator"))
    require(default is not None, f"{task} has no generator, expected other settings")
    names = parameters_of(type(default))
    kept = {name: getattr(default, name) for name in names if name in dir(default)}
    return build(f"the generator of {task}", type(default), kept | given, lambda: names)


@functools.lru_cache(maxsize=64)
def _extras(world: Any) -> tuple[str, ...]:
    """The numbers that a step tells beside what agents see, such as the food that was eaten."""
    inner, _ = jax.eval_shape(world.reset, jax.random.key(0))
    _, shown = jax.eval_shape(world.step, inner, world.action_spec.generate_value())
    return tuple(sorted(name for name, value in shown.extras.items() if value.shape == ()))


def _actions(task: str, world: Any) -> ActionSpace:
    """A whole number for each agent, combinations of one agent's, or a row of a box for each."""
    counts = _counts(world)
    if counts:
        return Discrete(counts if _by_agent(world) else (math.prod(counts),))
    found: Any = world.action_spec
    boxed = hasattr(found, "minimum") and jnp.issubdtype(found.dtype, jnp.floating)
    require(
        bool(boxed) and len(found.shape) <= 2,
        f"{task} has actions {found}, expected whole numbers or one box for each agent",
    )
    return _bounds(task, world).box


def _counts(world: Any) -> tuple[int, ...]:
    """How many values each number of an action has; nothing where actions are not whole numbers."""
    found = getattr(world.action_spec, "num_values", ())
    return tuple(int(n) for n in np.ravel(found))


@functools.lru_cache(maxsize=64)
def _by_agent(world: Any) -> bool:
    """Whether an action's numbers are one for each agent: legal actions are told one by one."""
    counts = _counts(world)
    _, shown = jax.eval_shape(world.reset, jax.random.key(0))
    legal: Any = getattr(shown.observation, MASK, None)
    told = legal is not None and legal.shape == (len(counts), max(counts))
    return len(counts) == 1 or told


def _bounds(task: str, world: Any) -> Bounds:
    """Of actions `[N, A]`, or of one agent's."""
    found = world.action_spec
    shape = (1,) * (2 - len(found.shape)) + found.shape
    low, high = (np.broadcast_to(end, shape) for end in (found.minimum, found.maximum))
    return Bounds.of(task, [(a, b, shape[1:]) for a, b in zip(low, high)])


def _views(observation: Any, count: int, limit: int) -> Float[Array, "N D"]:
    """Each agent's own view, or its number where it has none; then what all see.

    Steps are told as a share of the time limit: hundreds would drown what else a network reads.
    """
    fields = [(k, v) for k, v in observation._asdict().items() if k != MASK]
    own = [jnp.reshape(v, (count, -1)) for k, v in fields if "view" in k]
    if not own:  # nobody has a view of its own: all see all, and who they are
        own = [jnp.eye(count)]
    seen = [v / limit if k == CLOCK else v for k, v in fields if "view" not in k]
    common = [jnp.broadcast_to(jnp.ravel(x), (count, np.size(x))) for x in jax.tree.leaves(seen)]
    return jnp.concatenate([x.astype(jnp.float32) for x in (*own, *common)], axis=1)
