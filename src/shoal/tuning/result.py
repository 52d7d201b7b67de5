"""What a study leaves: a table of its trials, pictures, and the best settings as a preset.

trials.csv       a row a trial
best.toml        the best settings, in the form of Shoal's own presets: `--preset DIR/best.toml`
best.json        the same with its value and where its run is
history.png      values of all trials; importance.png, which fields mattered
"""

import csv
import io
import json
import math
import warnings
from pathlib import Path
from typing import Any

from shoal import registry
from shoal.core.errors import require
from shoal.runs.durable import Json, write_atomic, write_json_atomic
from shoal.runs.fields import fields_of
from shoal.tuning.plan import Plan
from shoal.tuning.study import Study, TrialState, was_lost
from shoal.tuning.worker import trial_directory

BEST = "best.toml"
RANKED_FROM = 8  # finished trials, from which importances are worth a picture
BEST_SHARE, BEST_TRIALS = 0.1, 5  # of trials whose settings are compared with all


def save_results(directory: Path, plan: Plan, study: Study) -> Json:
    """Writes all files and returns what `best.json` holds.

    Raises:
        UserError: no trial has finished; `trials.csv` is written all the same.
    """
    write_atomic(directory / "trials.csv", _table(directory, plan, study))
    trials = study.get_trials(deepcopy=False)
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    reasons = [t.user_attrs["reason"] for t in trials if "reason" in t.user_attrs]
    why = f"; the first that failed: {reasons[0]}" if reasons else ""
    require(bool(done), f"no trial of {directory} has finished{why}")
    best = _best(directory, plan, study)
    write_atomic(directory / BEST, _preset(plan, best))
    write_json_atomic(directory / "best.json", best)
    _draw(directory, plan, study, len(done))
    return best


def _table(directory: Path, plan: Plan, study: Study) -> str:
    """`trials.csv`. The value of a pruned trial is that of its last evaluation."""
    out = io.StringIO()
    fields = [d.field for d in plan.space]
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["trial", "state", plan.metric, "step", "seconds", *fields, "reason"])
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.WAITING:
            continue
        state = "lost" if was_lost(trial) else _STATES[trial.state]
        values = trial.user_attrs.get("values", {})
        seconds = round(trial.duration.total_seconds(), 1) if trial.duration else ""
        chosen = [values.get(field, "") for field in fields]
        reason = trial.user_attrs.get("reason", "")
        facts = (trial.number, state, _value(trial), trial.last_step, seconds)
        rows.writerow([*facts, *chosen, reason])
    return out.getvalue()


_STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def _best(directory: Path, plan: Plan, study: Study) -> Json:
    trials = [t for t in study.get_trials(deepcopy=False) if not was_lost(t)]
    states = {name: sum(t.state == state for t in trials) for state, name in _STATES.items()}
    best = study.best_trial
    values = plan.values(best.params)
    return {
        "algorithm": plan.algorithm,
        "environment": plan.environment,
        "metric": plan.metric,
        "goal": plan.goal,
        "value": best.value,
        "trial": best.number,
        "trials": states,
        "searched": values,
        "algorithm_fields": plan.algorithm_fields | values,
        "environment_fields": plan.environment_fields,
        "run": plan.run,
        "seeds": [plan.seed + k for k in range(plan.seeds)],
        "directory": str(trial_directory(Path(), best.number)),
    }


# The preset -----------------------------------------------------------------------------------


def _preset(plan: Plan, best: Json) -> str:
    """The text of `best.toml`: what differs from the algorithm's own defaults, and what was
    searched. How often and how long a run is evaluated is no part of it."""
    defaults = fields_of(registry.make_algorithm(plan.algorithm))
    fields = best["algorithm_fields"]
    algo = {k: v for k, v in fields.items() if v != defaults.get(k) or k in best["searched"]}
    run = {k: v for k, v in plan.run.items() if not k.startswith("eval")}
    world = json.dumps(plan.environment)
    lines = [
        f"# Found by shoal tune in {sum(best['trials'].values())} trials, of which number "
        f"{best['trial']} had the best {plan.metric}:",
        f"# {best['value']:.4g} after {plan.last_step:,} steps, mean of {plan.seeds} seeds from "
        f"{plan.seed} on.",
        *_world_note(plan),
        "",
        f"[{world}]",
        *(f"{name} = {_toml(value)}" for name, value in run.items()),
        "",
        f"[{world}.algo]",
        *(f"{name} = {_toml(value)}" for name, value in algo.items()),
    ]
    return "\n".join(lines) + "\n"


def _world_note(plan: Plan) -> list[str]:
    """Fields of the world that are not its defaults: a preset has no place for them."""
    usual = fields_of(registry.make(plan.environment))
    options = [
        f"--env.{name.replace('_', '-')} {value}"
        for name, value in plan.environment_fields.items()
        if value != usual.get(name)
    ]
    return [f"# The world had {' '.join(options)}."] if options else []


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


# Pictures -------------------------------------------------------------------------------------


def importances(plan: Plan, study: Study) -> dict[str, float]:
    """The share of each field in what sets the best trials apart from all, by PED-ANOVA (Watanabe
    et al. 2023, arXiv:2304.10255). Finished trials count; the best tenth, but at least five."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    done = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    share = max(BEST_SHARE, min(0.5, BEST_TRIALS / done))
    fields = {d.name: d.field for d in plan.space}
    with warnings.catch_warnings():  # an experiment in Optuna 4.0, the default in 5.0
        warnings.simplefilter("ignore")
        evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
        found = get_param_importances(study, evaluator=evaluator)
    return {fields[name]: float(share) for name, share in found.items()}


def _draw(directory: Path, plan: Plan, study: Study, done: int) -> None:
    from shoal.tuning.plots import Point, save_history, save_importance

    title = f"{plan.algorithm} in {plan.environment}"
    points = [
        Point(t.number, _STATES[t.state], v if v is not None and math.isfinite(v) else None)
        for t in study.get_trials(deepcopy=False)
        if t.state.is_finished() and not was_lost(t)
        for v in [_value(t)]
    ]
    save_history(directory / "history.png", points, title=title, metric=plan.metric, goal=plan.goal)
    if len(plan.space) > 1 and done >= RANKED_FROM:
        ranked = importances(plan, study)
        save_importance(directory / "importance.png", ranked, title=title, trials=done)


def _value(trial: Any) -> float | None:
    """What it ended with, or its last evaluation."""
    complete = trial.state == TrialState.COMPLETE
    return trial.value if complete else trial.intermediate_values.get(trial.last_step)
