"""One HTML file that plays a recording: no server, no network, nothing to install."""

import html
import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from shoal.core.names import heading
from shoal.core.picture import Bitmap, Circle, Line, Picture, Polygon, Rectangle, Ring, Shape, Text
from shoal.recording.recording import Episode, Recording, running, short_names
from shoal.runs.durable import write_atomic

# How each reduction of a metric is named beside its running value.
REDUCTIONS = {"sum": "so far", "mean": "mean", "max": "highest", "last": "now"}
KINDS = {
    **{Circle: "circle", Ring: "ring", Line: "line", Text: "text", Bitmap: "bitmap"},
    **{Rectangle: "rectangle", Polygon: "polygon"},
}


def save_replay(recording: Recording, path: Path | str) -> Path:
    """Writes the replay; open it in any browser. `#episode=2&step=12` in its address goes there."""
    path = Path(path)
    write_atomic(path, replay_html(recording))
    return path


def replay_html(recording: Recording) -> str:
    """The page. Data is escaped so that no text in it can end the script element."""
    template = (
        resources.files("shoal.recording").joinpath("replay_template.html").read_text("utf-8")
    )
    data = json.dumps(to_json(recording), allow_nan=False, separators=(",", ":"))
    head, tail = template.split("{{data}}")
    head = head.replace("{{title}}", html.escape(f"{heading(recording.environment)} replay"))
    return head + data.replace("<", "\\u003c") + tail


def to_json(recording: Recording) -> dict[str, Any]:
    """A recording as JSON values: numbers have five digits, and null is what is not finite."""
    short = short_names(recording.agents)
    agents = zip(recording.agents, recording.colors, strict=True)
    return {
        "environment": heading(recording.environment),
        "algorithm": recording.algorithm,
        "seed": recording.seed,
        "mean_return": number(recording.mean_return),
        "agents": [{"name": a, "short": short[a], "color": c} for a, c in agents],
        "teams": [[name, agents] for name, agents in recording.teams.items()],
        "metrics": [[name, REDUCTIONS[how]] for name, how in recording.reductions.items()],
        "episodes": [_episode(e, recording) for e in recording.episodes],
    }


def _episode(episode: Episode, recording: Recording) -> dict[str, Any]:
    metrics = {
        name: [number(x) for x in running(episode.metrics[name], how)]
        for name, how in recording.reductions.items()
    }
    return {
        "terminated": episode.terminated,
        "views": [[number(x) for x in p.view] for p in episode.pictures],
        "frames": [_shapes(p) for p in episode.pictures],
        "messages": [[p.messages.get(a, "") for a in recording.agents] for p in episode.pictures],
        "rewards": [[number(x) for x in row] for row in episode.rewards],
        "returns": [[number(x) for x in row] for row in episode.returns],
        "metrics": metrics,
    }


def _shapes(picture: Picture) -> list[dict[str, Any]]:
    return [{"kind": KINDS[type(s)], **_fields(s)} for s in picture.shapes]


def _fields(shape: Shape) -> dict[str, Any]:
    return {name: _value(value) for name, value in shape._asdict().items()}


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_value(x) for x in value]
    return value if isinstance(value, str) else number(value)


def number(x: float | int | np.number) -> float | None:
    """Five significant digits, which no screen can tell from more."""
    return float(f"{float(x):.5g}") if math.isfinite(x) else None
