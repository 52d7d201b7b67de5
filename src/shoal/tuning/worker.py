"""Runs the trials of a study, one after another, until enough have begun.

    python -m shoal.tuning.worker DIR TRIALS SECONDS CORES

is one of several workers of a study: it ends when its standard input does, which is when the
process that started it has gone.
"""

import gc
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from shoal import registry
from shoal.core import child
from shoal.core.errors import UserError, in_a_line
from shoal.core.terminal import say
from shoal.runs.durable import Json
from shoal.runs.fields import from_fields
from shoal.training.train import start
from shoal.training.trainer import Diverged, Interrupted
from shoal.tuning.plan import Plan, read_plan
from shoal.tuning.study import Study, Trial, TrialState, next_trial, open_study, release

TRIALS = "trials"


class _Pruned(Exception):
    """Ends a training that is worse than the median of those before it."""


def trial_directory(directory: Path, number: int) -> Path:
    """Where a trial's run is."""
    return directory / TRIALS / f"{number:04d}"


def work(
    directory: Path,
    plan: Plan,
    study: Study,
    env: Any,
    trials: int,
    seconds: float = math.inf,
) -> None:
    """Runs trials until `trials` have begun in all, or none may begin because `seconds` are over.

    Raises:
        Interrupted: on SIGINT or SIGTERM. The trial at hand is queued again.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        trial = next_trial(study, plan, directory, trials)
        if trial is None:
            return
        began = time.monotonic()
        try:
            _run(directory, plan, study, trial, env)
        except BaseException:
            release(study, study.get_trials(deepcopy=False)[trial.number])
            shutil.rmtree(trial_directory(directory, trial.number), ignore_errors=True)
            raise
        _tidy(directory, study)
        gc.collect()  # compiled programs go with their trainer, which is part of a cycle
        say(line(plan, study, trial.number, time.monotonic() - began))


def _run(directory: Path, plan: Plan, study: Study, trial: Trial, env: Any) -> None:
    """One training, and what came of it told to the study."""
    values = plan.values(trial.params)
    trial.set_user_attr("values", values)
    try:
        score = _train(trial_directory(directory, trial.number), plan, trial, values, env)
    except _Pruned:
        study.tell(trial, state=TrialState.PRUNED)
        return
    except (Diverged, UserError, jax.errors.JaxRuntimeError) as error:
        return _fail(study, trial, in_a_line(error, named=False, whole=True))
    if not math.isfinite(score):
        return _fail(study, trial, f"the final {plan.metric} is {score}")
    study.tell(trial, score)


def _fail(study: Study, trial: Trial, reason: str) -> None:
    trial.set_user_attr("reason", reason)
    study.tell(trial, state=TrialState.FAIL)


def _train(out: Path, plan: Plan, trial: Trial, values: Json, env: Any) -> float:
    fields = from_fields(plan.algorithm_fields | values)
    algorithm = registry.make_algorithm(plan.algorithm, **fields)

    def watch(rows: list[Json]) -> None:
        name = f"eval_{plan.metric}"
        if name not in rows[0]:
            return
        step = rows[0]["step"]
        trial.report(float(np.mean([row[name] for row in rows])), step)
        if step < plan.last_step and trial.should_prune():
            raise _Pruned

    run = start(
        plan.algorithm,
        algorithm,
        env,
        out,
        quiet=True,
        watchers=[watch],
        seed=plan.seed,
        seeds=plan.seeds,
        deterministic=plan.deterministic,
        preset=plan.preset,
        **plan.run,
    )
    found = run.evaluation or {}
    scores = {"return": found["return"]} | found["metrics"]
    mean = scores[plan.metric]["mean"]
    return math.nan if mean is None else float(mean)


def _tidy(directory: Path, study: Study) -> None:
    """Removes the checkpoints of all finished trials but the best: they are most of a run."""
    best = _best(study)
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished() and (best is None or trial.number != best.number):
            shutil.rmtree(trial_directory(directory, trial.number) / "checkpoints", True)


def _best(study: Study) -> Any:
    """The best finished trial; `None` before there is one."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return study.best_trial if done else None


# What is shown --------------------------------------------------------------------------------


def line(plan: Plan, study: Study, number: int, seconds: float) -> str:
    """A trial in one line: number, value, the best so far, its parameters."""
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state == TrialState.COMPLETE:
        outcome = f"{plan.metric} {trial.value:.3f}"
    elif trial.state == TrialState.PRUNED and trial.last_step is not None:
        value = trial.intermediate_values[trial.last_step]
        outcome = f"pruned at {trial.last_step:,} steps, {plan.metric} {value:.3f}"
    else:
        outcome = f"failed: {trial.user_attrs.get('reason', 'it was stopped')}"
    best = _best(study)
    so_far = f" · best {best.value:.3f} (trial {best.number})" if best else ""
    values = " ".join(f"{k} {_short(v)}" for k, v in trial.user_attrs["values"].items())
    return f"trial {number} · {outcome}{so_far} · {seconds:.0f} s · {values}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# One of several -------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """A worker process; its cores are settled before JAX starts."""
    directory, trials, seconds, cores = arguments
    child.settle(0, heeds_signals=True)
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})

    from shoal.training.devices import prepare

    path = Path(directory)
    plan = read_plan(path)
    prepare(plan.deterministic)
    env = registry.make(plan.environment, **from_fields(plan.environment_fields))
    try:
        work(path, plan, open_study(path, plan), env, int(trials), float(seconds))
    except (Interrupted, KeyboardInterrupt):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
