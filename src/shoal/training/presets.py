"""Tuned settings as data: one TOML file an algorithm, one table a world.

Tables are merged from the general to the special: `default`, then patterns such as `mpe/*`, then
the world, then `world:continuous` where actions are continuous.
"""

import fnmatch
import tomllib
from importlib import resources
from typing import Any

from shoal.core.errors import unknown

Table = dict[str, Any]

DEFAULTS = {
    **{"total_steps": 1_000_000, "num_envs": 128, "unroll": 25},
    **{"evaluations": 10, "eval_episodes": 1000},
}


def tables(algorithm: str) -> dict[str, Table]:
    """All tables of an algorithm's file, by name, in the file's order."""
    file = resources.files("shoal.training") / "presets" / f"{algorithm}.toml"
    return tomllib.loads(file.read_text()) if file.is_file() else {}


def matching(algorithm: str, environment: str, continuous: bool) -> list[str]:
    """The names of the tables that apply to a world, from the general to the special."""
    names = list(tables(algorithm))
    worlds = [environment, f"{environment}:continuous"] if continuous else [environment]
    patterns = [n for n in names if "*" in n and any(fnmatch.fnmatch(w, n) for w in worlds)]
    exact = [w for w in worlds if w in names]
    return [n for n in names if n == "default"] + patterns + exact


def resolve(algorithm: str, environment: str, continuous: bool, preset: str = "auto") -> Table:
    """The merged settings: run settings at the top, hyper-parameters under `algo`. Run settings
    that no table has are `DEFAULTS`.

    `preset` is `auto` (what matches the world), `none`, or the name of a table.
    """
    known = tables(algorithm)
    if preset == "none":
        return DEFAULTS | {"algo": {}}
    if preset == "auto":
        chosen = matching(algorithm, environment, continuous)
    elif preset in known:
        chosen = [n for n in ("default",) if n in known and n != preset] + [preset]
    else:
        raise unknown("preset", preset, [*known, "auto", "none"])
    merged: Table = DEFAULTS | {"algo": {}}
    for name in chosen:
        table = dict(known[name])
        merged["algo"] |= table.pop("algo", {})
        merged |= table
    return merged
