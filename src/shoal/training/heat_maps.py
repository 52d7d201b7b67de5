"""Where the agents of a trained policy go, and which of them serves which goal.

An agent's map is the share of its steps after which it was in each cell of a square grid around all
that was visited. A compiled program counts as it plays, so that no episode is kept. It plays twice:
first for the edges of the grid, then for its cells.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.algorithm import Policy
from shoal.core.env import Env, EnvState, Places
from shoal.core.errors import UserError, require
from shoal.envs.host.world import World
from shoal.math.statistics import wilson_interval
from shoal.runs.durable import check_ours, to_json, write_atomic
from shoal.training.contributions import Share
from shoal.training.evaluation import BATCH, Step, acting, watch_play

MOST = 200
"""Cells in a row."""
STILL = 1e-4
"""A goal that moves less, as a share of the grid's side, stays in its place."""
HAVE = (
    "heat maps are of mpe/*, of coop/coverage, flocking, foraging and navigation, and of "
    "environments of yours with a method locate"
)


@dataclass(frozen=True)
class HeatMaps:
    """Where each agent was, and which goals it served."""

    environment: str
    agents: tuple[str, ...]
    teams: tuple[int, ...]
    roles: tuple[int, ...]
    goals: tuple[str, ...]
    visits: Float[np.ndarray, "N H W"]
    """Share of each agent's steps after which it was in each cell, rows from bottom to top. They
    sum to 1, or to 0 for an agent that never acted."""
    extent: tuple[float, float, float, float]
    """Left, right, bottom and top of the grid, in world units. All that was visited is inside."""
    served: Share | None
    """`[N, G]`: how often agent `i` served goal `g`, as `counts` says. `None` without goals."""
    counts: str
    """`last`: share of episodes in which it did when they, or its part of them, ended; `mean`:
    share of its steps after which it did."""
    goal_places: Float[np.ndarray, "G 2"] | None
    """Where each goal was; NaN for one that moves. `None` where goals have no places."""
    episodes: int
    seed: int

    def save(self, path: Path | str = "heat_map.png", *, title: str = "") -> Path:
        """Draws the maps as a PNG, and writes their numbers beside it as JSON.

        Raises:
            UserError: the name does not end in `.png`, or the JSON would replace something else.
        """
        from shoal.training.heat_map_picture import save_picture

        path = Path(path)
        require(path.suffix == ".png", f"a heat map is written to {path}, expected NAME.png")
        numbers = path.with_suffix(".json")
        check_ours(numbers, '"visits"', "a heat map's", "name than that of " + path.name)
        save_picture(path, self, title or self.environment)
        write_atomic(numbers, json.dumps(to_json(asdict(self)), allow_nan=False) + "\n")
        return path


