"""Speed beside JaxMARL, interleaved in one run on one machine; ratios are what counts.

    python benchmarks/speed.py --peer-python .venv-jaxmarl/bin/python --jaxmarl ../JaxMARL

`--peer-python` is an interpreter with `shoal[bench]`'s packages; `--jaxmarl` is a checkout of
JaxMARL's repository, whose training scripts are not in its package (none of its code is here).
Writes speed/environment.csv and speed/training.csv: the median of `--rounds` rounds, each in a
process of its own, alternating. A step is one step of one environment with all its agents,
auto-reset and observations included, compile time excluded.

With `--time-to-return` it writes speed/time_to_return.csv instead: how long Shoal's preset of MAPPO
takes to the return that JaxMARL's own settings of IPPO end with after 10 M steps, compile time
excluded on both sides. Both returns are of training, with sampled actions, per agent; JaxMARL's
episodes have 26 steps and are scaled to 25.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
SIZES = (1, 16, 128, 1024, 4096)
# ippo_ff_mpe's hyper-parameters, with 128 environments as in the comparison's definition
NUM_ENVS, NUM_STEPS, EPOCHS, MINIBATCHES, WIDTH = 128, 128, 4, 4, 64


def main() -> None:
    """Measures and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--jaxmarl", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "speed")
    parser.add_argument("--time-to-return", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    if options.time_to_return:
        _write(options.out / "time_to_return.csv", [time_to_return(options)])
        return
    interpreters = {"shoal": sys.executable, "jaxmarl": options.peer_python}
    results: dict[str, list[dict]] = {"shoal": [], "jaxmarl": []}
    for i in range(options.rounds):
        for name, python in interpreters.items():
            command = [python, __file__, "--worker", name, str(options.jaxmarl)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[name].append(json.loads(out.splitlines()[-1]))
            print(i, name, out.splitlines()[-1], flush=True)
    _write(options.out / "environment.csv", _environment_rows(results))
    _write(options.out / "training.csv", _training_rows(results))


def _median(rounds: list[dict], *path: str) -> float:
    values = []
    for value in rounds:
        for key in path:
            value = value[key]
        values.append(value)
    return statistics.median(values)


def _environment_rows(results: dict[str, list[dict]]) -> list[dict]:
    rows = []
    for size in map(str, SIZES):
        ours, theirs = (_median(results[n], "environment", size) for n in ("shoal", "jaxmarl"))
        rounds = zip(results["shoal"], results["jaxmarl"])
        ratios = [a["environment"][size] / b["environment"][size] for a, b in rounds]
        rows.append(
            {
                "num_envs": size,
                "shoal_steps_per_second": round(ours),
                "jaxmarl_steps_per_second": round(theirs),
                "ratio": f"{statistics.median(ratios):.2f}",
                "lowest_ratio": f"{min(ratios):.2f}",
            }
        )
    return rows


def _training_rows(results: dict[str, list[dict]]) -> list[dict]:
    rounds = list(zip(results["shoal"], results["jaxmarl"]))
    ratios = [
        a["training"]["steps_per_second"] / b["training"]["steps_per_second"] for a, b in rounds
    ]
    shares = [a["training"]["steps_per_second"] / a["bound"] for a in results["shoal"]]
    row = {"ratio": f"{statistics.median(ratios):.2f}", "lowest_ratio": f"{min(ratios):.2f}"}
    row |= {"bound_steps_per_second": round(_median(results["shoal"], "bound"))}
    row |= {"share_of_bound": f"{statistics.median(shares):.2f}"}
    for name in results:
        for key in ("steps_per_second", "compile_seconds"):
            row[f"{name}_{key}"] = f"{_median(results[name], 'training', key):.1f}"
    row["rounds"], row["versions"] = len(rounds), json.dumps(results["shoal"][0]["versions"])
    row["device"] = results["shoal"][0]["device"]
    return [row]


def _write(path: Path, rows: list[dict]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def time_to_return(options: argparse.Namespace) -> dict:
    """JaxMARL's last return, and the first report of a run of ours that is as good."""
    command = [options.peer_python, __file__, "--worker", "jaxmarl-long", str(options.jaxmarl)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    peer = json.loads(out.splitlines()[-1])
    import tempfile

    import shoal

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


def theirs_long(checkout: str) -> dict:
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
    return {"return": summed_over_agents / 3 * 25 / 26, "seconds": seconds, "steps": 10_000_000}


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


def ours() -> dict:
    """Everything measured of Shoal, in this process."""
    from shoal.training.devices import prepare

    prepare()
    import shoal
    from shoal.training.run import hardware, versions
    from shoal.training.speed import environment_speed, training_speed

    env = shoal.make("mpe/simple_spread")
    algorithm = shoal.make_algorithm(
        "ippo",
        learning_rate=2.5e-4,
        normalise_values=False,
        hidden=(WIDTH, WIDTH),
        epochs=EPOCHS,
        minibatches=MINIBATCHES,
    )
    machine = hardware()
    return {
        "environment": {b: environment_speed(env, b, 1.5)["steps_per_second"] for b in SIZES},
        "training": training_speed(algorithm, env, NUM_ENVS, NUM_STEPS, 8.0),
        "bound": bound(env.spec.num_agents, env.spec.obs_size, env.spec.action.size),
        "versions": versions(),
        "device": f"{machine['device']} x {machine['devices']}",
    }


def bound(num_agents: int, obs_size: int, num_actions: int) -> float:
    """Steps per second if nothing but the networks' matrix products had to be done, at the rate of
    a [12288, 64] x [64, 64] product on this machine."""
    import jax
    import jax.numpy as jnp

    x, w = jnp.ones((12288, WIDTH)), jnp.ones((WIDTH, WIDTH)) / WIDTH
    devices = jax.devices()
    product = jax.jit(lambda x, w: jax.lax.fori_loop(0, 20, lambda _, x: x @ w, x))
    parts = [(jax.device_put(x, d), jax.device_put(w, d)) for d in devices]
    jax.block_until_ready([product(*p) for p in parts])
    rates = []
    for _ in range(10):
        start = time.perf_counter()
        jax.block_until_ready([product(*p) for p in parts])
        flops = 20 * 2 * x.shape[0] * WIDTH**2 * len(devices)
        rates.append(flops / (time.perf_counter() - start))
    layers = 2 * (obs_size * WIDTH + WIDTH * WIDTH) + WIDTH * (num_actions + 1)
    forward = 2 * layers * num_agents
    return max(rates) / (forward * (1 + 3 * EPOCHS))


def theirs(checkout: str) -> dict:
    """The same of JaxMARL: its environment as its scripts step it, and its own training script."""
    import jax
    import jax.numpy as jnp
    import jaxmarl

    env = jaxmarl.make("MPE_simple_spread_v3")
    speeds = {}
    for num_envs in SIZES:
        length = max(50, 200_000 // num_envs)

        def step(loop, key, num_envs=num_envs):
            state, _, total, actions = loop
            keys = jax.random.split(key, num_envs)
            obs, state, reward, _, _ = jax.vmap(env.step)(keys, state, actions)
            total = {a: total[a] + reward[a] for a in env.agents}
            return (state, obs, total, jax.tree.map(lambda x: jnp.roll(x, 1), actions)), None

        def run(loop, key, length=length, step=step):
            return jax.lax.scan(step, loop, jax.random.split(key, length))[0]

        keys = jax.random.split(jax.random.PRNGKey(0), num_envs)
        obs, state = jax.jit(jax.vmap(env.reset))(keys)
        draw = [jax.random.randint(k, (num_envs,), 0, 5) for k in jax.random.split(keys[0], 3)]
        total = {a: jnp.zeros(num_envs) for a in env.agents}
        loop = (state, obs, total, dict(zip(env.agents, draw)))
        speeds[num_envs] = _rate(jax.jit(run), loop, keys[0], num_envs * length, 1.5)
    updates = 20
    config = _peer_config() | {"TOTAL_TIMESTEPS": updates * NUM_ENVS * NUM_STEPS}
    key = jax.random.PRNGKey(0)
    start = time.perf_counter()
    train = jax.jit(_script(checkout).make_train(config)).lower(key).compile()
    compile_seconds = time.perf_counter() - start
    jax.block_until_ready(train(key))
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(train(key))
        rates.append(updates * NUM_ENVS * NUM_STEPS / (time.perf_counter() - start))
    training = {"steps_per_second": statistics.median(rates), "compile_seconds": compile_seconds}
    return {"environment": speeds, "training": training}


def _rate(run, loop, key, steps: int, seconds: float) -> float:
    import jax

    loop = jax.block_until_ready(run(loop, key))
    rates, begin = [], time.perf_counter()
    while len(rates) < 5 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        loop = jax.block_until_ready(run(loop, key))
        rates.append(steps / (time.perf_counter() - start))
    return statistics.median(rates)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        workers = {"shoal": lambda _: ours(), "jaxmarl": theirs, "jaxmarl-long": theirs_long}
        print(json.dumps(workers[sys.argv[2]](*sys.argv[3:])))
    else:
        main()
