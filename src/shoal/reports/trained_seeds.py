"""Trained seeds, read off run directories: settings, final score and the evaluations on the way."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from shoal.core.errors import UserError, require
from shoal.core.names import to_type
from shoal.runs.durable import Json
from shoal.runs.evaluation_file import read_evaluation
from shoal.runs.run_directory import RunDirectory, read_metrics

# What does not change what is learned, or stands elsewhere in a comparison.
HIDDEN = {
    *("algorithm", "environment", "seed", "seeds", "preset", "versions", "hardware"),
    *("devices", "member_devices", "checkpoint_seconds", "deterministic", "pictures"),
}


class SeedRun(NamedTuple):
    """One trained seed: its settings, final score and P evaluations on the way. Scores and returns
    are per agent; `evaluations` has what else the world measures; `seconds` is training time so
    far, of all seeds that its run trained together."""

    run: Path
    config: Json
    settings: Json
    seed: int
    score: float
    evaluations: list[dict[str, float]]
    steps: Float[np.ndarray, "P"]
    returns: Float[np.ndarray, "P"]
    seconds: Float[np.ndarray, "P"]

    @property
    def algorithm(self) -> str:
        return self.config["algorithm"]

    @property
    def metrics(self) -> dict[str, float]:
        """What the world measured in the last evaluation."""
        return self.evaluations[-1]

    @property
    def world(self) -> str:
        return self.config["environment"]


def read_seeds(run: Path, at_steps: int | None = None) -> list[SeedRun]:
    """The seeds of one run, each with its settings of a sweep. Raises `UserError`."""
    config = RunDirectory.open(run).read_config()
    ended = (run / "eval.json").is_file()
    if at_steps is None and not ended:
        mend = to_type("shoal", "resume", run)
        raise UserError(f"{run} has not finished: continue it with `{mend}`")
    swept = list(config.get("sweep") or {})
    rows: dict[tuple[Any, ...], list[Json]] = {}
    path = run / "metrics.jsonl"
    needed = ("seed", "seconds", *swept)
    for row in read_metrics(path, *needed) if path.is_file() else ():
        if "eval_return" in row:
            rows.setdefault(tuple(row[name] for name in ("seed", *swept)), []).append(row)
    require(bool(rows), f"{run} has no evaluation: no row of its metrics.jsonl has an eval_return")
    finals = _finals(run, swept) if at_steps is None else {}
    out = []
    for key, evaluations in rows.items():
        cut = evaluations if at_steps is None else _cut(run, config, evaluations, at_steps)
        score = finals.get(key) if at_steps is None else cut[-1]["eval_return"]
        if score is None:
            raise UserError(f"seed {key[0]} of {run} ends without a finite return")
        out.append(_seed(run, config, dict(zip(("seed", *swept), key)), cut, float(score)))
    return out


def flat_settings(config: Json) -> Json:
    """Settings on one level: `algo.FIELD`, `env.FIELD` and those of the run."""
    out = {k: v for k, v in config.items() if k not in HIDDEN and not isinstance(v, dict)}
    for prefix, key in (("algo", "algorithm_fields"), ("env", "environment_fields")):
        out |= {f"{prefix}.{k}": v for k, v in config[key].items()}
    return out


def differing(settings: Sequence[Json]) -> list[str]:
    """The names of settings that are not the same in all."""
    keys = sorted(set().union(*settings))
    return [k for k in keys if any(s.get(k) != settings[0].get(k) for s in settings)]


def split_settings(groups: Sequence[Json]) -> tuple[list[str], dict[str, Json]]:
    """The settings of a comparison's groups: the names of those that tell groups apart, and by
    algorithm those that no other has. These are no difference in how the algorithms were set up,
    unless a sweep varies them."""
    shared: list[str] = []
    own: dict[str, Json] = {}
    for name in groups[0]["settings"]:
        owners = {g["algorithm"] for g in groups if g["settings"][name] is not None}
        values = [g["settings"][name] for g in groups if g["algorithm"] in owners]
        if len(owners) == 1 and all(value == values[0] for value in values):
            own.setdefault(owners.pop(), {})[name] = values[0]
        else:
            shared.append(name)
    return shared, own


def _finals(run: Path, swept: list[str]) -> dict[tuple[Any, ...], float | None]:
    """What `eval.json` says of each seed."""
    members = read_evaluation(run / "eval.json").get("members") or []
    require(bool(members), f"{run / 'eval.json'} has no scores of single seeds: evaluate it again")
    names = ("seed", *swept)
    return {tuple(m.get(name) for name in names): m.get("return") for m in members}


def _cut(run: Path, config: Json, rows: list[Json], at_steps: int) -> list[Json]:
    """The evaluations within `at_steps`."""
    update = config["num_envs"] * config["unroll"]
    limit, last = -(-at_steps // update) * update, rows[-1]["step"]
    require(
        config["total_steps"] >= at_steps,
        f"{run} made {config['total_steps']:,} steps, fewer than --at-steps {at_steps:,}",
    )
    kept = [row for row in rows if row["step"] <= limit]
    require(
        bool(kept),
        f"{run} was first evaluated at step {rows[0]['step']:,}, after --at-steps {at_steps:,}",
    )
    reached = last >= limit or (run / "eval.json").is_file()
    require(reached, f"{run} stopped at step {last:,}, before --at-steps {at_steps:,}")
    return kept


def _seed(run: Path, config: Json, member: Json, rows: list[Json], score: float) -> SeedRun:
    settings = flat_settings(config)
    settings |= {f"algo.{name}": value for name, value in member.items() if name != "seed"}
    measured = [
        {
            name.removeprefix("eval_"): value
            for name, value in row.items()
            if name.startswith("eval_") and not name.startswith("eval_return") and value is not None
        }
        for row in rows
    ]
    steps, returns, seconds = (  # None becomes NaN
        np.array([row[name] for row in rows], float) for name in ("step", "eval_return", "seconds")
    )
    return SeedRun(run, config, settings, member["seed"], score, measured, steps, returns, seconds)
