"""What the verbs that train have in common: pictures, and a last panel with the scores."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoal import registry
from shoal.cli import browser, sweep
from shoal.cli.table import table
from shoal.core.errors import UserError
from shoal.core.names import heading, to_type
from shoal.training.progress import Reporter


def finish(
    run: Any, reporter: Reporter, pictures: bool | None = None, to_open: bool = False
) -> None:
    """Makes the pictures of a finished run, if they are asked for here or, where nothing is said,
    were when it was started; prints its scores, what was written, and what to do next."""
    drawn, others = [], (None, None) if run.config.sweep else _others(run, reporter)
    if run.config.pictures if pictures is None else pictures:
        drawn = [*_draw(run, reporter)]
    if run.config.sweep:
        reporter.stop()
        sweep.print_table(run.config, run.evaluation["members"], run.config.eval_episodes)
        print(run.directory)
    else:
        reporter.stop()
        print("\n".join(panel(run, *others, reporter.seconds)))
    for path in drawn:
        which = f" ({sweep.describe_member(run.config, 0)})" if run.config.sweep else ""
        print(f"watch it: {path}{which}" if path.suffix == ".html" else path)
    if not run.config.sweep:
        replayed = not drawn or drawn[-1].suffix == ".html"
        compared = others[0] is not None or run.config.environment not in registry.ENVIRONMENTS
        print("next:", *(f"  {line}" for line in _next(run, replayed, compared)), sep="\n")
    if to_open and drawn:
        browser.show(drawn[-1])


def _others(run: Any, reporter: Reporter) -> tuple[Any, Any]:
    """What random and scripted play earn, so far as there is such a thing."""
    from shoal.training.backend import backend_of

    if not backend_of(run.env).on_host:  # those take their time
        reporter.stage("playing at random and by hand, to compare with")
    return run.random, run.scripted


def _draw(run: Any, reporter: Reporter) -> Iterator[Path]:
    """The files of the curve and the replay, where there is something to draw."""
    if any(row["return"] is not None for row in run.metrics):
        reporter.stage("drawing the curve")
        yield run.save_curve()
    reporter.stage("drawing the replay")
    try:
        yield run.save_replay()
    except UserError as error:  # worlds of others need not be able to draw themselves
        reporter.note(f"no replay: {error}")


def panel(run: Any, random: Any, scripted: Any, seconds: dict[str, float]) -> list[str]:
    """The final scores as lines, with those of random play and of a scripted controller, where
    they are known, in the same columns."""
    config = run.config
    count = f"{config.seeds} seed{'s' * (config.seeds > 1)}"
    spent = ", ".join(f"{stage} {s:.1f} s" for stage, s in seconds.items() if s >= 0.05)
    world = f"{heading(config.algorithm)} in {heading(config.environment)}"
    took = f"{sum(seconds.values()):.0f} s ({spent})"
    head = f"{world} · {config.total_steps:,} steps, {count} · {took}"
    scores = _scores(run)
    others = {"random": random, "scripted": scripted}
    known = {name: _by_name(found) for name, found in others.items() if found is not None}
    columns = (_drawn(run.evaluation) if _nash_conv(run) else {}) | known
    rows = [["", "mean", "95 %", *columns]]
    for name, score in scores.items():
        values = [f"{found[name]:.2f}" if name in found else "" for found in columns.values()]
        said = name.replace("return/", "return of ").replace("_", " ")
        interval = f"[{score['low']:.2f}, {score['high']:.2f}]"
        rows.append([said if name != "return" else "return per agent", f"{score['mean']:.2f}"])
        rows[-1] += [interval, *values]
    lines = [head, "", *table(rows), f"  over {config.eval_episodes:,} episodes, greedy"]
    return [*lines, *_remarks(run, known), ""]


def _scores(run: Any) -> dict[str, Any]:
    """The return with its interval, of rivals that of each team, and the environment's metrics."""
    from shoal.core.teams import return_names

    report, spec = run.evaluation, run.env.spec
    teams = return_names(spec)[1:]
    found = {name: report["metrics"][name] for name in teams} or {"return": report["return"]}
    return found | {name: report["metrics"][name] for name, _ in spec.metrics}


def _by_name(found: Any) -> dict[str, float]:
    return {"return": found.mean, **{name: score["mean"] for name, score in found.metrics.items()}}


def _drawn(report: Any) -> dict[str, dict[str, float]]:
    """Of a policy that is assessed as it mixes: the scores of drawn actions, as a column."""
    found = {"return": report["sampled"], **report["sampled_metrics"]}
    return {"drawn": {name: score["mean"] for name, score in found.items()}}


def _nash_conv(run: Any) -> list[float]:
    """Of each seed, at the end of training."""
    last = run.metrics[-run.config.seeds :]
    return [row["eval_nash_conv"] for row in last if "eval_nash_conv" in row]


def _remarks(run: Any, known: dict[str, dict[str, float]]) -> list[str]:
    """How far it came, how far it is from an equilibrium, and whether chance would do better."""
    from shoal.core.teams import are_rivals

    report, lines = run.evaluation, []
    score, rivals = report["return"], are_rivals(run.env.spec)
    if not rivals and len(known) == 2 and known["scripted"]["return"] > known["random"]["return"]:
        low, high = (known[name]["return"] for name in ("random", "scripted"))
        share = 100 * (score["mean"] - low) / (high - low)
        lines.append(f"  {share:.0f} % of the way from random to scripted")
    if conv := _nash_conv(run):
        gain = sum(conv) / len(conv)
        lines.append(
            f"  NashConv {gain:.3f}: what all players could gain by best responses, in sum"
        )
    sampled = report.get("sampled")
    if sampled and not rivals and sampled["low"] > score["high"]:
        better = f"{sampled['mean']:.2f} [{sampled['low']:.2f}, {sampled['high']:.2f}]"
        again = to_type("shoal", "eval", run.directory, "--greedy", "False")
        lines.append(f"  drawn actions earn more than the likeliest ones, {better}: {again}")
    return lines


def _next(run: Any, replayed: bool, compared: bool) -> list[str]:
    """Three commands or so, of those that can do something."""
    where, name = run.directory, run.config.environment
    return [
        *([to_type("shoal", "render", where, "--open")] if replayed else []),
        *([] if compared else [to_type("shoal", "eval", "random", name)]),
        to_type("shoal", "report", where),
        to_type("shoal", "resume", where, "--steps", 2 * run.config.total_steps),
    ]
