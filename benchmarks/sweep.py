"""A sweep as one program beside the same trainings made one by one.

    python benchmarks/sweep.py [--steps 50000] [--ways program commands loop cores one_core]

16 learning rates x 4 seeds of IPPO in spread, made in these ways: `program`, one `shoal train` with
a comma list; `commands`, a fresh `shoal train` for each training, one after another; `loop`, one
process that calls `shoal.train` for each; `cores`, one such process a core, each pinned to its
core, which share the trainings out; `one_core`, the program on one core with one device. Members of
`one_core` should be to the bit what `cores` trained. For another number of cores or devices XLA
compiles otherwise, the last bits differ, and training makes more of the difference.

Seconds are wall-clock from start to end, with imports, compiling and the final evaluation; seconds
of processors, all threads together, are there for who doubts that the machine was idle. Every way
begins with an empty folder of compiled programs, and may reuse what it has compiled. The
policies are then evaluated on the same 1,000 episodes.

Writes sweep/wall_clock.csv, sweep/returns.csv and sweep/table.md.
"""

import argparse
import csv
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import shoal

HERE = Path(__file__).parent / "sweep"
ALGORITHM, WORLD = "ippo", "mpe/simple_spread"
RATES = [float(f"{rate:.2g}") for rate in np.geomspace(1e-4, 1e-2, 16)]
SEEDS = 4
TRAININGS = [(rate, seed) for rate in RATES for seed in range(SEEDS)]  # a program's own order
RUN: dict[str, Any] = {"evaluations": 1, "eval_episodes": 100}
EPISODES = 1000  # of the comparison
MEANING = {
    "program": "one `shoal train --algo.learning-rate 0.0001,... --seeds 4`",
    "commands": "64 `shoal train`, one after another",
    "loop": "64 `shoal.train` in one process",
    "cores": "the same in one process a core, each on its core",
    "one_core": "the program with `--deterministic`: one core",
}


def main() -> None:
    """Measures, compares and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--ways", nargs="+", default=list(MEANING), choices=MEANING)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(**options.worker)
        return
    options.ways = list(dict.fromkeys(["program", *options.ways]))  # all are compared with it
    with tempfile.TemporaryDirectory(prefix="shoal-sweep-") as folder:
        seconds = {}
        for way in options.ways:
            seconds[way] = measure(way, Path(folder) / way, options.steps)
            print(way, "{:.1f} s, {:.1f} s of processors".format(*seconds[way]), flush=True)
        policies = {way: list(read_policies(Path(folder) / way)) for way in options.ways}
    returns = {way: evaluate(found) for way, found in policies.items()}
    rows = [row(way, seconds, policies, returns, options.steps) for way in options.ways]
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "wall_clock.csv", rows)
    write(options.out / "returns.csv", training_rows(returns))
    (options.out / "table.md").write_text(markdown(rows, returns, options.steps))


# The four ways --------------------------------------------------------------------------------


def measure(way: str, out: Path, steps: int) -> tuple[float, float]:
    """Makes all trainings into folders under `out`; the seconds that this takes, and those of
    processors."""
    out.mkdir()
    environ = os.environ | {"XDG_CACHE_HOME": str(out / "cache")}
    start, used = time.monotonic(), processor_seconds()
    for together in commands(way, out, steps):
        children = [
            subprocess.Popen(c, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for c in together
        ]
        for child in children:
            said = child.communicate()[1]
            if child.returncode:
                raise SystemExit(f"{way}: {said.decode()[-2000:]}")
    return time.monotonic() - start, processor_seconds() - used


def processor_seconds() -> float:
    """What the processes that were started, and have ended, used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def commands(way: str, out: Path, steps: int) -> Iterable[list[list[str]]]:
    """What is started, one group after another; those of a group run at the same time."""
    if way in ("program", "one_core"):
        rates, alone = ",".join(map(str, RATES)), ["--deterministic"] * (way == "one_core")
        yield [[*train_command(out / "0", steps, rates, 0), "--seeds", str(SEEDS), *alone]]
    elif way == "commands":
        for i, (rate, seed) in enumerate(TRAININGS):
            yield [train_command(out / str(i), steps, str(rate), seed)]
    elif way == "loop":
        yield [worker(out, steps, None, 0, 1)]
    else:
        cores = sorted(os.sched_getaffinity(0))
        yield [worker(out, steps, core, i, len(cores)) for i, core in enumerate(cores)]


def train_command(out: Path, steps: int, rates: str, seed: int) -> list[str]:
    """One `shoal train`."""
    words = ["--steps", steps, "--seed", seed, "--algo.learning-rate", rates, "--out", out]
    words += [w for k, v in RUN.items() for w in (f"--{k.replace('_', '-')}", v)]
    words += ["--pictures", False]
    return [sys.executable, "-m", "shoal", "train", ALGORITHM, WORLD, *map(str, words)]


def worker(out: Path, steps: int, core: int | None, part: int, parts: int) -> list[str]:
    """This file, as a process that trains every `parts`-th setting itself."""
    task = {"out": str(out), "steps": steps, "core": core, "part": part, "parts": parts}
    return [sys.executable, str(Path(__file__).resolve()), "--worker", json.dumps(task)]


