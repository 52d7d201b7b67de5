"""One HTML page on some runs: scores, curves, settings, replays, and how to make them again.

It needs no server, no network and no script of its own; replays inside it run in frames of theirs.
"""

import html
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from shoal.core.colors import PALETTE
from shoal.core.errors import may_fail_to, require
from shoal.core.names import headings
from shoal.reports import report_runs, report_tables as tables, svg_chart
from shoal.reports.comparison import compare_groups
from shoal.reports.report_tables import Styles
from shoal.reports.run_groups import RunGroup
from shoal.reports.svg_chart import Interval, Line
from shoal.runs.durable import Json, check_ours, write_atomic

MARK = '<meta name="generator" content="Shoal report">'
NAMED = 4  # algorithms or worlds in a title; of more, their number
BANDS = 5  # groups in a chart of lines with bands; of more, the bands would hide the lines


def save_report(
    groups: dict[str, list[RunGroup]],
    path: Path | str,
    *,
    title: str | None = None,
    reference: str = "scripted",
    replays: bool = True,
) -> Path:
    """Writes `report_html(...)`.

    Raises:
        UserError: the place cannot be written, or holds a file that is not such a report.
    """
    path = Path(path)
    check_writable(path)
    page = report_html(groups, title=title, reference=reference, replays=replays)
    with may_fail_to(f"write {path}"):
        write_atomic(path, page)
    return path


def check_writable(path: Path) -> None:
    """Raises `UserError` where a report would destroy something, or has no folder to be in."""
    require(path.parent.is_dir(), f"{path.parent} is no folder: --out needs one that is there")
    require(
        not path.is_dir(), f"{path} is a folder, expected a file such as {path / 'report.html'}"
    )
    check_ours(path, MARK, "a report of Shoal's", "--out")


def report_html(
    groups: dict[str, list[RunGroup]],
    *,
    title: str | None = None,
    reference: str = "scripted",
    replays: bool = True,
) -> str:
    """The page on the groups of `read_groups`; `compare` says what `reference` may be."""
    report = compare_groups(groups, reference=reference)
    names = list(dict.fromkeys(g["name"] for world in report["worlds"] for g in world["groups"]))
    styles = {name: (PALETTE[i % len(PALETTE)], i >= len(PALETTE)) for i, name in enumerate(names)}
    worlds = headings(groups)
    heading = title or _title(names, list(worlds.values()))
    players = report_runs.embedded_replays(groups) if replays else {}
    body = [_head(heading, report), _notes(report["notes"])]
    if report["aggregate"]:
        body.append(_over_worlds(report["aggregate"], report["worlds"], worlds, styles))
    for world in report["worlds"]:
        body.append(_world(world, worlds[world["environment"]], styles, players))
    body.append(report_runs.section(groups))
    template = resources.files("shoal.reports").joinpath("report_template.html").read_text("utf-8")
    head, tail = template.split("{{body}}")
    return head.replace("{{title}}", html.escape(heading)) + "\n".join(body) + tail


def _title(names: list[str], worlds: list[str]) -> str:
    algorithms = list(dict.fromkeys(name.split(",")[0] for name in names))
    return f"{_listed(algorithms, 'algorithms')} in {_listed(worlds, 'worlds')}"


def _listed(words: Sequence[str], kind: str) -> str:
    """`a, b and c`, or how many they are."""
    if len(words) > NAMED:
        return f"{len(words)} {kind}"
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _head(heading: str, report: Json) -> str:
    seeds = sum(g["seeds"] for world in report["worlds"] for g in world["groups"])
    runs = len(report["runs"])
    said = f"{seeds} trained {_plural(seeds, 'seed')} in {runs} {_plural(runs, 'run')}"
    return (
        f"<header><h1>{html.escape(heading)}</h1>"
        f'<p class="soft">{said}. Scores are of the parameters at the end; a return is'
        " undiscounted, summed over an episode and averaged over agents. Brackets are 95 %"
        " intervals over seeds.</p></header>"
    )


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def _notes(notes: list[str]) -> str:
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    if not notes:
        return ""
    return f'<section class="card notes"><h3>Before reading</h3><ul>{items}</ul></section>'


# Sections -------------------------------------------------------------------------------------


