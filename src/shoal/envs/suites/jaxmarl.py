"""JaxMARL's worlds inside Shoal's compiled loop: SMAX, Overcooked, Hanabi, STORM, JaxNav, ...

    env = shoal.make("jaxmarl:HeuristicEnemySMAX", scenario="3m")

What JaxMARL calls done is told apart: at the world's time limit an episode is cut, before it an
agent has left. Units of SMAX and robots of JaxNav are paid by what their team does afterwards: they
are inactive then, and have ended with their team. Rutherford et al. (2023), arXiv:2311.10090.
"""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.env import Action, EnvSpec
from shoal.core.errors import require, unknown
from shoal.core.limits import NonNegative
from shoal.core.spaces import ActionSpace, Discrete
from shoal.envs.settings import read_settings
from shoal.envs.suites.suite import (
    Bounds,
    SuiteStep,
    SuiteWorld,
    build,
    flat,
    import_suite,
    padded,
    parameters_of,
    size_of,
)

STATE = "world_state"
LIMITS = ("episode_length", "num_inner_steps", "max_steps")
LOOK_FIRST = ("jaxmarl.environments.smax", "jaxmarl.environments.mpe")
"""Packages whose worlds look at the clock before they move it: they make one step more."""
BRAX = ("ant_4x2", "halfcheetah_6x1", "hopper_3x1", "humanoid_9|8", "walker2d_2x3")
RIVALS = ("storm", "storm_2p", "storm_np", "coin_game")
"""Worlds of two or more who each have an interest of their own."""


class Inner(NamedTuple):
    """A world's own state, and who has left, which its last step does not tell."""

    own: Any
    left: Bool[Array, "N"]


