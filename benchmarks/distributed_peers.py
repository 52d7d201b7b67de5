"""Distributed training and evolution beside peers, in turns: Shoal first, a row a training.

`rllib` is IMPALA in CartPole-v1 with 4 workers of 16 environments: Shoal's preset but for their
number, and RLlib with the settings of its own example (ray-project/ray,
rllib/examples/algorithms/impala/cartpole_impala.py; one learner). Both on all cores that this
process may use. RLlib ends at 2,000,000 steps, at the example's training return of 450, or 900 s
after its first report; Shoal makes all of its steps. What is before a library's first report is its
start: it makes processes and compiles. `steps` and `seconds` are those between the first report and
the last, checkpoints included, `steps_per_second` one over the other. `target_steps` are those
after which the mean return of the last 100 training episodes was 450, `target_seconds` those from
the first report to there; RLlib's are reported every second, Shoal's 200 times. `return` is that of
the final parameters, of their likeliest actions, over 100 episodes. Both keep Ray to this machine
alone, its workers as nice as the command.

`evosax` is OpenAI-ES in Gymnax's CartPole-v1, in one process on one core: 128 members, one hidden
layer of 64, a generation of 500 steps each, with the hyper-parameters of Shoal's preset on both
sides. evosax runs all generations as one compiled loop, over its own Gymnax problem, in which
members begin alike and play one episode; Shoal's go on into the next. `start_seconds` are those of
making and compiling with nothing cached, imports apart; `seconds` those of the compiled programs,
without Shoal's reports and checkpoints. `return` is the greedy one of the final mean, as above.

Each training has a process of its own, the peer's under an interpreter without Shoal.
"""

import argparse
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, Any]
K = 1000
EPISODES = 100
WORKERS, ENVS, TARGET, LIMIT = 4, 16, 450.0, 900.0  # of RLlib's example, and seconds
POPULATION, HIDDEN, LENGTH = 128, 64, 500
RATE, DECAY, SIGMA, EPSILON = 0.02, 0.005, 0.1, 1e-5  # Shoal's
PACKAGES = (
    *("shoal", "ray", "torch", "gymnasium", "evosax", "gymnax", "jax", "jaxlib", "equinox"),
    *("flax", "optax", "numpy"),
)
MACHINE = ("device", "cores", "versions")


class Comparison(NamedTuple):
    """Who is compared, over how many steps, and what a row says of it besides its key."""

    here: Callable[[int, int], Row]
    there: Callable[[int, int], Row]
    module: str  # that the peer's interpreter must have
    install: str
    steps: int
    found: tuple[str, ...]


def rllib(options: argparse.Namespace) -> None:
    """IMPALA with workers."""
    _compare("rllib", options)


def evosax(options: argparse.Namespace) -> None:
    """Evolution in one compiled program."""
    _compare("evosax", options)


def _compare(peer: str, options: argparse.Namespace) -> None:
    """Trains what the table lacks, seed by seed, in turns."""
    import rows
    from distributed_runs import has, machine

    comparison, table = COMPARISONS[peer], options.folder / f"{peer}.csv"
    names, asked = ("library", "asked", "seed"), options.steps or comparison.steps
    columns, checked = (*names, *comparison.found, *MACHINE), False
    for seed in range(options.seeds or 2):
        for library in ("shoal", peer):
            key = library, str(asked), str(seed)
            if has(table, names, key):
                continue
            if not checked:
                _check(peer, options.peer_python)
                checked = True
            python = sys.executable if library == "shoal" else options.peer_python
            row = machine() | dict(zip(names, key)) | _apart(python, peer, *key)
            rows.append(table, columns, row)
            print(peer, *(row[name] for name in columns[:-2]), flush=True)