def _over_worlds(
    aggregate: Json, worlds: list[Json], called: dict[str, str], styles: Styles
) -> str:
    """All worlds together: scores by a reference score, and who beats whom."""
    matrix = tables.matrix(worlds, called, styles)
    parts = [
        f"<h2>Over {len(worlds)} worlds</h2>",
        tables.card("Return per agent, IQM", "", matrix),
    ]
    if aggregate["groups"]:
        yards = "; ".join(f"{called[w['environment']]}: {w['reference']['text']}" for w in worlds)
        table = tables.scores(aggregate["groups"], "score", styles, gap=True)
        parts.append(tables.card("Scores, normalised world by world", yards, table))
        strip = _strip(aggregate["groups"], "score", "score", styles)
        profile = _profile(aggregate["groups"], aggregate["thresholds"], "score", styles)
        parts.append(f'<div class="grid2">{strip}{profile}</div>')
    parts.append(tables.beats(aggregate["improvement"]))
    return f"<section>{''.join(parts)}</section>"


def _world(world: Json, called: str, styles: Styles, players: dict[tuple[str, str], str]) -> str:
    groups, name = world["groups"], world["environment"]
    yard = world["reference"]
    note = f"Optimality gap: what is missing to 1, where {yard['text']}." if yard else ""
    scores = tables.card(
        "Return per agent", note, tables.scores(groups, "return", styles, gap=bool(yard))
    )
    charts = [
        _strip(groups, "return", "return per agent", styles),
        _profile(groups, world["thresholds"], "return per agent", styles),
        _curve(groups, styles, "steps", "environment steps", yard),
        _curve(groups, styles, "seconds", "seconds of training", yard),
    ]
    frames = "".join(players.get((name, g["name"]), "") for g in groups)
    # The first to be read is open, and there at once.
    frames = frames.replace("<details>", "<details open>", 1).replace(" loading='lazy'", "", 1)
    parts = [
        f"<h2>{html.escape(called)}</h2>",
        scores,
        tables.legend([g["name"] for g in groups], styles),
        f'<div class="grid2">{"".join(charts)}</div>',
        tables.beats(world["improvement"]),
        tables.metrics(groups, styles),
        tables.settings(groups, styles),
        f'<div class="card replays"><h3>Replays</h3>{frames}</div>' if frames else "",
    ]
    return f"<section>{''.join(parts)}</section>"


# Charts ---------------------------------------------------------------------------------------


def _strip(groups: list[Json], key: str, unit: str, styles: Styles) -> str:
    rows = []
    for g in groups:
        iqm = g[key]["iqm"]
        color = styles[g["name"]][0]
        rows.append(Interval(g["name"], color, iqm["value"], iqm["low"], iqm["high"], g["scores"]))
    note = "A ring is a seed, the line their IQM, the band its interval."
    return tables.card("Every seed", note, svg_chart.interval_chart(rows, x_label=unit))


def _curve(groups: list[Json], styles: Styles, key: str, label: str, yard: Json | None) -> str:
    lines = _lines(groups, [g["curve"][key] for g in groups], "curve", "iqm", styles)
    known = yard if yard and "controller" in yard["high_name"] else None
    reference = (known["high"], "scripted controller") if known else None
    chart = svg_chart.line_chart(
        lines, x_label=label, y_label="return per agent", reference=reference
    )
    note = "IQM over seeds of the evaluations on the way." + _without_bands(groups)
    return tables.card(f"Return by {label}", note, chart)


def _profile(groups: list[Json], thresholds: list[float], unit: str, styles: Styles) -> str:
    lines = _lines(groups, [thresholds] * len(groups), "profile", "value", styles)
    chart = svg_chart.line_chart(
        lines,
        x_label=f"{unit} τ",
        y_label="share of seeds above τ",
        y_range=(0.0, 1.0),
        stepped=True,
    )
    note = "Which share of seeds scores more than τ." + _without_bands(groups)
    return tables.card("Performance profile", note, chart)


def _lines(
    groups: list[Json], xs: list[list[float]], part: str, key: str, styles: Styles
) -> list[Line]:
    """A line for each group, with its band unless there are too many."""
    out = []
    for group, x in zip(groups, xs):
        color, dashed = styles[group["name"]]
        y = group[part]
        line = Line(group["name"], color, x, y[key], y["low"], y["high"], dashed)
        out.append(line if len(groups) <= BANDS else line._replace(low=None, high=None))
    return out


def _without_bands(groups: list[Json]) -> str:
    return f" More than {BANDS} groups are drawn without intervals." * (len(groups) > BANDS)
