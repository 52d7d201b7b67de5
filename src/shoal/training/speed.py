"""Steps per second, compile time and memory of a program, measured on this machine."""

import contextlib
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shoal import registry
from shoal.core.env import Env
from shoal.core.errors import require
from shoal.envs.host.world import HostWorld, World
from shoal.training.devices import lay_out
from shoal.training.evaluation import random_action
from shoal.training.learners import Hyperparameters, make_learner
from shoal.training.on_device import auto_reset
from shoal.training.on_host import HostProgram
from shoal.training.program import Program, stack

REPEATS = 5
CALL = 600_000  # steps of agents in one call of a program
UNROLL = 128  # steps between two draws of random numbers, as in training
HOST_UNROLL = 16  # likewise where processes step the environments, some of them slow


@dataclass
class Work:
    """A program that makes `steps` environment steps a call."""

    run: Callable[[Any], Any]
    state: Any
    steps: int
    close: Callable[[], None] = lambda: None

    def rate(self) -> float:
        """Steps per second of one more call. The first call compiles."""
        start = time.perf_counter()
        self.state = jax.block_until_ready(self.run(self.state))
        return self.steps / (time.perf_counter() - start)


def environment_speed(env: World, num_envs: int, seconds: float = 3.0) -> dict[str, Any]:
    """Random actions, observations and auto-reset: in one compiled scan, on one device, or in
    worker processes."""
    on_host = isinstance(env, HostWorld)
    return _measure(
        _host_work(env, num_envs) if on_host else environment_work(env, num_envs), seconds
    )


def training_speed(
    algorithm: Hyperparameters,
    env: World,
    num_envs: int,
    unroll: int,
    seconds: float = 5.0,
    target: str = registry.ON_DEVICE,
    devices: int = 0,
) -> dict[str, Any]:
    """Whole updates of the learner `target`, on so many devices, or on as many as serve."""
    work = training_work(algorithm, env, num_envs, unroll, target, devices)
    return _measure(work, seconds)


def environment_work(env: Env, num_envs: int) -> Work:
    """What `environment_speed` times."""
    require(num_envs >= 1, f"num_envs is {num_envs}, expected at least 1")
    space, num_agents = env.spec.action, env.spec.num_agents
    rollouts = max(1, CALL // (num_envs * num_agents * UNROLL))

    def act(key: jax.Array) -> jax.Array:
        """Drawing in each step would cost more than the physics: one draw, rolled on."""
        return random_action(space, (num_envs, num_agents), None, key)

    @jax.jit
    def start(key: jax.Array) -> Any:
        keys = jax.random.split(key, num_envs)
        state, timestep = jax.vmap(env.reset)(keys)
        return state, timestep, jnp.zeros((num_envs, num_agents)), act(key)

    def step(loop: Any, keys: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        state, _, total, action = loop
        key_step, key_reset = keys
        state, successor = jax.vmap(env.step)(jax.random.split(key_step, num_envs), state, action)
        state, timestep = auto_reset(env, key_reset, state, successor)
        return (state, timestep, total + successor.reward, jnp.roll(action, 1, 0)), None

    @jax.jit
    def run(loop: Any, key: jax.Array) -> Any:
        def rollout(loop: Any, key: jax.Array) -> tuple[Any, None]:
            keys = tuple(jax.random.split(key, (2, UNROLL)))
            return jax.lax.scan(step, loop, keys)[0], None

        return jax.lax.scan(rollout, loop, jax.random.split(key, rollouts))[0]

    key = jax.random.key(0)
    loop = jax.block_until_ready(start(key))
    return Work(lambda loop: run(loop, key), loop, num_envs * UNROLL * rollouts)


def _host_work(world: HostWorld, num_envs: int) -> Work:
    require(num_envs >= 1, f"num_envs is {num_envs}, expected at least 1")
    space, shape = world.spec.action, (num_envs, world.spec.num_agents)
    draw = jax.jit(lambda mask, key: random_action(space, shape, mask, key))
    keys = jax.random.split(jax.random.key(0), HOST_UNROLL)
    vector = world.vector(num_envs)
    drawn = [np.asarray(draw(None, key)) for key in keys]

    def run(shown: Any) -> Any:
        for key, action in zip(keys, drawn):
            if shown.action_mask is not None:
                action = np.asarray(draw(shown.action_mask, key))
            _, shown = vector.step(action)
        return shown

    return Work(run, vector.reset(np.arange(num_envs)), num_envs * HOST_UNROLL, vector.close)


def training_work(
    algorithm: Hyperparameters,
    env: World,
    num_envs: int,
    unroll: int,
    target: str = registry.ON_DEVICE,
    devices: int = 0,
) -> Work:
    """What `training_speed` times."""
    algorithm.check(env.spec)
    much = 1_000_000 * num_envs * unroll  # schedules hardly move
    learner: Any = make_learner(algorithm, env, num_envs, unroll, much, target)
    if isinstance(env, HostWorld):
        require(devices <= 1, f"{env.spec.name} is stepped on one device: leave out devices")
        program, updates, close = HostProgram([learner]), 1, learner.close
    else:
        layout = lay_out(algorithm, num_envs, 1, jax.local_device_count(), devices)
        program = Program(stack([learner]), *layout)
        updates, close = max(1, 30_000 // (num_envs * unroll)), lambda: None
    state = jax.block_until_ready(program.init(jax.random.split(jax.random.key(0), 1)))
    steps = learner.steps_per_update * updates
    return Work(lambda state: program.run(state, updates)[0], state, steps, close)


def _measure(work: Work, seconds: float) -> dict[str, Any]:
    """The median rate of repeated calls; the first call is compile time."""
    with contextlib.closing(work):
        begin = time.perf_counter()
        work.rate()
        compile_seconds = time.perf_counter() - begin
        rates = []
        begin = time.perf_counter()
        while len(rates) < REPEATS or time.perf_counter() - begin < seconds:
            rates.append(work.rate())
    device = jax.devices()[0]
    memory = device.memory_stats() if device.platform != "cpu" else None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "steps_per_second": sorted(rates)[len(rates) // 2],
        "compile_seconds": compile_seconds,
        "peak_memory_bytes": memory["peak_bytes_in_use"] if memory else peak,
        "device": device.device_kind if device.platform != "cpu" else "cpu",
    }
