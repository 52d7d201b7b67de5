"""The tables of a report, from the JSON of a comparison."""

import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from shoal.core.axes import MINUS
from shoal.reports.trained_seeds import split_settings
from shoal.runs.durable import Json

NONE = "\N{EN DASH}"
Styles = dict[str, tuple[str, bool]]
"""A group's colour, and whether its lines are dashed."""


def card(title: str, note: str, content: str) -> str:
    """A titled box with a sentence; `content` is HTML already."""
    text = re.sub(r"-(?=\d)", MINUS, html.escape(note))
    said = f'<p class="soft">{text}</p>' if note else ""
    return f'<div class="card"><h3>{html.escape(title)}</h3>{said}{content}</div>'


def scores(groups: list[Json], key: str, styles: Styles, *, gap: bool) -> str:
    """A row a group: aggregates with their intervals."""
    head = ["", "Seeds", "IQM", "Mean", "Median", *(["Optimality gap"] if gap else [])]
    rows = [
        [
            _chip(g["name"], styles),
            str(g["seeds"]),
            *(_estimate(g[key][name]) for name in ("iqm", "mean", "median")),
            *([_estimate(g["optimality_gap"])] if gap else []),
        ]
        for g in groups
    ]
    return _table(head, rows)


def matrix(worlds: list[Json], called: dict[str, str], styles: Styles) -> str:
    """A row a group, a column a world by what it is called."""
    found = {(w["environment"], g["name"]): g for w in worlds for g in w["groups"]}
    rows = [
        [_chip(name, styles)]
        + [
            _estimate(found[w["environment"], name]["return"]["iqm"])
            if (w["environment"], name) in found
            else NONE
            for w in worlds
        ]
        for name in styles
    ]
    return _table(["", *(html.escape(called[w["environment"]]) for w in worlds)], rows)


def metrics(groups: list[Json], styles: Styles) -> str:
    """What the world measures, a row each."""
    names = list(dict.fromkeys(name for g in groups for name in g["metrics"]))
    if not names:
        return ""
    none = {"value": None, "low": None, "high": None}
    rows = [
        [_words(name), *(_estimate(g["metrics"].get(name, none)) for g in groups)] for name in names
    ]
    note = "Means over the episodes of all seeds; brackets are intervals over seeds."
    head = ["", *(_chip(g["name"], styles) for g in groups)]
    return card("Final evaluation", note, _table(head, rows))


def settings(groups: list[Json], styles: Styles) -> str:
    """Those in which groups differ, and only those; last what one algorithm alone has."""
    if not groups[0]["settings"]:
        return ""
    shared, own = split_settings(groups)
    rows = [[html.escape(k), *(value(g["settings"][k]) for g in groups)] for k in shared]
    head = ["", *(_chip(g["name"], styles) for g in groups)]
    content = _table(head, rows) if rows else ""
    for algorithm, settings in own.items():
        said = (f"{html.escape(k.removeprefix('algo.'))} {value(x)}" for k, x in settings.items())
        content += f'<p class="soft">{html.escape(algorithm)} alone has {", ".join(said)}.</p>'
    return card("Settings that differ", "", content)


def beats(pairs: list[Json]) -> str:
    """Who beats whom, and how surely."""
    if not pairs:
        return ""
    rows = [
        [
            f"<b>{html.escape(p['name'])}</b> over {html.escape(p['over'])}",
            _estimate(p) + _meter(p),
        ]
        for p in pairs
    ]
    note = "The chance that a seed of one scores more than a seed of the other; 0.5 is even."
    return card("Probability of improvement", note, _table(["", ""], rows))


def _meter(p: Json) -> str:
    band = ""
    if p["low"] is not None:
        left, width = 100 * p["low"], 100 * (p["high"] - p["low"])
        band = f'<i style="left:{left:.1f}%;width:{width:.1f}%"></i>'
    place = f"left:calc({p['value']:.3f} * (100% - 3px))"
    return f'<span class="meter">{band}<b style="{place}"></b></span>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already."""
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(
        f'<tr><td class="name">{row[0]}</td>{"".join(f"<td>{c}</td>" for c in row[1:])}</tr>'
        for row in rows
    )
    top = f"<thead><tr>{heads}</tr></thead>" if any(head) else ""
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'


def _estimate(estimate: Json) -> str:
    """A value and its interval."""
    if estimate["value"] is None:
        return NONE
    low, high = estimate["low"], estimate["high"]
    interval = "" if low is None else f" <small>[{_number(low)}, {_number(high)}]</small>"
    return f"{_number(estimate['value'])}{interval}"


def _number(x: int | float) -> str:
    text = f"{x:.2f}" if abs(x) < 1000 else f"{x:,.0f}"
    return text.replace("-", MINUS)


def _words(name: str) -> str:
    """`return/agent_0` is the return of agent_0."""
    head, _, agent = name.partition("/")
    return html.escape(f"{head} of {agent}" if agent else name.replace("_", " "))


def _chip(name: str, styles: Styles) -> str:
    return f'<span class="chip" style="--c:{styles[name][0]}"></span>{html.escape(name)}'


def legend(names: list[str], styles: Styles) -> str:
    """The colours of several groups."""
    items = "".join(f"<span>{_chip(name, styles)}</span>" for name in names)
    return f'<div class="legend">{items}</div>' if len(names) > 1 else ""


def value(x: Any) -> str:
    """A setting as a person writes it; a dash where an algorithm has no such setting."""
    if x is None:
        return NONE
    return html.escape(json.dumps(x) if isinstance(x, list) else str(x))
