"""What an adapter costs: worlds of JaxMARL's and Jumanji's through Shoal and by themselves.

    python benchmarks/adapters.py [--rounds 7]          # with jaxmarl and jumanji installed

Writes adapters/overhead.csv. Both sides make random actions in one compiled scan of the same
length, with auto-reset: the suite's own, the faster one where it has two. Programs take turns in
one process, so that a neighbour on the machine slows all alike. Three comparisons of steps per
second; a step is one step of one environment with all its agents:

- `overhead`: the suite's side makes what a learner reads as well, one array of observations for all
  agents, rewards, legal actions and the global state, as every training script of its own does.
- `overhead_raw`: it hands on what the world returns, in dictionaries, without legal actions.
- `overhead_step`: as the first, but neither side resets anything.
"""

import argparse
import csv
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import shoal
from shoal.training.devices import prepare
from shoal.training.machine import hardware, versions
from shoal.training.on_device import auto_reset

OUT = Path(__file__).parent / "adapters" / "overhead.csv"
SIZES = {64: 512, 1024: 64}  # environments, and steps of each in a call
WORLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "SMAX 3m": ("jaxmarl:HeuristicEnemySMAX", {"scenario": "3m"}),
    "Overcooked cramped room": ("jaxmarl:overcooked", {"layout": "cramped_room"}),
    "LBF 8x8-2p-2f-coop": ("jumanji:LevelBasedForaging-v0", {}),
    "RobotWarehouse tiny-2ag": (
        "jumanji:RobotWarehouse-v0",
        {"generator": {"shelf_rows": 1, "num_agents": 2, "request_queue_size": 2}},
    ),
}

Step = Callable[[Any, Any, Any], tuple[Any, Any]]  # keys, states, actions -> states, what is shown


class Side(NamedTuple):
    """One way to make a batch of steps."""

    reset: Callable[[Any], tuple[Any, Any]]
    step: Step


def main() -> None:
    """Compiles everything, measures in turns and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    prepare()
    works = {
        (world, size): {way: Work(side, env, size) for way, side in sides(name, env).items()}
        for world in options.worlds
        for name, settings in [WORLDS[world]]
        for env in [shoal.make(name, **settings)]
        for size in SIZES
    }
    for key, programs in works.items():
        for work in programs.values():
            work.rate()
        print(*key, "compiled", flush=True)
    rates: dict[Any, list[dict[str, float]]] = {key: [] for key in works}
    for _ in range(options.rounds):
        for key, programs in works.items():
            rates[key].append({name: work.rate() for name, work in programs.items()})
    rows = [row(*key, found) for key, found in rates.items()]
    options.out.parent.mkdir(exist_ok=True)
    with open(options.out, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


class Work:
    """A compiled scan of random actions; the last thing shown is kept, as a learner would need."""

    def __init__(self, side: Side, env: Any, num_envs: int):
        spec, self.steps = env.spec, num_envs * SIZES[num_envs]
        key = jax.random.key(0)
        shape = (num_envs, spec.num_agents)
        action = jax.random.randint(key, shape, 0, jnp.array(spec.action.sizes))
        keys = jax.random.split(key, num_envs)
        state, _ = jax.jit(side.reset)(keys)
        # A step gives every number the type that it keeps.
        kept, shown = jax.eval_shape(side.step, keys, state, action)
        state = jax.tree.map(
            lambda x, like: x if x.dtype == like.dtype else x.astype(like.dtype), state, kept
        )
        shown = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), shown)

        def step(loop: Any, key: Any) -> tuple[Any, None]:
            state, _, action = loop
            state, shown = side.step(jax.random.split(key, num_envs), state, action)
            return (state, shown, jnp.roll(action, 1, 0)), None

        def run(loop: Any, key: Any) -> Any:
            key, key_run = jax.random.split(key)
            keys = jax.random.split(key_run, SIZES[num_envs])
            return jax.lax.scan(step, loop, keys)[0], key

        self.run, self.loop = jax.jit(run), ((state, shown, action), key)

    def rate(self) -> float:
        """Steps per second of one more call. The first call compiles."""
        start = time.perf_counter()
        self.loop = jax.block_until_ready(self.run(*self.loop))
        return self.steps / (time.perf_counter() - start)


def sides(name: str, env: Any) -> dict[str, Side]:
    """All that is timed of a world."""
    ways = jaxmarl_sides(env) if name.startswith("jaxmarl") else jumanji_sides(env)
    return {
        "shoal": Side(jax.vmap(env.reset), partial(shoal_step, env)),
        "shoal_step": Side(jax.vmap(env.reset), jax.vmap(env.step)),
        **ways,
    }


def shoal_step(env: Any, keys: Any, state: Any, action: Any) -> tuple[Any, Any]:
    """A step and Shoal's auto-reset."""
    state, successor = jax.vmap(env.step)(keys, state, action)
    state, timestep = auto_reset(env, keys[0], state, successor)
    return state, (timestep, successor.reward, successor.terminated, successor.truncated)


