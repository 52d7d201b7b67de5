"""The part of a report that speaks of single runs: replays, commands, machines and settings."""

import html
from pathlib import Path

from shoal.core.errors import may_fail_to
from shoal.core.names import to_type
from shoal.reports.report_tables import value
from shoal.reports.reproduce import command
from shoal.reports.run_groups import RunGroup
from shoal.reports.trained_seeds import SeedRun, flat_settings
from shoal.runs.durable import Json

BUDGET = 6 * 2**20  # characters of replays in one page
# A page within a page has no address of its own to write the step into.
NO_ADDRESS = "<script>history.replaceState = () => {};</script>"


def embedded_replays(groups: dict[str, list[RunGroup]]) -> dict[tuple[str, str], str]:
    """For each (world, group) the replay of its first run, as a frame that needs no other file.
    Where there is none, or no room for it, a sentence says what to do."""
    left, out = BUDGET, {}
    for world, members in groups.items():
        for group in members:
            path = group.runs[0] / "replay.html"
            size = path.stat().st_size if path.is_file() else 0
            frame = _frame(path) if 0 < size <= left else ""
            if frame and len(frame) <= left:
                left -= len(frame)
                summary = f"<summary>{html.escape(group.name)}</summary>"
                out[world, group.name] = f"<details>{summary}{frame}</details>"
                continue
            said = f"no replay: make one with {to_type('shoal', 'render', group.runs[0])}"
            if size:
                size = max(size, len(frame))
                said = f"{size / 2**20:.1f} MB, too large to embed: open {path}"
            out[world, group.name] = f"<p>{html.escape(f'{group.name}: {said}')}</p>"
    return out


def _frame(path: Path) -> str:
    """The replay may run its own script and do nothing else."""
    with may_fail_to(f"read {path}"):
        page = path.read_text(encoding="utf-8", errors="replace")
    page = page.replace("<head>", f"<head>{NO_ADDRESS}", 1)
    quoted = page.replace("&", "&amp;").replace("'", "&#39;")
    sandbox = "sandbox='allow-scripts' loading='lazy'"
    return f"<iframe {sandbox} title='Replay' srcdoc='{quoted}'></iframe>"


def section(groups: dict[str, list[RunGroup]]) -> str:
    """Every run: what to type to make it again, on what it was made, and all its settings."""
    runs: dict[Path, list[SeedRun]] = {}
    for members in groups.values():
        for group in members:
            for seed in group.seeds:
                runs.setdefault(seed.run, []).append(seed)
    cards = "".join(_run(run, seeds) for run, seeds in runs.items())
    return f"<section><h2>Runs</h2>{cards}</section>"


def _run(run: Path, seeds: list[SeedRun]) -> str:
    config = seeds[0].config
    numbers = ", ".join(str(s) for s in sorted({seed.seed for seed in seeds}))
    facts = {"Seeds": numbers, "Steps": f"{seeds[0].steps[-1]:,.0f} environment steps a seed"}
    facts |= {
        "Training time": f"{seeds[0].seconds[-1]:,.1f} s, without compiling and evaluating",
        "Machine": _machine(config.get("hardware") or {}),
        "Versions": ", ".join(f"{k} {v}" for k, v in (config.get("versions") or {}).items()),
    }
    listed = "".join(
        f"<dt>{name}</dt><dd>{html.escape(said)}</dd>" for name, said in facts.items() if said
    )
    settings = "".join(
        f"<div><span>{html.escape(name)}</span><span>{value(x)}</span></div>"
        for name, x in flat_settings(config).items()
    )
    return (
        f'<div class="card"><h3>{html.escape(str(run))}</h3>'
        f"<pre>{html.escape(command(config))}</pre><dl>{listed}</dl>"
        f'<details><summary>All settings</summary><div class="columns">{settings}</div></details>'
        "</div>"
    )


def _machine(hardware: Json) -> str:
    if not hardware:
        return ""
    count, kind = hardware.get("devices", 1), hardware.get("platform", "")
    return f"{hardware.get('device')}, {count} {kind} devices, {hardware.get('system')}"
