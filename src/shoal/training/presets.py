"""Tuned settings as data: one TOML file an algorithm, one table a world.

Tables are merged from the general to the special: `default`, then patterns such as `mpe/*`, then
the world, then `world:continuous` where actions are continuous. A file of yours, `x.toml`, has the
same form.
"""

import fnmatch
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from shoal.core.errors import UserError, require, unknown
from shoal.core.names import is_address
from shoal.registry import ALGORITHMS

Table = dict[str, Any]

ELSEWHERE: Table = {"workers": 0, "server": "none"}  # of a run whose workers are on Ray
DEFAULTS = {
    **{"total_steps": 1_000_000, "num_envs": 128, "unroll": 25},
    **{"evaluations": 10, "eval_episodes": 1000, "normalise_observations": False},
    **ELSEWHERE,
}
HOST = {
    **{"total_steps": 100_000, "num_envs": 8, "unroll": 128},
    **{"evaluations": 5, "eval_episodes": 20},
}


def tables(algorithm: str) -> dict[str, Table]:
    """All tables of an algorithm's file, by name, in the file's order, after those of the algorithm
    that it is `like`, which it adds to. Algorithms that differ in name alone have one file."""
    if is_address(algorithm):
        return {}
    name = ALGORITHMS[algorithm].target.partition(":")[2]
    file = resources.files("shoal.training") / "presets" / f"{name}.toml"
    return _on_top(tomllib.loads(file.read_text())) if file.is_file() else {}


def _on_top(own: dict[str, Any]) -> dict[str, Table]:
    """The tables of a file over those of the algorithm that it is `like`, if it says so."""
    known = tables(own.pop("like")) if "like" in own else {}
    for name, table in own.items():
        old = known.get(name, {})
        algo = {"algo": old.get("algo", {}) | table["algo"]} if "algo" in table else {}
        known[name] = old | table | algo
    return known


def matching(algorithm: str, environment: str, continuous: bool) -> list[str]:
    """The names of the tables that apply to a world, from the general to the special."""
    return _matching(list(tables(algorithm)), environment, continuous)


def _matching(names: list[str], environment: str, continuous: bool) -> list[str]:
    worlds = [environment, f"{environment}:continuous"] if continuous else [environment]
    patterns = [n for n in names if "*" in n and any(fnmatch.fnmatch(w, n) for w in worlds)]
    exact = [w for w in worlds if w in names]
    return [n for n in names if n == "default"] + patterns + exact


def is_file(preset: str) -> bool:
    """Whether a preset is a file of the user's."""
    return preset.endswith(".toml")


def of_file(path: Path) -> dict[str, Table]:
    """All tables of a file of yours, by name.

    Raises:
        UserError: it cannot be read, or holds what is no setting; the line says what and where.
    """
    try:
        known = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot read preset {path}: {reason}") from error
    if known.get("like", "ppo") not in ALGORITHMS:
        raise unknown(f"algorithm that {path} is like:", str(known["like"]), ALGORITHMS)
    for name, table in known.items():
        if name == "like":
            continue
        require(isinstance(table, dict), f"{path}: '{name}' stands outside of a world's table")
        for key, value in table.items():
            place = f"{path}: {key} of '{name}'"
            if key not in (*DEFAULTS, "algo"):
                raise unknown(f"setting of '{name}' in {path}:", key, [*DEFAULTS, "algo"])
            kind = type(DEFAULTS.get(key, {}))
            require(type(value) is kind, f"{place} is {value!r}, expected {_KINDS[kind]}")
            require(kind is not int or value >= 1, f"{place} is {value}, expected at least 1")
    return _on_top(known)


_KINDS = {str: "text", int: "a whole number", bool: "true or false", dict: "a table"}


def layers(
    algorithm: str,
    environment: str,
    continuous: bool,
    preset: str = "auto",
    on_host: bool = False,
) -> list[tuple[str, Table]]:
    """The tables of settings that `resolve` merges, from the general to the special, each with what
    it is: `preset 'mpe/*'`. Where processes of the host step a world, `HOST` goes before an
    algorithm's own defaults.

    Raises:
        UserError: there is no such table or file, or the file has none for this world.
    """
    known = of_file(Path(preset)) if is_file(preset) else tables(algorithm)
    host = [("default where processes step environments", HOST)] if on_host else []
    if preset == "none":
        chosen = []
    elif preset == "auto":
        chosen = matching(algorithm, environment, continuous)
    elif is_file(preset):
        chosen = _matching(list(known), environment, continuous)
        have = ", ".join(known) or "nothing"
        require(bool(chosen), f"{preset} has no table for {environment}: it has {have}")
    elif preset in known:
        chosen = [n for n in ("default",) if n in known and n != preset] + [preset]
    else:
        raise unknown("preset", preset, [*known, "auto", "none"])
    merged = [("default", DEFAULTS), *host]
    for name in chosen:
        merged += [(f"preset '{name}'", known[name]), *(host if name == "default" else [])]
    return merged


def resolve(
    algorithm: str,
    environment: str,
    continuous: bool,
    preset: str = "auto",
    on_host: bool = False,
) -> Table:
    """The merged settings: run settings at the top, hyper-parameters under `algo`.

    `preset` is `auto` (what matches the world), `none`, the name of a table, or a file of tables,
    of which those apply that match the world.

    Raises:
        UserError: see `layers`.
    """
    merged: Table = {"algo": {}}
    for _, table in layers(algorithm, environment, continuous, preset, on_host):
        merged |= table | {"algo": merged["algo"] | table.get("algo", {})}
    return merged
