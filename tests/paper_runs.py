"""Run directories written by hand: what a comparison reads, with scores that a test knows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

POINTS = 4  # evaluations, evenly spaced
UPDATE = 100  # steps


def write_run(
    path: Path,
    scores: Sequence[float],
    *,
    algorithm: str = "ippo",
    world: str = "mpe/simple",
    steps: int = 1000,
    seed: int = 0,
    algo: dict[str, Any] | None = None,
    env: dict[str, Any] | None = None,
    sweep: dict[str, list[float]] | None = None,
    finished: bool = True,
    seconds: float = 8.0,
) -> Path:
    """A run whose members end at `scores`, and lacked 30, 20, 10 and 0 on the way there. A sweep
    has all seeds of its first value, then all of its second."""
    path.mkdir(parents=True)
    fields = {"learning_rate": 0.001, "hidden": [64, 64], **(algo or {})}
    seeds = len(scores) // max(1, sum(map(len, (sweep or {}).values())))
    config = {
        "algorithm": algorithm,
        "algorithm_fields": fields,
        "environment": world,
        "environment_fields": {"continuous_actions": False, **(env or {})},
        **{"total_steps": steps, "num_envs": 4, "unroll": UPDATE // 4, "seed": seed},
        **{"seeds": seeds, "sweep": sweep or {}, "evaluations": POINTS, "eval_episodes": 10},
        **{"deterministic": False, "preset": "auto", "devices": 1},
        "versions": {"shoal": "0.1.0", "jax": "0.10.2"},
        "hardware": {"platform": "cpu", "device": "paper", "devices": 1, "system": "test"},
    }
    swept = [{name: v} for name, values in (sweep or {}).items() for v in values] or [{}]
    members = [{"seed": seed + k, **choice} for choice in swept for k in range(seeds)]
    rows = [
        {
            "step": steps * (point + 1) // POINTS,
            **member,
            "return": score - 40.0,
            "seconds": seconds * (point + 1) / POINTS,
            "eval_return": score - 10.0 * (POINTS - 1 - point),
            "eval_return_sampled": score,
            "eval_success": abs(score) / 100,
        }
        for point in range(POINTS)
        for member, score in zip(members, scores, strict=True)
    ]
    (path / "config.json").write_text(json.dumps(config))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if finished:
        write_evaluation(path, config, members, scores)
    return path


def write_evaluation(
    path: Path, config: dict[str, Any], members: list[dict[str, Any]], scores: Sequence[float]
) -> None:
    """`eval.json`, with the returns of two agents."""
    mean = sum(scores) / len(scores)
    summary = {"mean": mean, "iqm": mean, "low": min(scores), "high": max(scores)}
    report = {
        **{name: config[name] for name in ("algorithm", "environment", "seed", "seeds")},
        "episodes": config["eval_episodes"],
        "return": summary,
        "metrics": {"success": summary, "return/<first>": summary, "return/second": summary},
        "members": [m | {"return": x} for m, x in zip(members, scores, strict=True)],
    }
    (path / "eval.json").write_text(json.dumps(report))
