"""Speed beside JaxMARL, interleaved in one run on one machine; ratios are what counts.

    python benchmarks/speed.py --peer-python .venv-jaxmarl/bin/python --jaxmarl ../JaxMARL

`--peer-python` is an interpreter with `shoal[bench]`'s packages; `--jaxmarl` is a checkout of
JaxMARL's repository, whose training scripts are not in its package (none of its code is here).
Writes speed/environment.csv and speed/training.csv: medians of `--rounds` rounds. Two processes
compile everything first and then take turns, a few seconds each, so that a neighbour on the machine
slows both alike. A step is one step of one environment with all its agents, auto-reset and
observations included, compile time excluded.

With `--time-to-return` it writes speed/time_to_return.csv instead: how long Shoal's preset of MAPPO
takes to the return that JaxMARL's own settings of IPPO end with after 10 M steps, compile time
excluded on both sides. Both returns are of training, with sampled actions, per agent; JaxMARL's
episodes have 26 steps and are scaled to 25.
"""

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SIZES = (1, 16, 128, 1024, 4096)
REPEATS = 5
# ippo_ff_mpe's hyper-parameters, with 128 environments as in the comparison's definition
NUM_ENVS, NUM_STEPS, EPOCHS, MINIBATCHES, WIDTH = 128, 128, 4, 4, 64


def main() -> None:
    """Measures and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--jaxmarl", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=HERE / "speed")
    parser.add_argument("--time-to-return", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    if options.time_to_return:
        _write(options.out / "time_to_return.csv", [time_to_return(options)])
        return
    workers, once = {}, {}
    for name, python in (("shoal", sys.executable), ("jaxmarl", options.peer_python)):
        workers[name] = Worker(python, name, options.jaxmarl)
        once[name] = workers[name].read()  # one after the other, so that each compiles undisturbed
    rounds = []
    for i in range(options.rounds):
        rounds.append({name: worker.ask() for name, worker in workers.items()})
        print(i, rounds[-1], flush=True)
    _write(options.out / "environment.csv", _environment_rows(rounds))
    _write(options.out / "training.csv", [_training_row(once, rounds)])


class Worker:
    """A process that has compiled everything and measures when it is asked to."""

    def __init__(self, python: str, name: str, checkout: Path):
        command = [python, __file__, "--worker", name, str(checkout)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def read(self) -> dict:
        """The next result that it prints."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError("a worker has ended: its complaint is above")

    def ask(self) -> dict:
        """One round of measurements, while the other process waits."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()


def _environment_rows(rounds: list[dict]) -> list[dict]:
    rows = []
    for size in map(str, SIZES):
        ours = [r["shoal"]["environment"][size] for r in rounds]
        theirs = [r["jaxmarl"]["environment"][size] for r in rounds]
        rows.append({"num_envs": size, **_compare(ours, theirs), "rounds": len(rounds)})
    return rows


def _training_row(once: dict, rounds: list[dict]) -> dict:
    ours = [r["shoal"]["training"] for r in rounds]
    row = _compare(ours, [r["jaxmarl"]["training"] for r in rounds])
    bounds = [r["shoal"]["bound"] for r in rounds]
    row["bound_steps_per_second"] = round(statistics.median(bounds))
    row["share_of_bound"] = f"{statistics.median(a / b for a, b in zip(ours, bounds)):.2f}"
    for name, values in once.items():
        row[f"{name}_compile_seconds"] = f"{values['compile_seconds']:.1f}"
    row["shoal_peak_memory_gb"] = f"{once['shoal']['peak_memory_bytes'] / 1e9:.2f}"
    row["rounds"], row["versions"] = len(rounds), json.dumps(once["shoal"]["versions"])
    row["device"] = once["shoal"]["device"]
    return row


def _compare(ours: list[float], theirs: list[float]) -> dict[str, Any]:
    ratios = [a / b for a, b in zip(ours, theirs)]
    return {
        "shoal_steps_per_second": round(statistics.median(ours)),
        "jaxmarl_steps_per_second": round(statistics.median(theirs)),
        "ratio": f"{statistics.median(ratios):.2f}",
        "lowest_ratio": f"{min(ratios):.2f}",
    }


def _write(path: Path, rows: list[dict]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def time_to_return(options: argparse.Namespace) -> dict:
    """JaxMARL's last return, and the first report of a run of ours that is as good."""
    import shoal

    peer = Worker(options.peer_python, "jaxmarl-long", options.jaxmarl).read()

    run = shoal.train(
        "mappo", "mpe/simple_spread", total_steps=2_000_000, out=Path(tempfile.mkdtemp()) / "run"
    )
    reached = next(row for row in run.metrics if (row["return"] or -1e9) >= peer["return"])
    return {
        "jaxmarl_return": f"{peer['return']:.2f}",
        "jaxmarl_steps": peer["steps"],
        "jaxmarl_seconds": f"{peer['seconds']:.1f}",
        "shoal_return": f"{reached['return']:.2f}",
        "shoal_steps": reached["step"],
        "shoal_seconds": f"{reached['seconds']:.1f}",
        "share_of_time": f"{reached['seconds'] / peer['seconds']:.4f}",
    }