def _check(peer: str, python: str | None) -> None:
    """Ends with a line where the interpreter has not what it needs."""
    _, _, module, install, *_ = COMPARISONS[peer]
    if python is None:
        raise SystemExit(f"{peer} needs --peer-python, an interpreter that has {install}")
    try:
        said = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True)
    except OSError as error:
        raise SystemExit(f"--peer-python {python} does not start: {error.strerror}") from None
    if said.returncode:
        why = said.stderr.strip().rpartition("\n")[2]
        raise SystemExit(f"--peer-python {python} lacks {install}: {why}")


def _apart(python: str, peer: str, library: str, asked: str, seed: str) -> Row:
    """One training in a process of its own, which finds no compiled program and leaves no file."""
    from shoal.distributed.cluster import LOOPBACK, QUIET

    with tempfile.TemporaryDirectory(prefix="b-") as folder:  # Ray's sockets need short names
        token = Path(folder) / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        environment = os.environ | {"XDG_CACHE_HOME": folder, "JAX_PLATFORMS": "cpu"}
        if library == "rllib":  # Shoal sees to its own
            environment |= QUIET | LOOPBACK | {"GLOO_SOCKET_IFNAME": "lo", "HOME": folder}
            environment["RAY_AUTH_TOKEN_PATH"] = str(token)
            environment.pop("PYTHONPATH", None)
        said = subprocess.run(
            [os.path.abspath(python), __file__, peer, library, asked, seed],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,
        )
    if said.returncode:
        raise SystemExit(f"{library} has ended: its complaint is above")
    return json.loads(said.stdout.splitlines()[-1])


# A training, in its own process -----------------------------------------------------------------


class Mark(NamedTuple):
    """What a report told, and when."""

    step: int
    seconds: float
    recent: float  # mean return of the last episodes


def impala_here(steps: int, seed: int) -> Row:
    """IMPALA with Shoal, its preset but for the number of environments."""
    import shoal

    marks, told, begin = [], [], time.perf_counter()

    def mark(rows: list[Row]) -> None:
        told.append(rows[0])
        marks.append(Mark(rows[0]["step"], time.perf_counter() - begin, _recent(told)))

    with tempfile.TemporaryDirectory() as folder:
        run = shoal.train(
            "impala",
            "gymnasium:CartPole-v1",
            total_steps=steps,
            seed=seed,
            workers=WORKERS,
            num_envs=WORKERS * ENVS,
            evaluations=1,
            eval_episodes=EPISODES,
            out=Path(folder) / "run",
            watchers=[mark],
        )
        report = run.evaluation
    assert report is not None
    return _pace(marks[:-1]) | {"return": report["return"]["mean"]}  # the last is told too late


def impala_there(steps: int, seed: int) -> Row:
    """IMPALA with RLlib, the settings of its example."""
    import ray
    import ray.train.torch.config as of_torch
    from ray.rllib.algorithms.impala import IMPALAConfig
    from ray.rllib.connectors.env_to_module.mean_std_filter import MeanStdFilter
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

    begin = time.perf_counter()
    ray.init(
        num_cpus=WORKERS + 3,  # the learner, who evaluates, and this process
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=os.path.abspath("ray"),
    )
    of_torch._setup_torch_process_group = _meet_in_a_file
    config = (
        IMPALAConfig()
        .environment("CartPole-v1")
        .env_runners(
            num_env_runners=WORKERS,
            num_envs_per_env_runner=ENVS,
            env_to_module_connector=lambda env, spaces, device: MeanStdFilter(),
        )
        .learners(num_learners=1)
        .training(
            train_batch_size_per_learner=500,
            grad_clip=40.0,
            grad_clip_by="global_norm",
            lr=0.0005,
            vf_loss_coeff=0.05,
            entropy_coeff=0.0,
        )
        .rl_module(model_config=DefaultModelConfig(vf_share_layers=True))
        .reporting(min_time_s_per_iteration=1, metrics_num_episodes_for_smoothing=100)
        .evaluation(
            evaluation_interval=1_000_000_000,  # when it is asked for
            evaluation_num_env_runners=1,  # one here would not be told the filter's means
            evaluation_duration=EPISODES,
            evaluation_duration_unit="episodes",
            evaluation_sample_timeout_s=LIMIT,
            # One after the other: of several at once the short ones end first.
            evaluation_config={"explore": False, "num_envs_per_env_runner": 1},
        )
        .debugging(seed=seed)
    )
    algorithm, marks = config.build_algo(), []
    while not marks or not _over(marks, steps):
        told = algorithm.train()["env_runners"]
        step = int(told.get("num_env_steps_sampled_lifetime", 0))
        if step:  # there was something to report
            recent = float(told.get("episode_return_mean", 0.0))
            marks.append(Mark(step, time.perf_counter() - begin, recent))
    score = algorithm.evaluate()["env_runners"]["episode_return_mean"]
    algorithm.stop()
    ray.shutdown()
    return _pace(marks) | {"return": float(score)}


