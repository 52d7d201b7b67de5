"""The card beside an exported policy: what it is, where it acts, how well, and how it was made.

After Mitchell et al. 2019, "Model cards for model reporting", arXiv:1810.03993. The JSON holds all
of it; the page says it to a reader.
"""

import inspect
import math
from typing import Any, Literal

import jax

from shoal import registry
from shoal.core.env import EnvSpec
from shoal.core.spaces import Box, Factored
from shoal.export.policy_function import PolicyFunction
from shoal.runs import checkpoint
from shoal.runs.durable import Json
from shoal.runs.run_directory import RunDirectory
from shoal.training.run import Run

MEANINGS = {
    "obs": "what agents see, padded with zeros to the largest observation",
    "action_mask": "which actions are legal now",
    "carry": "recurrent state: zeros at the start of an episode, then the last next_carry",
    "action": "the greedy action",
    "probs": "the probability of each action, or of each option of each factor, for sampling",
    "log_probs": "their logarithms; about -1e9 where an action is never taken",
    "values": "the value of each action",
    "mean": "of a normal distribution for each dimension; clip what is drawn to the box",
    "std": "the standard deviation of each dimension",
    "mean_before_tanh": "of a normal x for each dimension: the action is the middle of the box "
    "plus half its width times tanh(x)",
    "std_before_tanh": "the standard deviation of x",
    "next_carry": "recurrent state to give to the next step",
}


def policy_card(
    run: Run,
    function: PolicyFunction,
    *,
    agent: str | None = None,
    member: int = 0,
    which: Literal["last", "best"] | int = "last",
    licence: str = "not stated",
) -> Json:
    """All that the card says, but for the files.

    Args:
        run: where the policy is from.
        function: what is exported.
        agent: the one whose policy it is; all if not given.
        member: which of the run's members.
        which: whether it has the last parameters, the best evaluated ones, or those of a step.
        licence: under which others may use the policy.
    """
    config, spec = run.config, run.env.spec
    directory = RunDirectory.open(run.directory)
    if isinstance(which, int):
        steps, said = which, "of an earlier checkpoint"
    else:
        steps = checkpoint.latest_step(directory.checkpoints, "best" if which == "best" else None)
        said = {"last": "last", "best": "best evaluated"}[which]
    return {
        "policy": f"{config.algorithm} in {config.environment}",
        "algorithm": {"name": config.algorithm, "fields": config.algorithm_fields},
        "environment": {
            "name": config.environment,
            "fields": config.environment_fields,
            "description": _description(run),
            "horizon": None if spec.endless else spec.horizon,
        },
        "agents": [row for row in _agents(spec) if agent in (None, row["name"])],
        "action": _actions(spec, agent),
        "inputs": _described(function.inputs),
        "outputs": _described(function.outputs()),
        "parameters": function.parameters,
        "training": {
            "steps": steps,
            "steps_planned": config.total_steps,
            "member": config.members()[member],
            "seeds": config.seeds,
            "which": said,
        },
        "evaluation": _scores(run, which == "last"),
        **{key: directory.read_config().get(key, {}) for key in ("versions", "hardware")},
        "licence": licence,
    }


def _description(run: Run) -> str:
    """What the environment is, in its own words."""
    entry = registry.ENVIRONMENTS.get(run.config.environment)
    summary = f"{entry.summary[:1].upper()}{entry.summary[1:]}. " if entry else ""
    return summary + " ".join((inspect.getdoc(type(run.env)) or "").split())


def _agents(spec: EnvSpec) -> list[Json]:
    columns = (spec.agents, spec.teams, spec.roles, spec.obs_sizes, spec.action.sizes)
    names = ("name", "team", "role", "obs_size", "action_size")
    return [dict(zip(names, row)) for row in zip(*columns)]


def _actions(spec: EnvSpec, agent: str | None) -> Json:
    if isinstance(spec.action, Box):
        meaning = "action_size real numbers, clipped to the box; padded to the largest"
        return {"kind": "box", **_box(spec, spec.action, agent), "meaning": meaning}
    if isinstance(spec.action, Factored):
        meaning = "a whole number from 0 for each factor, below its entry of action_size"
        return {"kind": "factored", "meaning": f"{meaning}; padded to the most factors with 0"}
    meaning = "a whole number from 0 to action_size - 1, as the environment's step takes it"
    return {"kind": "discrete", "meaning": meaning}


