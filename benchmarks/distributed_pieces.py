"""How long each piece of a distributed update takes, one after the other on an idle machine."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import shoal
from shoal.distributed.arrays import pack, size, unpack
from shoal.distributed.cluster import cluster
from shoal.distributed.collecting import pair
from shoal.distributed.crew import Crew, actor
from shoal.distributed.share import share_of
from shoal.distributed.tree import join
from shoal.distributed.worker import RolloutWorker
from shoal.registry import make_algorithm
from shoal.runs.config import Config
from shoal.runs.fields import fields_of, from_fields
from shoal.training import presets


class Pieces(NamedTuple):
    """Seconds a sample, which is what one worker collects at a time; and its bytes."""

    collect: float  # in a worker: acting and stepping
    compute: float  # the part of it in which a processor is busy; else the worker waits
    pack: float  # in a worker: as arrays of NumPy
    message: float  # through Ray, there and back, of a worker that has nothing to do
    unpack: float  # by whoever learns
    learn: float
    sample_bytes: int
    weights_bytes: int
    num_envs: int
    unroll: int


def measure(environment: str, num_envs: int, unroll: int, rounds: int, **world: Any) -> Pieces:
    """Medians over rounds, of IMPALA with its preset in so many environments."""
    env: Any = shoal.make(environment, **world)
    on_host = hasattr(env, "in_process")
    preset = presets.resolve("impala", env.spec.name, False, "auto", on_host)
    algorithm: Any = make_algorithm("impala", **from_fields(preset["algo"]))
    share = share_of(algorithm, env, num_envs, unroll)
    state = jax.jit(lambda key: algorithm.init(env.spec, key))(jax.random.key(0))
    acting, keys = algorithm.acting(state), (jax.random.key(1), jax.random.key(2))
    learn = jax.jit(lambda *x: algorithm.learn(x[0], join([x[1]], np.float32(0)), x[2]))

    loop, trajectory = None, None

    def collect() -> Any:
        nonlocal loop, trajectory
        trajectory, _, loop = share.collect(acting, loop, *keys)
        return trajectory

    found = {"collect": _median(collect, rounds)}
    found["compute"] = min(_median(collect, rounds, time.process_time), found["collect"])
    packed, weights = pack(trajectory), pack(acting)
    found["pack"] = _median(lambda: pack(trajectory), rounds)
    found["unpack"] = _median(lambda: unpack(share.trajectory, packed), rounds)
    found["learn"] = _median(lambda: learn(state, trajectory, keys[0]), rounds)
    config = Config(
        **{"algorithm": "impala", "algorithm_fields": fields_of(algorithm), "workers": 1},
        **{"environment": env.spec.name, "environment_fields": fields_of(env)},
        **{"total_steps": 1, "num_envs": num_envs, "unroll": unroll},
    )
    whole = _there_and_back(config, weights, 4 * size(packed), rounds)
    found["message"] = max(whole - found["collect"] - found["pack"], 0.0)
    sizes = {"sample_bytes": size(packed), "weights_bytes": size(weights)}
    return Pieces(**found, **sizes, num_envs=num_envs, unroll=unroll)


def _there_and_back(config: Config, weights: Any, store: int, rounds: int) -> float:
    """Seconds from asking a worker for a sample until it is here."""
    with cluster("", 1, store) as ray:
        words = (config.to_json(), ".", config.num_envs)
        crew = Crew(ray, lambda *_: actor(ray, RolloutWorker, words), 1, config.deadline)
        while not crew.present:
            crew.answers()
        reference, here = crew.put(weights), None

        def ask() -> None:
            nonlocal here
            here = crew.ask(0, "collect", reference, here, pair(jax.random.key(1)))
            while not crew.answers():
                pass

        seconds = _median(ask, rounds)
        crew.close()
    return seconds


def _median(
    work: Callable[[], Any], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds that it takes, after two times that do not count."""
    times = []
    for _ in range(rounds + 2):
        begin = clock()
        jax.block_until_ready(work())
        times.append(clock() - begin)
    return statistics.median(times[2:])