def theirs_long(checkout: str) -> Iterator[dict]:
    """JaxMARL's script with its own settings (16 environments), one seed, 10 M steps."""
    import jax

    script, config = (
        _script(checkout),
        _peer_config() | {"NUM_ENVS": 16, "TOTAL_TIMESTEPS": 10_000_000},
    )
    key = jax.random.PRNGKey(30)
    train = jax.jit(script.make_train(config)).lower(key).compile()
    start = time.perf_counter()
    out = jax.block_until_ready(train(key))
    seconds = time.perf_counter() - start
    summed_over_agents = float(out["metrics"]["returned_episode_returns"][-50:].mean())
    yield {"return": summed_over_agents / 3 * 25 / 26, "seconds": seconds, "steps": 10_000_000}


def _script(checkout: str):
    """JaxMARL's training script as a module."""
    import importlib.util

    import wandb

    path = Path(checkout) / "baselines" / "IPPO" / "ippo_ff_mpe.py"
    spec = importlib.util.spec_from_file_location("ippo_ff_mpe", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    wandb.init(mode="disabled")
    return script


def _peer_config() -> dict:
    """The settings in its ippo_ff_mpe.yaml, but for the number of environments."""
    return dict(
        LR=2.5e-4, NUM_ENVS=NUM_ENVS, NUM_STEPS=NUM_STEPS, UPDATE_EPOCHS=EPOCHS,
        NUM_MINIBATCHES=MINIBATCHES, GAMMA=0.99, GAE_LAMBDA=0.95, CLIP_EPS=0.2, ENT_COEF=0.01,
        VF_COEF=0.5, MAX_GRAD_NORM=0.5, ACTIVATION="tanh", ENV_NAME="MPE_simple_spread_v3",
        ENV_KWARGS={}, ANNEAL_LR=True,
    )  # fmt: skip


def ours(_: str) -> Iterator[dict]:
    """Everything measured of Shoal, in this process: first what is measured once, then a round
    each time that one is asked for."""
    import jax

    from shoal.training.devices import prepare

    prepare()
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are cold ones
    import shoal
    from shoal.training.machine import hardware, versions
    from shoal.training.speed import environment_work, training_work

    env = shoal.make("mpe/simple_spread")
    algorithm = shoal.make_algorithm(
        "ippo",
        learning_rate=2.5e-4,
        normalise_values=False,
        agent_id=False,  # JaxMARL's networks see observations alone
        hidden=(WIDTH, WIDTH),
        epochs=EPOCHS,
        minibatches=MINIBATCHES,
    )
    machine, spec = hardware(), env.spec
    start = time.perf_counter()
    training = training_work(algorithm, env, NUM_ENVS, NUM_STEPS)
    training.rate()
    compile_seconds = time.perf_counter() - start
    environments = {size: environment_work(env, size) for size in SIZES}
    for work in environments.values():
        work.rate()
    products = products_rate(spec.num_agents, spec.obs_size, spec.action.size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    yield {
        "compile_seconds": compile_seconds,
        "peak_memory_bytes": peak,
        "versions": versions(),
        "device": f"{machine['device']} x {machine['devices']}",
    }
    while True:
        bounds, rates = zip(*((products(), training.rate()) for _ in range(REPEATS)))
        yield {
            "training": statistics.median(rates),
            "bound": statistics.median(bounds),
            "environment": {
                size: statistics.median(work.rate() for _ in range(REPEATS))
                for size, work in environments.items()
            },
        }


def products_rate(num_agents: int, obs_size: int, num_actions: int) -> Callable[[], float]:
    """The bound: steps per second if nothing but the networks' matrix products had to be done, at
    the rate of a [12288, 64] x [64, 64] product on all devices of this machine at once."""
    import jax
    import jax.numpy as jnp

    x, w = jnp.ones((12288, WIDTH)), jnp.ones((WIDTH, WIDTH)) / WIDTH
    devices = jax.devices()
    product = jax.jit(lambda x, w: jax.lax.fori_loop(0, 50, lambda _, x: x @ w, x))
    parts = [(jax.device_put(x, d), jax.device_put(w, d)) for d in devices]
    jax.block_until_ready([product(*p) for p in parts])
    layers = 2 * (obs_size * WIDTH + WIDTH * WIDTH) + WIDTH * (num_actions + 1)
    flops_a_step = 2 * layers * num_agents * (1 + 3 * EPOCHS)

    def measure() -> float:
        start = time.perf_counter()
        jax.block_until_ready([product(*p) for p in parts])
        flops = 50 * 2 * x.shape[0] * WIDTH**2 * len(devices)
        return flops / (time.perf_counter() - start) / flops_a_step

    return measure


def theirs(checkout: str) -> Iterator[dict]:
    """The same of JaxMARL: its environment as its scripts step it, and its own training script."""
    import jax
    import jax.numpy as jnp
    import jaxmarl

    updates = 5
    config = _peer_config() | {"TOTAL_TIMESTEPS": updates * NUM_ENVS * NUM_STEPS}
    key = jax.random.PRNGKey(0)
    start = time.perf_counter()
    train = jax.jit(_script(checkout).make_train(config)).lower(key).compile()
    compile_seconds = time.perf_counter() - start
    env = jaxmarl.make("MPE_simple_spread_v3")

    def environment(num_envs: int) -> Callable[[], float]:
        length = max(50, 200_000 // num_envs)

        def step(loop, key):
            state, _, total, actions = loop
            keys = jax.random.split(key, num_envs)
            obs, state, reward, _, _ = jax.vmap(env.step)(keys, state, actions)
            total = {a: total[a] + reward[a] for a in env.agents}
            return (state, obs, total, jax.tree.map(lambda x: jnp.roll(x, 1), actions)), None

        @jax.jit
        def run(loop, key):
            return jax.lax.scan(step, loop, jax.random.split(key, length))[0]

        keys = jax.random.split(jax.random.PRNGKey(0), num_envs)
        obs, state = jax.jit(jax.vmap(env.reset))(keys)
        draw = [jax.random.randint(k, (num_envs,), 0, 5) for k in jax.random.split(keys[0], 3)]
        total = {a: jnp.zeros(num_envs) for a in env.agents}
        loop = (state, obs, total, dict(zip(env.agents, draw)))
        return lambda: _rate(lambda: run(loop, keys[0]), num_envs * length)

    environments = {size: environment(size) for size in SIZES}
    for rate in (*environments.values(), lambda: jax.block_until_ready(train(key))):
        rate()
    yield {"compile_seconds": compile_seconds}
    while True:
        yield {
            "training": _rate(lambda: train(key), updates * NUM_ENVS * NUM_STEPS),
            "environment": {
                size: statistics.median(rate() for _ in range(REPEATS))
                for size, rate in environments.items()
            },
        }


def _rate(run: Callable[[], Any], steps: int) -> float:
    import jax

    start = time.perf_counter()
    jax.block_until_ready(run())
    return steps / (time.perf_counter() - start)


WORKERS = {"shoal": ours, "jaxmarl": theirs, "jaxmarl-long": theirs_long}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        for result in WORKERS[sys.argv[2]](sys.argv[3]):
            print(json.dumps(result), flush=True)
            if not sys.stdin.readline():
                break
    else:
        main()