def _meet_in_a_file(backend: str, world_rank: int, world_size: int, **_: Any) -> None:
    """How PyTorch's processes find each other: its own way listens to all machines."""
    import torch.distributed

    place = f"file://{os.environ['HOME']}/meeting"
    torch.distributed.init_process_group(backend, place, rank=world_rank, world_size=world_size)


def _over(marks: list[Mark], steps: int) -> bool:
    """Whether RLlib has made its steps, reached its target or used its time."""
    first, last = marks[0], marks[-1]
    late = last.seconds - first.seconds >= LIMIT
    return last.step >= steps or last.recent >= TARGET or late


def _recent(told: list[Row]) -> float:
    """The mean return of the last episodes, at least `EPISODES` where there were so many."""
    count, total = 0, 0.0
    for row in reversed(told):
        if row["episodes"]:
            count, total = count + row["episodes"], total + row["episodes"] * row["return"]
        if count >= EPISODES:
            break
    return total / max(count, 1)


def _pace(marks: list[Mark]) -> Row:
    """What a row says of a training's reports."""
    if len(marks) < 2:
        raise SystemExit("so few steps make no two reports: ask for more with --steps")
    first, last = marks[0], marks[-1]
    steps, seconds = last.step - first.step, last.seconds - first.seconds
    there = next((mark for mark in marks if mark.recent >= TARGET), None)
    return {
        "start_seconds": f"{first.seconds:.1f}",
        "steps": steps,
        "seconds": f"{seconds:.1f}",
        "steps_per_second": f"{steps / seconds:.0f}",
        "target_steps": there.step if there else "",
        "target_seconds": f"{there.seconds - first.seconds:.1f}" if there else "",
    }


def es_here(steps: int, seed: int) -> Row:
    """OpenAI-ES with Shoal, its preset."""
    _take_one_core()
    import jax

    import shoal

    waits, begin = [], time.perf_counter()

    def mark(rows: list[Row]) -> None:
        waits.append(time.perf_counter() - begin - rows[0]["seconds"])

    with tempfile.TemporaryDirectory() as folder:
        run = shoal.train(
            "openai_es",
            "gymnax:CartPole-v1",
            total_steps=_generations(steps) * POPULATION * LENGTH,
            seed=seed,
            evaluations=1,
            eval_episodes=EPISODES,
            out=Path(folder) / "run",
            watchers=[mark],
        )
        last, report, config = run.metrics[-1], run.evaluation, run.config
    assert report is not None
    population, length = config.algorithm_fields["population"], config.unroll
    assert (population, length) == (POPULATION, LENGTH)
    count = sum(x.size for x in jax.tree.leaves(run.policy) if hasattr(x, "size"))
    generations = last["step"] // (population * length)
    return _generated(generations, count, waits[0], last["seconds"], report["return"]["mean"])