class JaxMARLWorld(SuiteWorld):
    """A world of JaxMARL's. Observations are flattened; those of different sizes are padded.

    The scenario of SMAX and the layout of Overcooked are named: `scenario="3m"`,
    `layout="cramped_room"`.
    """

    shaping: NonNegative = eqx.field(static=True, default=0.0)
    """Weight of the rewards that Overcooked names for training alone."""

    @property
    def world(self) -> Any:
        """The world itself; the same object for equal fields."""
        return _make(self.task, self.settings)

    @property
    def own_limit(self) -> int:
        return _own_limit(self.world)

    @property
    def limit_setting(self) -> str:
        return next((name for name in LIMITS if name in _held(self.world)), "setting")

    def describe(self) -> EnvSpec:
        agents = self.world.agents
        views, state = jax.eval_shape(
            lambda key: _parts(self.world.reset(key)[0], agents), jax.random.key(0)
        )
        sizes = tuple(map(size_of, views))
        actions = _actions(self.task, self.world)
        kinds = list(zip(sizes, actions.sizes))
        return EnvSpec(
            name=f"jaxmarl:{self.task}",
            agents=tuple(map(str, agents)),
            teams=self._teams(),
            roles=tuple(kinds.index(kind) for kind in kinds),
            obs_sizes=sizes,
            action=actions,
            state_size=size_of(state),
            horizon=self.limit,
            endless=self.endless,
            metrics=tuple((name, "sum") for name in self._metrics(None, None)),
        )

    def begin(self, key: PRNGKeyArray) -> tuple[Any, SuiteStep]:
        obs, inner = self.world.reset(key)
        count = self.spec.num_agents
        no = jnp.zeros(count, bool)
        seen = self._seen(obs, inner, jnp.zeros(count), jnp.zeros(count), no, no.any())
        return Inner(inner, no), seen

    def advance(
        self, key: PRNGKeyArray, inner: Any, action: Action, late: Bool[Array, ""]
    ) -> tuple[Any, SuiteStep]:
        world, agents = self.world, self.world.agents
        rows = [self._own(i, action[i]) for i in range(len(agents))]
        chosen = rows if _numbered(agents) else dict(zip(agents, rows))
        obs, own, rewards, dones, infos = world.step_env(key, inner.own, chosen)
        over = jnp.asarray(dones["__all__"], bool)
        each = jnp.stack([jnp.asarray(dones.get(agent, over), bool) for agent in agents])
        # At the time limit the worlds call everybody done: that is no end of those who go on.
        left = inner.left | jnp.where(late, each & ~each.all(), each | over)
        score = _row(rewards, agents)
        reward = score
        if self.shaping:
            reward = score + self.shaping * _row(infos["shaped_reward"], agents)
        return Inner(own, left), self._seen(obs, own, score, reward, left, over)

    def _seen(
        self,
        obs: Any,
        inner: Any,
        score: Float[Array, "N"],
        reward: Float[Array, "N"],
        left: Bool[Array, "N"],
        over: Bool[Array, ""],
    ) -> SuiteStep:
        spec, nobody = self.spec, jnp.zeros_like(left)
        shared = _shares_reward(self.world)
        views, state = _parts(obs, self.world.agents)
        rows = [flat(view) for view in views]
        return SuiteStep(
            obs=padded(rows, spec.obs_size),
            reward=reward,
            ended=nobody if shared else left,
            over=over,
            fallen=left if shared else None,
            action_mask=self._mask(inner),
            global_state=flat(state) if spec.state_size else None,
            metrics=self._metrics(score, inner),
        )

    def _metrics(self, score: Any, inner: Any) -> dict[str, Any]:
        """What practitioners read: SMAX's battles won, Overcooked's score without shaping."""
        if self.task == "HeuristicEnemySMAX":
            return {"won": None if inner is None else _won(self.world, inner)}
        if self.shaping:
            return {"score": None if inner is None else score.mean()}
        return {}

    def _own(self, i: int, action: Array) -> Array:
        """An agent's action as its world wants it."""
        if isinstance(self.spec.action, Discrete):
            return action
        return _bounds(self.task, self.world).own(i, action)

    def _mask(self, inner: Any) -> Bool[Array, "N A"] | None:
        space, legal = self.spec.action, _legal(self.world)
        if not isinstance(space, Discrete):
            return None
        if legal is None:
            return jnp.asarray(space.mask) if len(set(space.sizes)) > 1 else None
        found = legal(inner)
        rows = [jnp.asarray(found[agent], bool) for agent in self.world.agents]
        return jnp.stack([jnp.pad(row, (0, space.size - len(row))) for row in rows])

    def _teams(self) -> tuple[int, ...]:
        agents = self.world.agents
        if self.task in RIVALS and not read_settings(self.task, self.settings).get(
            "shared_rewards"
        ):
            return tuple(range(len(agents)))
        return tuple(int(_is_foe(str(agent))) for agent in agents)


def names() -> list[str]:
    """The names of JaxMARL's worlds. Raises `UserError` where it is not installed."""
    return sorted(import_suite("jaxmarl", "JaxMARL", "jaxmarl").registered_envs)


@functools.lru_cache(maxsize=64)
def _make(task: str, settings: str) -> Any:
    jaxmarl = import_suite("jaxmarl", "JaxMARL", "jaxmarl")
    if task not in names():
        raise unknown("world of JaxMARL", task, names())
    given = read_settings(task, settings)
    make = functools.partial(jaxmarl.make, task)
    if isinstance(given.get("scenario"), str):
        smax = import_suite("jaxmarl.environments.smax.smax_env", "SMAX", "jaxmarl")
        scenarios = smax.MAP_NAME_TO_SCENARIO
        given["scenario"] = _named("scenario of SMAX", given["scenario"], scenarios)
    if isinstance(given.get("layout"), str) and task in ("overcooked", "overcooked_v2"):
        module = import_suite(f"jaxmarl.environments.{task}", "Overcooked", "jaxmarl")
        layouts = getattr(module, f"{task}_layouts")
        given["layout"] = _named("layout of Overcooked", given["layout"], layouts)
    if task in BRAX:
        given.setdefault("auto_reset", False)
    return build(task, make, given, lambda: _settings_of(make()))