def _box(spec: EnvSpec, space: Box, agent: str | None) -> Json:
    """Bounds: of all dimensions alike, or arranged as the file's own actions are."""
    i = None if agent is None else spec.agents.index(agent)
    space = space if i is None else space.part((i,))
    ends = {"low": (space.low, space.lows), "high": (space.high, space.highs)}
    return {
        name: shared if isinstance(shared, float) else (each if i is None else each[0]).tolist()
        for name, (shared, each) in ends.items()
    }


def _described(arrays: dict[str, jax.ShapeDtypeStruct]) -> Json:
    """Shapes with the batch axis; those of several carries share a meaning."""
    return {
        name: {
            "shape": ["B", *x.shape],
            "dtype": str(x.dtype),
            "meaning": MEANINGS[_kind(name)],
        }
        for name, x in sorted(arrays.items(), key=lambda item: _place(item[0]))
    }


def _place(name: str) -> int:
    return list(MEANINGS).index(_kind(name))


def _kind(name: str) -> str:
    """`carry` of `carry_1`."""
    return name if name in MEANINGS else name.rpartition("_")[0]


def _scores(run: Run, last: bool) -> Json:
    """Of the last parameters of all seeds, with 95 % intervals; or why there are none."""
    if not last:
        return {"missing": "the run's evaluation is of its last parameters, this file has others"}
    report = run.evaluation
    if report is None:
        return {"missing": "the run has not finished"}
    kept = {key: report[key] for key in ("return", "metrics", "episodes", "seeds")}
    return {**kept, "of": "the last parameters of all seeds", "interval": "95 %"}


# What a person reads ----------------------------------------------------------------------------


def card_page(card: Json) -> str:
    """The card as Markdown."""
    world, training = card["environment"], card["training"]
    lines = [f"# {card['policy']}", ""]
    limit = f" Episodes have {world['horizon']} steps at most." if world["horizon"] else ""
    lines += [f"{world['description']}{limit}", ""]
    files = [(n, f["format"], f"{f['bytes']:,}", f["sha256"]) for n, f in card["files"].items()]
    lines += _table(("file", "format", "bytes", "SHA-256"), files)
    heading = ("agent", "team", "role", "observation", "action")
    lines += ["## Agents", "", *_table(heading, [tuple(a.values()) for a in card["agents"]])]
    lines += [f"Action: {_action_text(card['action'])}.", ""]
    for kind in ("inputs", "outputs"):
        rows = [(n, _shape(x), x["dtype"], x["meaning"]) for n, x in card[kind].items()]
        lines += [f"## {kind.capitalize()}", "", *_table(("name", "shape", "type", ""), rows)]
    lines += ["## Scores", "", *_score_lines(card["evaluation"]), "## Training", ""]
    settings = {**training, "parameters": card["parameters"]}
    rows = [(k.replace("_", " "), _plain(v)) for k, v in settings.items()]
    for key in ("algorithm", "environment"):
        rows += [(f"{key}: {k}", _plain(v)) for k, v in card[key]["fields"].items()]
    for key in ("versions", "hardware"):
        rows += [(k, _plain(v)) for k, v in card[key].items()]
    return "\n".join([*lines, *_table(("", ""), rows), f"Licence: {card['licence']}."]) + "\n"


def _score_lines(scores: Json) -> list[str]:
    if "missing" in scores:
        return [f"None: {scores['missing']}.", ""]
    named = {"return per agent": scores["return"], **scores["metrics"]}
    rows = [(name, *(_digits(x[k]) for k in ("mean", "low", "high"))) for name, x in named.items()]
    said = f"Over {scores['episodes']} episodes with each of {scores['seeds']} seeds, of "
    said += f"{scores['of'].removesuffix(' of all seeds')}; intervals cover the mean at 95 %."
    return [said, "", *_table(("score", "mean", "low", "high"), rows)]


def _digits(score: float | None) -> str:
    """A dash stands for what was not finite."""
    return "\N{EN DASH}" if score is None else f"{score:.3f}"


def _table(heading: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return ["| " + " | ".join(str(x).replace("|", "\\|") for x in row) + " |" for row in lines] + [
        ""
    ]


def _shape(described: Json) -> str:
    return "[" + ", ".join(map(str, described["shape"])) + "]"


def _action_text(action: Json) -> str:
    if action["kind"] != "box":
        return action["meaning"]
    low, high = action["low"], action["high"]
    if isinstance(low, float) and isinstance(high, float):
        return f"{action['meaning']}; the box is [{low:g}, {high:g}]"
    return f"{action['meaning']}; the box goes from {low} to {high}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return f"{value:,}" if type(value) is int else str(value)