def es_there(steps: int, seed: int) -> Row:
    """OpenAI-ES with evosax, the same hyper-parameters."""
    _take_one_core()
    import jax
    import optax
    from evosax.algorithms import Open_ES
    from evosax.problems.networks import MLP
    from evosax.problems.rl.gymnax import GymnaxProblem

    begin, generations = time.perf_counter(), _generations(steps)
    policy = MLP((HIDDEN, 2), output_fn=lambda logits, key: logits.argmax(-1))
    settings = {"episode_length": LENGTH, "use_normalize_obs": False}
    problem = GymnaxProblem("CartPole-v1", policy, **settings)
    key_network, key_start, key_world, key_score, key = jax.random.split(jax.random.key(seed), 5)
    network = problem.sample(key_network)
    descent = optax.chain(optax.add_decayed_weights(DECAY), optax.adam(RATE, eps=EPSILON))
    width = optax.constant_schedule(SIGMA)
    algorithm = Open_ES(POPULATION, network, optimizer=descent, std_schedule=width)
    parameters = algorithm.default_params

    def generation(carry: Any, key: Any) -> Any:
        search, world = carry
        key_ask, key_play, key_tell = jax.random.split(key, 3)
        members, search = algorithm.ask(key_ask, search, parameters)
        returns, world, _ = problem.eval(key_play, members, world)
        search, _ = algorithm.tell(key_tell, members, -returns, search, parameters)
        return (search, world), returns.mean()

    start = algorithm.init(key_start, network, parameters), problem.init(key_world)
    keys = jax.random.split(key, generations)
    run = jax.jit(lambda start, keys: jax.lax.scan(generation, start, keys))
    run = run.lower(start, keys).compile()
    started = time.perf_counter()
    (search, world), _ = jax.block_until_ready(run(start, keys))
    ended = time.perf_counter()
    mean = jax.tree.map(lambda x: x[None], algorithm.get_mean(search))
    judge = GymnaxProblem("CartPole-v1", policy, num_rollouts=EPISODES, **settings)
    score = float(judge.eval(key_score, mean, world)[0][0])
    count = sum(x.size for x in jax.tree.leaves(network))
    return _generated(generations, count, started - begin, ended - started, score)


def _take_one_core() -> None:
    """Before JAX is imported, which makes a thread a core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _generations(steps: int) -> int:
    """That make so many steps."""
    return max(2, -(-steps // (POPULATION * LENGTH)))


def _generated(generations: int, count: int, start: float, seconds: float, score: float) -> Row:
    return {
        "generations": generations,
        "population": POPULATION,
        "parameters": count,
        "steps_per_generation": POPULATION * LENGTH,
        "start_seconds": f"{start:.1f}",
        "seconds": f"{seconds:.2f}",
        "generations_per_second": f"{generations / seconds:.2f}",
        "return": score,
    }


def _versions() -> dict[str, str]:
    """Of the packages that this interpreter has."""
    there = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
    return {"python": platform.python_version()} | {n: there[n] for n in PACKAGES if n in there}


COMPARISONS = {
    "rllib": Comparison(
        *(impala_here, impala_there, "ray.rllib.algorithms.impala"),
        *("ray[rllib]==2.60.0 and torch", 2000 * K),
        (
            *("start_seconds", "steps", "seconds", "steps_per_second"),
            *("target_steps", "target_seconds", "return"),
        ),
    ),
    "evosax": Comparison(
        *(es_here, es_there, "evosax.problems.rl.gymnax, gymnax"),
        *("evosax==0.3.2, gymnax and six", 300 * POPULATION * LENGTH),
        (
            *("generations", "population", "parameters", "steps_per_generation"),
            *("start_seconds", "seconds", "generations_per_second", "return"),
        ),
    ),
}

if __name__ == "__main__":
    peer, library, asked, seed = sys.argv[1:]
    comparison = COMPARISONS[peer]
    found = (comparison.here if library == "shoal" else comparison.there)(int(asked), int(seed))
    found |= {"return": f"{found['return']:.3f}", "cores": len(os.sched_getaffinity(0))}
    print(json.dumps(found | {"versions": json.dumps(_versions())}))