def heat_maps(
    policy: Policy,
    env: World,
    *,
    episodes: int = 100,
    seed: int = 0,
    bins: int = 40,
    greedy: bool = True,
) -> HeatMaps:
    """Plays episodes and counts where each agent is after each step that it acted in.

    Args:
        policy: of all agents.
        env: what is played. Its `locate` says where agents are and which goals they serve.
        episodes: how many.
        seed: of the episodes.
        bins: cells in a row, and in a column.
        greedy: whether agents take the likeliest action.

    Raises:
        UserError: the environment is one of Python's, or its agents have no places; there are fewer
            than 2 episodes; `bins` is not in 1 to 200; nobody was anywhere finite.
    """
    require(episodes >= 2, f"episodes is {episodes}, expected at least 2 for an interval")
    require(1 <= bins <= MOST, f"bins is {bins}, expected 1 to {MOST}")
    if not isinstance(env, Env):
        raise UserError(f"{env.spec.name} is not compiled: {HAVE}")
    form, spec = _form(env), env.spec
    sizes = [BATCH] * (episodes // BATCH) + [episodes % BATCH] * (episodes % BATCH > 0)
    keys = jax.random.split(jax.random.key(seed), len(sizes))

    def play(*grid: float) -> Iterator[_Seen]:
        for key, size in zip(keys, sizes):
            yield jax.device_get(_play(policy, env, jnp.array(grid), key, size, bins, greedy))

    edges = np.min([seen.edges for seen in play(0.0, 0.0, 1.0)], 0)
    finite = bool(np.isfinite(edges).all())
    require(finite, f"agents of {spec.name} that acted were nowhere, or where no number says")
    side = float((-edges[2:] - edges[:2]).max()) or 1.0
    left, bottom = ((edges[:2] - edges[2:] - side) / 2).tolist()
    played = list(play(left, bottom, side))
    visits = np.sum([seen.visits for seen in played], 0).reshape(-1, bins, bins)
    goals = np.min([seen.goal_edges for seen in played], 0)
    still = np.all(-goals[:, 2:] - goals[:, :2] < STILL * side, -1, keepdims=True)
    return HeatMaps(
        environment=spec.name,
        agents=spec.agents,
        teams=spec.teams,
        roles=spec.roles,
        goals=form.names,
        visits=visits / np.maximum(visits.sum((1, 2), keepdims=True), 1),
        extent=(left, left + side, bottom, bottom + side),
        served=_served(played, form.counts) if form.names else None,
        counts=form.counts,
        goal_places=None if form.goals is None else np.where(still, goals[:, :2], np.nan),
        episodes=episodes,
        seed=seed,
    )


def _served(played: list["_Seen"], counts: str) -> Share:
    """The mean over episodes, with 0 for those in which an agent never acted, and its interval:
    Wilson's of what did or did not happen, Student's of shares of steps."""
    times = np.concatenate([seen.served for seen in played]).astype(float)
    steps = np.concatenate([seen.steps for seen in played])[..., None]
    if counts == "last":
        mean = times.mean(0)
        return Share(mean, *map(np.asarray, wilson_interval(mean, len(times))))
    found = Share.of(np.moveaxis(times / np.maximum(steps, 1), 0, -1))
    return Share(found.mean, np.maximum(found.low, 0.0), np.minimum(found.high, 1.0))


def _locate(env: Env, state: EnvState) -> Places:
    places = env.locate(state)
    if places is None:
        raise UserError(f"agents of {env.spec.name} have no places: {HAVE}")
    return places


def _form(env: Env) -> Places:
    """The shapes of what an environment says of places. Raises `UserError` where they are not those
    of its agents and goals."""
    form = eqx.filter_eval_shape(lambda key: _locate(env, env.reset(key)[0]), jax.random.key(0))
    n, g = env.spec.num_agents, len(form.names)
    expected = {"agents": (n, 2), "serves": (n, g), "goals": (g, 2)}
    for name, shape in expected.items():
        array = getattr(form, name)
        if array is not None or (name == "serves" and g):
            found = getattr(array, "shape", None)
            message = f"{name} of {env.spec.name}'s locate has shape {found}, expected {shape}"
            require(found == shape, message)
    return form


class _Seen(NamedTuple):
    """What is counted while E episodes are played. Agents count after steps that they acted in."""

    edges: Float[Array, "4"]  # the least x, y, -x and -y of all agents
    goal_edges: Float[Array, "G 4"]  # and of each goal
    visits: Int[Array, "N C"]  # steps in each cell
    steps: Int[Array, "E N"]
    served: Int[Array, "E N G"]  # in how many of them, or whether in the last of them


@eqx.filter_jit
def _play(
    policy: Policy,
    env: Env,
    grid: Float[Array, "3"],
    key: PRNGKeyArray,
    episodes: int,
    bins: int,
    greedy: bool,
) -> _Seen:
    """Counts in the square `grid`: its left, its bottom and its side."""
    n, g = env.spec.num_agents, len(_form(env).names)

    def watch(seen: _Seen, step: Step) -> _Seen:
        places = jax.vmap(partial(_locate, env))(step.state)
        acted = step.before.active & step.alive[:, None]
        cell = jnp.floor((places.agents - grid[:2]) * (bins / grid[2]))
        column, row = jnp.moveaxis(jnp.clip(cell, 0, bins - 1).astype(jnp.int32), -1, 0)
        serves, here = jnp.zeros((episodes, n, g), bool), acted[..., None]
        if places.serves is not None:
            serves = here & places.serves
        last = places.counts == "last"
        return _Seen(
            jnp.minimum(seen.edges, _edges(places.agents, acted).min((0, 1))),
            seen.goal_edges
            if places.goals is None
            else jnp.minimum(seen.goal_edges, _edges(places.goals, step.alive[:, None]).min(0)),
            seen.visits.at[jnp.arange(n), row * bins + column].add(acted.astype(jnp.int32)),
            seen.steps + acted,
            jnp.where(here, serves, seen.served) if last else seen.served + serves,
        )

    zero = partial(jnp.zeros, dtype=jnp.int32)
    nothing = jnp.full(4, jnp.inf), jnp.full((g, 4), jnp.inf), zero((n, bins**2))
    seen = _Seen(*nothing, zero((episodes, n)), zero((episodes, n, g)))
    return watch_play(env, *acting(policy, episodes, greedy), key, episodes, watch, seen)


def _edges(points: Float[Array, "E K 2"], count: Bool[Array, "E #K"]) -> Float[Array, "E K 4"]:
    """x, y, -x and -y of the points that count."""
    return jnp.where(count[..., None], jnp.concatenate([points, -points], -1), jnp.inf)