def _named(kind: str, name: str, table: dict[str, Any]) -> Any:
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]


def _settings_of(world: Any) -> list[str]:
    """Those of SMAX too, where it is inside of the world."""
    kinds = [type(world), *(type(x) for k, x in vars(world).items() if k == "_env")]
    return parameters_of(*kinds)


def _own_limit(world: Any) -> int:
    """The world's time limit, by the names that JaxMARL has for it; 0 where it has none."""
    held = _held(world)
    if "episode_length" in held:
        return -(-int(held["episode_length"]) // int(held["action_repeat"]))
    if "num_inner_steps" in held:
        return int(held["num_inner_steps"]) * int(held["num_outer_steps"])
    one_more = type(world).__module__.startswith(LOOK_FIRST)
    return int(held["max_steps"]) + one_more if "max_steps" in held else 0


def _shares_reward(world: Any) -> bool:
    """Whether who leaves early is still paid by what its team does. Of the worlds in which agents
    leave one by one only JaxNav can pay each its own, where `rew_lambda` is fixed at 1."""
    held = _held(world)
    return not held.get("fixed_lambda") or held["rew_lambda"] < 1


def _held(world: Any) -> dict[str, Any]:
    """What a world holds; SMAX with heuristic enemies holds another that holds the rest."""
    return vars(vars(world).get("_env", world)) | vars(world)


def _won(world: Any, inner: Any) -> Float[Array, ""]:
    """1 with the step that leaves allies alone on the field."""
    alive = inner.state.unit_alive
    foes, allies = alive[world.num_allies :], alive[: world.num_allies]
    return (allies.any() & ~foes.any()).astype(jnp.float32)


def _numbered(agents: list[Any]) -> bool:
    """Whether agents have no names but numbers, as in STORM, which takes actions in a list."""
    return isinstance(agents[0], int)


def _parts(obs: Any, agents: list[Any]) -> tuple[list[Any], Any]:
    """What each agent sees, and the global state if there is one."""
    if not isinstance(obs, dict):
        return [obs[agent] for agent in agents], None
    if "inventory" in obs:  # one of STORM's worlds shows field by field what everybody sees
        return [(obs["observations"][i], obs["inventory"][:, i]) for i in agents], None
    return [obs[agent] for agent in agents], obs.get(STATE)


def _row(values: Any, agents: list[Any]) -> Float[Array, "N"]:
    """A number of each agent's, by name or by number."""
    return jnp.stack([jnp.asarray(values[agent], jnp.float32) for agent in agents])


@functools.lru_cache(maxsize=64)
def _legal(world: Any) -> Any:
    """What tells legal actions, if anything does."""
    _, state = jax.eval_shape(world.reset, jax.random.key(0))
    for name in ("get_avail_actions", "get_legal_moves"):
        tell = getattr(world, name, None)
        try:
            if tell is not None:
                jax.eval_shape(tell, state)
                return tell
        except NotImplementedError:
            continue
    return None


def _actions(task: str, world: Any) -> ActionSpace:
    spaces = [world.action_space(agent) for agent in world.agents]
    kinds = {type(space).__name__ for space in spaces}
    if kinds == {"Discrete"}:
        return Discrete(tuple(int(space.n) for space in spaces))
    require(
        kinds == {"Box"},
        f"{task} has actions of {', '.join(sorted(kinds))}, expected Discrete for all agents, "
        "or Box",
    )
    return _bounds(task, world).box


@functools.lru_cache(maxsize=64)
def _bounds(task: str, world: Any) -> Bounds:
    with jax.ensure_compile_time_eval():
        spaces = [world.action_space(agent) for agent in world.agents]
    return Bounds.of(task, [(space.low, space.high, space.shape) for space in spaces])


def _is_foe(agent: str) -> bool:
    """Whether a name is the other side's: enemies, adversaries and Eve, who listens in."""
    return "adversary" in agent or agent.startswith(("enemy", "eve"))