def work(out: str, steps: int, core: int | None, part: int, parts: int) -> None:
    """Trains its share; on one core and one device where it is told which."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    for i, (rate, seed) in list(enumerate(TRAININGS))[part::parts]:
        shoal.train(
            ALGORITHM,
            WORLD,
            total_steps=steps,
            seed=seed,
            learning_rate=rate,
            out=Path(out) / str(i),
            deterministic=core is not None,
            **RUN,
        )


# What they learned ----------------------------------------------------------------------------


def read_policies(out: Path) -> Iterable[Any]:
    """The final policies, in the order of `TRAININGS`. All runs of a folder have one shape."""
    from shoal.runs import checkpoint
    from shoal.runs.run_directory import RunDirectory
    from shoal.training.rebuild import read_config, rebuild
    from shoal.training.trainer import Trainer

    runs = sorted((d for d in out.iterdir() if d.name.isdigit()), key=lambda d: int(d.name))
    run = RunDirectory.open(runs[0])
    config = read_config(run)
    trainer = Trainer(config, *rebuild(config), run)
    template = trainer.program.template(trainer.keys)
    for directory in runs:
        run = RunDirectory.open(directory)
        found = checkpoint.load(run.checkpoints, template, config_hash=read_config(run).hash)
        yield from trainer.policies(trainer.program.place(found.state))


def evaluate(policies: list[Any]) -> np.ndarray:
    """The mean return of each policy on the same episodes."""
    import equinox as eqx
    import jax

    from shoal.training.evaluation import evaluate_policy

    play, env = eqx.filter_jit(evaluate_policy), shoal.make(WORLD)
    key = jax.random.key(0)
    scores = [play(policy, env, key, EPISODES, True).mean.mean() for policy in policies]
    return np.array(jax.device_get(scores), float)


def equal_bits(one: Any, other: Any) -> bool:
    """Whether two policies have the same parameters to the last bit."""
    import jax

    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


# Tables ---------------------------------------------------------------------------------------


def row(way: str, seconds: dict, policies: dict, returns: dict, steps: int) -> dict[str, Any]:
    """One way beside the program."""
    from shoal.training.machine import hardware, versions

    apart = returns[way] - returns["program"]
    same = {
        f"equal_bits_to_{other}": sum(map(equal_bits, policies[way], policies[other]))
        for other in ("program", "one_core")
        if other in policies
    }
    return {
        "way": way,
        "trainings": len(TRAININGS),
        "steps_each": steps,
        "seconds": f"{seconds[way][0]:.1f}",
        "ratio": f"{seconds[way][0] / seconds['program'][0]:.2f}",
        "processor_seconds": f"{seconds[way][1]:.1f}",
        **same,
        "largest_difference_of_returns": f"{np.abs(apart).max():.6f}",
        "mean_difference_of_returns": f"{apart.mean():.6f}",
        "standard_error": f"{apart.std(ddof=1) / len(apart) ** 0.5:.6f}",
        "device": f"{hardware()['device']}, {len(os.sched_getaffinity(0))} cores",
        "versions": json.dumps(versions()),
        "command": shlex.join(["python", "benchmarks/sweep.py", *sys.argv[1:]]),
    }


def training_rows(returns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The return of every training, each way."""
    return [
        {"learning_rate": rate, "seed": seed, **{w: f"{x[i]:.6f}" for w, x in returns.items()}}
        for i, (rate, seed) in enumerate(TRAININGS)
    ]


def markdown(rows: list[dict[str, Any]], returns: dict[str, np.ndarray], steps: int) -> str:
    """The tables for a reader."""
    known = ", ".join(f"{k} {v}" for k, v in json.loads(rows[0]["versions"]).items())
    intro = (
        f"{len(RATES)} learning rates x {SEEDS} seeds of {ALGORITHM.upper()} in spread, {steps:,} "
        f"steps each, on {rows[0]['device']}. Differences from the program are of greedy returns, "
        f"over the same {EPISODES:,} episodes; the mean of all trainings with its standard error."
    )
    parts = [intro, "\n".join(ways_table(rows)), "\n".join(rates_table(returns))]
    for r in rows:
        if r["way"] == "cores" and "equal_bits_to_one_core" in r:
            equal = f"{r['equal_bits_to_one_core']} of {r['trainings']}"
            parts.insert(
                2, f"Policies of `cores` that are to the bit those of `one_core`: {equal}."
            )
    return "\n\n".join([*parts, f"`{rows[0]['command']}` · {known}"]) + "\n"


def ways_table(rows: list[dict[str, Any]]) -> Iterable[str]:
    """A line a way."""
    yield "| | | seconds | ratio | of processors | largest difference | mean difference |"
    yield "|---|---|---|---|---|---|---|"
    for r in rows:
        mean, error = float(r["mean_difference_of_returns"]), float(r["standard_error"])
        cells = [f"`{r['way']}`", MEANING[r["way"]], r["seconds"], f"{r['ratio']}x"]
        cells += [r["processor_seconds"]]
        cells += [f"{float(r['largest_difference_of_returns']):.3f}", f"{mean:.3f} ± {error:.3f}"]
        yield "| " + " | ".join(cells) + " |"


def rates_table(returns: dict[str, np.ndarray]) -> Iterable[str]:
    """The mean return over seeds, a line a learning rate."""
    yield "| learning rate | " + " | ".join(returns) + " |"
    yield "|---" * (len(returns) + 1) + "|"
    for i, rate in enumerate(RATES):
        means = [x[i * SEEDS : (i + 1) * SEEDS].mean() for x in returns.values()]
        yield f"| {rate:g} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """The rows as CSV."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
