"""shoal compare DIR...: algorithms side by side, how sure the differences are, and the settings
in which runs differ."""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shoal.cli.arguments import Arguments
from shoal.cli.output import answer
from shoal.cli.parse import read_many
from shoal.cli.table import table
from shoal.core.errors import may_fail_to, require
from shoal.core.limits import Count
from shoal.core.names import headings
from shoal.runs.durable import check_ours, write_atomic

NONE = "\N{EN DASH}"
WIDTH = 100
POINTS = 5  # of curves and profiles, in print; --json has all


@dataclass(frozen=True)
class Options:
    """Compare runs: scores with 95 % intervals over seeds, the probability that one algorithm beats
    another, performance profiles, curves, and the settings that differ. Seeds of the same algorithm
    with the same settings are one group, whichever runs they are in."""

    json: bool = False
    """Print one JSON object and nothing else."""
    at_steps: Count | None = None
    """Compare at this many environment steps, with curves cut there; needed where runs made
    different numbers of steps."""
    reference: Literal["scripted", "observed", "none"] = "scripted"
    """What counts as 0 and as 1: random play and the world's scripted controller, or the lowest and
    the highest seed that is compared. Worlds are averaged by it alone."""
    marl_eval: Path | None = None
    """Also write all evaluations to this file, in marl-eval's JSON format."""


def run(arguments: Arguments) -> int:
    """Compares and prints, best first."""
    names, options = read_many(arguments, Options, "shoal compare DIR...")
    alone = len(names) == 1 and (Path(names[0]) / "config.json").is_file()  # perhaps a sweep
    require(len(names) >= 2 or alone, "shoal compare takes two run directories or more")
    from shoal.reports.run_groups import check_worlds, read_groups

    runs = [Path(name) for name in names]
    check_worlds(runs)
    groups = read_groups(runs, at_steps=options.at_steps)
    require(
        not alone or sum(map(len, groups.values())) > 1,
        "shoal compare takes two run directories or more, or one with a sweep",
    )

    from shoal.reports.comparison import compare_groups

    if options.marl_eval:
        _write_marl_eval(groups, options.marl_eval)
    report = compare_groups(groups, reference=options.reference)
    if options.json:
        answer(report)
    else:
        print(*text(report), sep="\n")
    return 0


def _write_marl_eval(groups: Any, path: Path) -> None:
    from shoal.reports.marl_eval import marl_eval_json

    content = json.dumps(marl_eval_json(groups), indent=1)
    with may_fail_to(f"write {path}"):
        check_ours(path, '"absolute_metrics"', "marl-eval's", "--marl-eval")
        write_atomic(path, content + "\n")


# What a person reads --------------------------------------------------------------------------


def text(report: dict[str, Any]) -> list[str]:
    """The comparison as lines."""
    lines, called = [], headings(world["environment"] for world in report["worlds"])
    for world in report["worlds"]:
        lines += [
            *_scores(world, called[world["environment"]]),
            *_settings(world),
            *_improvement(world["improvement"]),
        ]
        lines += [*_curves(world), *_profiles(world["groups"], world["thresholds"], "return"), ""]
    if report["aggregate"]:
        lines += [*_aggregate(report["aggregate"], len(report["worlds"])), ""]
    notes = [f"note: {note}" for note in report["notes"]]
    return [*lines, *notes] if notes else lines[:-1]


def _scores(world: dict[str, Any], called: str) -> list[str]:
    groups, yard = world["groups"], world["reference"]
    head = ["", "seeds", "IQM", "95 %", "mean", "95 %", "median", "95 %"]
    rows = [
        [g["name"], str(g["seeds"]), *_cells(g["return"])]
        + (_pair(g["optimality_gap"]) if yard else [])
        for g in groups
    ]
    title = f"{called}: return per agent after {_steps(groups)} steps"
    scores = table([head + (["gap", "95 %"] if yard else []), *rows])
    return [title, *scores, *([f"  gap: {yard['text']}"] if yard else [])]


def _steps(groups: list[dict[str, Any]]) -> str:
    counts = sorted({int(g["steps"]) for g in groups})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _settings(world: dict[str, Any]) -> list[str]:
    """One row a setting that differs, one column a group; and what an algorithm alone has."""
    from shoal.reports.trained_seeds import split_settings

    groups = world["groups"]
    if not groups[0]["settings"]:
        return []
    shared, own = split_settings(groups)
    rows = [[name, *(_value(g["settings"][name]) for g in groups)] for name in shared]
    lines = table([["", *(g["name"] for g in groups)], *rows]) if rows else []
    for algorithm, settings in own.items():
        said = (f"{name.removeprefix('algo.')} {_value(x)}" for name, x in settings.items())
        text = f"  {algorithm} alone has {', '.join(said)}"
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="    ")
    return ["", "settings that differ", *lines]


def _improvement(pairs: list[dict[str, Any]]) -> list[str]:
    if not pairs:
        return []
    rows = [[f"{p['name']} over {p['over']}", *_pair(p)] for p in pairs]
    return ["", "probability that a seed of one beats a seed of the other", *table(rows)]


def _curves(world: dict[str, Any]) -> list[str]:
    """The interquartile mean at a few evaluations, and the training seconds until there."""
    rows = [["", *("",) * POINTS]]
    for group in world["groups"]:
        curve = group["curve"]
        at = _spread(len(curve["steps"]))
        for name, key, form in (
            (f"{group['name']}: steps", "steps", "{:,.0f}"),
            ("  training seconds", "seconds", "{:.1f}"),
            ("  return, IQM", "iqm", "{:.2f}"),
        ):
            cells = [NONE if (x := curve[key][i]) is None else form.format(x) for i in at]
            rows.append([name, *cells, *("",) * (POINTS - len(at))])
    return ["", "evaluations during training", *table(rows[1:])]


def _profiles(groups: list[dict[str, Any]], thresholds: list[float], unit: str) -> list[str]:
    at = _spread(len(thresholds))
    head = [f"{unit} above", *(f"{thresholds[i]:.2f}" for i in at)]
    rows = [[g["name"], *(f"{g['profile']['value'][i]:.0%}" for i in at)] for g in groups]
    return ["", "share of seeds that score more", *table([head, *rows])]


def _aggregate(aggregate: dict[str, Any], worlds: int) -> list[str]:
    lines = [f"over {worlds} worlds"]
    if aggregate["groups"]:
        head = ["normalised", "seeds", "IQM", "95 %", "mean", "95 %", "median", "95 %"]
        rows = [
            [g["name"], str(g["seeds"]), *_cells(g["score"]), *_pair(g["optimality_gap"])]
            for g in aggregate["groups"]
        ]
        lines += table([[*head, "gap", "95 %"], *rows])
        lines += _profiles(aggregate["groups"], aggregate["thresholds"], "score")
    return lines + _improvement(aggregate["improvement"])


def _spread(count: int) -> list[int]:
    """Up to `POINTS` indices from the first to the last."""
    points = min(count, POINTS)
    return [round(i * (count - 1) / max(points - 1, 1)) for i in range(points)]


def _cells(scores: dict[str, Any]) -> list[str]:
    return [cell for name in ("iqm", "mean", "median") for cell in _pair(scores[name])]


def _pair(estimate: dict[str, Any]) -> list[str]:
    """A value and its interval."""
    low, high = estimate["low"], estimate["high"]
    interval = NONE if low is None else f"[{low:.2f}, {high:.2f}]"
    return [f"{estimate['value']:.2f}", interval]


def _value(value: Any) -> str:
    return NONE if value is None else json.dumps(value) if isinstance(value, list) else str(value)
