"""shoal tune ALGORITHM ENVIRONMENT: search hyper-parameters with Optuna.

The same command with the same `--out` goes on with a study that was stopped, whatever stopped it.
"""

import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.declared import fields, leaves
from shoal.cli.train import Settings, check, read_settings, take_names
from shoal.core.errors import UserError, may_fail_to, require, unknown
from shoal.core.limits import Count, NonNegative, Seed
from shoal.core.names import short_name, to_type
from shoal.runs.run_directory import RunDirectory, free_directory
from shoal.training import presets
from shoal.tuning.space import Dimension, read_search, search_space

USAGE = "shoal tune ALGORITHM ENVIRONMENT [--trials N] [--steps N] [--search FIELD=LOW:HIGH] ..."
SEARCH = "--search"
EVALUATIONS = 5  # in a trial: enough to prune by


@dataclass(frozen=True)
class Tune(Settings):
    """Search an algorithm's hyper-parameters in an environment. Those that are given are where the
    search begins, and are searched only if --search names them."""

    search: tuple[str, ...] = ()
    """What to search: FIELD, FIELD=LOW:HIGH or FIELD=a,b,c, as often as you like; all of the
    algorithm's numbers if not given."""
    trials: Count = 40
    """How many trainings to make in all; a study that has fewer goes on."""
    seeds: Count = 2
    """How many seeds to train together in each trial: its value is their mean."""
    seed: Seed = 0
    """The first seed, and the seed of the search."""
    metric: str = "return"
    """What counts, in the final evaluation: return, or a metric of the environment."""
    goal: Literal["max", "min"] = "max"
    """Whether more of it is better, or less."""
    workers: Count = 1
    """Processes that run trials at once; each gets its share of the cores."""
    timeout: NonNegative = 0.0
    """Seconds after which no trial begins any more, 0 for no limit."""
    out: Path | None = None
    """The study's directory; a new one under runs/ if not given. One that has this study goes on
    with it."""
    deterministic: bool = False
    """Use one core a worker, so that one worker finds the same study again, bit for bit."""
    evaluations: Count = EVALUATIONS
    """How often to evaluate during a trial, which is when it may be pruned."""


def run(arguments: Arguments) -> int:
    """Parses, searches, and says what was found."""
    (algorithm, environment), rest = take_names(arguments, USAGE)
    searches = [option.values for option in rest.options if option.name == SEARCH]
    require(all(map(any, searches)), f"{SEARCH} names no field")
    target = registry.find_algorithm(algorithm).target
    given = read_search(itertools.chain(*searches), fields(target))
    check(algorithm, environment, rest, Tune)
    if not rest.help:
        import shoal.tuning.study  # noqa: F401  whether Optuna is there shows before JAX

    if rest.value("--workers") not in (None, "1"):  # processes that share one accelerator
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    options = read_settings(Tune, algorithm, environment, rest, evaluations=EVALUATIONS)

    plan = _plan(algorithm, environment, options, given, rest)
    out = options.out or free_directory(f"tune_{short_name(algorithm)}", environment)
    return _tune(out, plan, options)


def _plan(
    algorithm: str,
    environment: str,
    options: Tune,
    given: dict[str, Dimension | None],
    arguments: Arguments,
) -> Any:
    """The study as data; mistakes that only the built objects show are found here."""
    from shoal.runs.fields import fields_of
    from shoal.training.devices import share_out
    from shoal.tuning.plan import Plan

    spec = options.env.spec
    options.algo.check(spec)
    share_out(options.algo, options.num_envs, available=1)
    metrics = ("return", *(name for name, _ in spec.metrics))
    if options.metric not in metrics:
        raise unknown("metric", options.metric, metrics)
    target = registry.find_algorithm(algorithm).target
    fixed = [option.field for option in arguments.options if option.word.startswith("--algo.")]
    values = fields_of(options.algo)
    own = presets.DEFAULTS.keys() - presets.ELSEWHERE.keys()
    run_settings = {
        "total_steps": options.steps,
        **{k: getattr(options, k) for k in own - {"total_steps"}},
    }
    return Plan(
        algorithm=algorithm,
        algorithm_fields=values,
        environment=environment,
        environment_fields=fields_of(options.env),
        run=run_settings,
        space=search_space(given, fields(target), values, fixed, leaves(target)),
        **{k: getattr(options, k) for k in ("preset", "seed", "seeds", "metric", "goal")},
        deterministic=options.deterministic,
    )


def _tune(out: Path, plan: Any, options: Any) -> int:
    """Runs the study, and writes what it found, also when it was stopped."""
    from shoal.core.terminal import say
    from shoal.training.trainer import Interrupted
    from shoal.tuning import crew
    from shoal.tuning.plan import keep_plan
    from shoal.tuning.study import begin, open_study, release_all
    from shoal.tuning.worker import work

    with may_fail_to(f"create {out}"):
        out.mkdir(parents=True, exist_ok=True)
    directory = RunDirectory(out)
    directory.lock()
    try:
        keep_plan(out, plan)
        study = open_study(out, plan)
        for number in release_all(study):
            say(f"trial {number} · lost with its process, and queued again")
        begin(study, plan)
        say(f"{plan.algorithm} in {plan.environment} · searching {'; '.join(map(str, plan.space))}")
        seconds = options.timeout or float("inf")
        stopped = ""
        try:
            if options.workers == 1:
                work(out, plan, study, options.env, options.trials, seconds)
            else:
                crew.work(out, options.workers, options.trials, seconds)
        except (Interrupted, KeyboardInterrupt):
            stopped = "stopped"
        except ChildProcessError as error:
            stopped = str(error)
        release_all(study)
        return _report(out, plan, study, stopped)
    finally:
        directory.close()


def _report(out: Path, plan: Any, study: Any, stopped: str) -> int:
    """Writes the results and says where they are."""
    from shoal.tuning.result import save_results

    again = f"shoal: {stopped}; the same command with {to_type('--out', out)} goes on"
    try:
        best = save_results(out, plan, study)
    except UserError:
        if not stopped:
            raise
        print(again, file=sys.stderr)
        return 1
    count = ", ".join(f"{n} {state}" for state, n in best["trials"].items() if n)
    searched = ", ".join(f"{name} {value}" for name, value in best["searched"].items())
    print(f"best {plan.metric} {best['value']:.3f}, trial {best['trial']} ({count}): {searched}")
    words = ("train", plan.algorithm, plan.environment, "--preset", out / "best.toml")
    print(f"use it: {to_type('shoal', *words)}")
    if stopped:
        print(again, file=sys.stderr)
    return 1 if stopped else 0
