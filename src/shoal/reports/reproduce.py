"""The command that trains a run again, from its `config.json` alone."""

import json
from typing import Any

from shoal import registry
from shoal.core.errors import UserError
from shoal.core.names import to_type
from shoal.runs.durable import Json

FLAGS = {
    **{"total_steps": "steps", "seed": "seed", "seeds": "seeds", "num_envs": "num-envs"},
    **{"unroll": "unroll", "evaluations": "evaluations", "eval_episodes": "eval-episodes"},
}


def command(config: Json) -> str:
    """What to type to make the run again, on the versions that its config names. Settings are
    spelled out, so that presets may change; those that are an algorithm's or a world's default
    are not. A sweep, or a value that no option can hold, makes it a few lines of Python."""
    algo = _changed(registry.make_algorithm, config["algorithm"], config["algorithm_fields"])
    env = _changed(registry.make, config["environment"], config["environment_fields"])
    if config.get("sweep") or not all(_is_plain(v) for v in (*algo.values(), *env.values())):
        return _python(config, algo, env)
    words = ["shoal", "train", config["algorithm"], config["environment"]]
    for name, flag in FLAGS.items():
        words += [f"--{flag}", str(config[name])]
    words += ["--preset", "none", *(["--deterministic"] if config.get("deterministic") else [])]
    for prefix, fields in (("algo", algo), ("env", env)):
        for name, value in fields.items():
            values = value if isinstance(value, list) else [value]
            words += [f"--{prefix}.{name.replace('_', '-')}", *map(str, values)]
    return to_type(*words)


def _changed(make: Any, name: str, fields: Json) -> Json:
    """The fields that are not the default; all where the name is not in the registry, and of code
    of one's own, which is not run for it."""
    from shoal.runs.fields import fields_of

    if registry.is_own_code(name):
        return fields
    try:
        default = fields_of(make(name))
    except UserError:
        return fields
    return {k: v for k, v in fields.items() if k not in default or default[k] != v}


def _is_plain(value: Any) -> bool:
    """Whether an option can hold it."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(v, int | float | str) for v in value)
    return isinstance(value, bool | int | float | str)


def _python(config: Json, algo: Json, env: Json) -> str:
    run = {name: config[name] for name in FLAGS}
    run |= {"sweep": config["sweep"]} if config.get("sweep") else {}
    run |= algo
    run |= {"deterministic": True} if config.get("deterministic") else {}
    world = "".join(f", {name}={_literal(value)}" for name, value in env.items())
    lines = [
        "import shoal",
        "",
        f"env = shoal.make({json.dumps(config['environment'])}{world})",
        f'shoal.train({json.dumps(config["algorithm"])}, env, preset="none",',
        *(f"    {name}={value!r}," for name, value in run.items()),
        ")",
    ]
    return "\n".join(lines)


def _literal(value: Any) -> str:
    """Lists of a config were tuples."""
    if isinstance(value, list):
        inner = ", ".join(map(_literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)
