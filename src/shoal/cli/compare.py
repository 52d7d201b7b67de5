"""shoal compare DIR...: final scores side by side, and the settings in which runs differ."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.cli.parse import parse
from shoal.core.errors import UserError, require

HIDDEN = {
    "seed",
    "versions",
    "hardware",
    "devices",
    "member_devices",
    "checkpoint_seconds",
    "deterministic",
}


@dataclass(frozen=True)
class Options:
    """Compare finished runs of one environment."""

    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: list[str]) -> int:
    """Prints a table, best mean first."""
    names = [a for a in arguments if not a.startswith("-")]
    flags = [a for a in arguments if a.startswith("-")]
    as_json = flags == ["--json"] or parse(Options, flags, "shoal compare DIR...").json
    require(len(names) >= 2, "shoal compare takes two run directories or more")
    runs = [_read(Path(name)) for name in names]
    worlds = {r["config"]["environment"] for r in runs}
    require(len(worlds) == 1, f"runs of different worlds cannot be compared: {', '.join(worlds)}")
    runs.sort(key=lambda r: -r["return"]["mean"])
    differing = _differing([_flat(r["config"]) for r in runs])
    for r in runs:
        settings = _flat(r.pop("config"))
        r["settings"] = {key: settings.get(key) for key in differing}
    if as_json:
        print(json.dumps({"environment": worlds.pop(), "runs": runs}))
        return 0
    print(f"{worlds.pop()}: return per agent, final parameters, 95 % interval over seeds")
    for r in runs:
        score = r["return"]
        interval = f"[{score['low']:.2f}, {score['high']:.2f}]"
        name, mean = f"  {r['directory']:<32}", f"{score['mean']:>9.2f}"
        print(f"{name}{mean}  {interval}  iqm {score['iqm']:.2f}  {r['seeds']} seeds")
        for key, value in r["settings"].items():
            print(f"      {key} = {value}")
    return 0


def _read(path: Path) -> dict[str, Any]:
    from shoal.training.durable import read_json
    from shoal.training.run_directory import RunDirectory

    config = RunDirectory.open(path).read_config()
    if not (path / "eval.json").is_file():
        raise UserError(f"{path} has not finished: continue it with `shoal resume {path}`")
    report = read_json(path / "eval.json")
    return {
        "directory": str(path),
        "algorithm": config["algorithm"],
        "seeds": config["seeds"],
        "return": report["return"],
        "metrics": report["metrics"],
        "config": config,
    }


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """Settings on one level: `algo.FIELD`, `env.FIELD` and the rest."""
    out = {k: v for k, v in config.items() if k not in HIDDEN and not isinstance(v, dict)}
    for prefix, key in (("algo", "algorithm_fields"), ("env", "environment_fields")):
        out |= {f"{prefix}.{k}": v for k, v in config[key].items()}
    return out


def _differing(settings: list[dict[str, Any]]) -> list[str]:
    keys = sorted(set().union(*settings))
    return [k for k in keys if any(s.get(k) != settings[0].get(k) for s in settings)]