def jaxmarl_sides(env: Any) -> dict[str, Side]:
    """JaxMARL's own, whose `step` resets and whose `step_env` does not."""
    world = env.world
    agents = world.agents

    def read(obs: Any, state: Any, rewards: Any = None, dones: Any = None) -> Any:
        """What a learner reads: arrays over agents."""
        legal = getattr(world, "get_avail_actions", None) if "ally_0" in agents else None
        kept = [jnp.stack([jnp.ravel(obs[a]).astype(jnp.float32) for a in agents])]
        if legal is not None:
            found = legal(state)
            kept += [jnp.stack([found[a].astype(bool) for a in agents]), obs["world_state"]]
        rewards, dones = (
            rewards or dict.fromkeys(agents, 0.0),
            dones or dict.fromkeys(agents, False),
        )
        kept += [jnp.stack([jnp.asarray(rewards[a], jnp.float32) for a in agents])]
        return [*kept, jnp.stack([jnp.asarray(dones[a], bool) for a in agents])]

    def side(step: Any, reads: bool) -> Side:
        def reset(key: Any) -> tuple[Any, Any]:
            obs, state = world.reset(key)
            return state, read(obs, state) if reads else None

        def advance(key: Any, state: Any, action: Any) -> tuple[Any, Any]:
            chosen = {agent: action[i] for i, agent in enumerate(agents)}
            obs, state, rewards, dones, _ = step(key, state, chosen)
            shown = read(obs, state, rewards, dones) if reads else (obs, rewards, dones)
            return state, shown

        return Side(jax.vmap(reset), jax.vmap(advance))

    return {
        "suite": side(world.step, True),
        "suite_raw": side(world.step, False),
        "suite_step": side(world.step_env, True),
    }


def jumanji_sides(env: Any) -> dict[str, Side]:
    """Jumanji's own, with its two wrappers that reset: all at once, or one by one."""
    from jumanji.wrappers import AutoResetWrapper, VmapAutoResetWrapper

    world, count = env.world, env.spec.num_agents

    def read(shown: Any) -> Any:
        """What a learner reads: arrays over agents. Their own views, then what all see."""
        obs = shown.observation
        own = jnp.reshape(obs.agents_view, (count, -1)).astype(jnp.float32)
        clock = jnp.broadcast_to(obs.step_count.astype(jnp.float32), (count, 1))
        reward = jnp.broadcast_to(jnp.asarray(shown.reward, jnp.float32), (count,))
        over = jnp.broadcast_to(shown.last(), (count,))
        told = {k: v for k, v in shown.extras.items() if k != "next_obs"}
        return jnp.concatenate([own, clock], 1), obs.action_mask, reward, over, shown.discount, told

    def side(batch: Any, reads: bool) -> Side:
        keep = jax.vmap(read) if reads else (lambda shown: shown)

        def reset(keys: Any) -> tuple[Any, Any]:
            state, shown = batch.reset(keys)
            return state, keep(shown)

        def advance(keys: Any, state: Any, action: Any) -> tuple[Any, Any]:
            state, shown = batch.step(state, action)
            return state, keep(shown)

        return Side(reset, advance)

    together, one_by_one = Vmapped(AutoResetWrapper(world)), VmapAutoResetWrapper(world)
    return {
        "suite": side(together, True),
        "suite_one_by_one": side(one_by_one, True),
        "suite_raw": side(together, False),
        "suite_raw_one_by_one": side(one_by_one, False),
        "suite_step": side(Vmapped(world), True),
    }


class Vmapped:
    """Many of a world of Jumanji's side by side."""

    def __init__(self, world: Any):
        self.reset, self.step = jax.vmap(world.reset), jax.vmap(world.step)


def row(world: str, num_envs: int, rounds: list[dict[str, float]]) -> dict[str, Any]:
    """A line of the table; an overhead is the median over rounds of the suite's rate by Shoal's,
    less 1."""

    def median(name: str) -> float:
        return statistics.median(found[name] for found in rounds)

    def best(name: str) -> str:
        return max((n for n in (name, f"{name}_one_by_one") if n in rounds[0]), key=median)

    def overhead(theirs: str, ours: str = "shoal") -> str:
        return f"{statistics.median(r[theirs] / r[ours] for r in rounds) - 1:+.3f}"

    suite, raw = best("suite"), best("suite_raw")
    machine = hardware()
    return {
        "world": world,
        "num_envs": num_envs,
        "shoal_steps_per_second": round(median("shoal")),
        "suite_steps_per_second": round(median(suite)),
        "overhead": overhead(suite),
        "highest_overhead": f"{max(r[suite] / r['shoal'] for r in rounds) - 1:+.3f}",
        "suite_raw_steps_per_second": round(median(raw)),
        "overhead_raw": overhead(raw),
        "shoal_step_steps_per_second": round(median("shoal_step")),
        "suite_step_steps_per_second": round(median("suite_step")),
        "overhead_step": overhead("suite_step", "shoal_step"),
        "rounds": len(rounds),
        "device": f"{machine['device']} x {machine['devices']}",
        "versions": json.dumps(
            versions() | {n: metadata.version(n) for n in ("jaxmarl", "jumanji")}
        ),
    }


if __name__ == "__main__":
    main()
