"""Learning curves that `benchmarks/` has row by row: what the examples on the pages give, and how
far from equilibrium learners in games are."""

import json

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

import shoal
from generate import results
from generate.cache import BUILD
from shoal.registry import ALGORITHMS
from shoal.runs.curve import curve_from_rows, figure

LEARNING, DATA = "curves/results.csv", "games/learning.csv"
FOLDER = BUILD / "curves"
LINES = (
    ("nash_conv", "newest policy, a line a seed", 0.6, 0.4),
    ("nash_conv_of_average", "average of all so far, a line a seed", 1.6, 1.0),
)


def save() -> None:
    """A picture for each algorithm of the table."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ALGORITHMS:
        if _learned(name):
            _learning(name).savefig(FOLDER / f"{name}.png", dpi=110)
        if _played(name):
            _games(name).savefig(FOLDER / f"{name}_games.png", dpi=110)


def learning(name: str) -> str:
    """The example's curve and how it was made; nothing where there is none."""
    rows = _learned(name)
    if not rows:
        return ""
    world, end = rows[0]["environment"], max(int(row["step"]) for row in rows)
    return (
        f"![Return of {name} in {world}, by environment steps](../_build/curves/{name}.png)\n\n"
        f"What the example gives in {end:,} steps: likeliest actions, 100 episodes an evaluation "
        f"(`python benchmarks/curves.py {rows[0]['algorithm']}`, `{LEARNING}`)."
    )


def games(name: str) -> str:
    """The picture of games and what it shows; nothing where there is none."""
    if not _played(name):
        return ""
    picture = f"../_build/curves/{name}_games.png"
    return (
        f"## In games\n\n![Distance to equilibrium of {name} in games]({picture})"
        "\n\nNashConv, what all players could gain by best responses, after steps of self-play: of "
        "the newest policy (thin) and of the average of all so far (thick), a line a seed; 0 is an "
        f"equilibrium (`python benchmarks/games_learning.py`, `{DATA}`)."
    )


def _learned(name: str) -> list[dict[str, str]]:
    """The rows of the example, whichever of the algorithm's names they bear."""
    target = ALGORITHMS[name].target
    return [r for r in results.rows(LEARNING) if ALGORITHMS[r["algorithm"]].target == target]


def _played(name: str) -> list[dict[str, str]]:
    return [r for r in results.rows(DATA) if r["algorithm"] == name]


def _learning(name: str) -> Figure:
    rows = _learned(name)
    points = [
        {"step": int(r["step"]), "seed": int(r["seed"]), "return": float(r["return"])} for r in rows
    ]
    first, world = rows[0], rows[0]["environment"]
    spec = shoal.make(world, **json.loads(first["settings"] or "{}")).spec
    beside = {who: float(first[who]) for who in ("random", "scripted") if first[who]}
    curve = curve_from_rows(points, name)
    return figure([curve], title=f"{name} in {world}", horizon=spec.horizon, beside=beside)


def _games(name: str) -> Figure:
    own = _played(name)
    games = list(dict.fromkeys(r["game"] for r in own))
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, game in zip(figure.subplots(1, len(games), sharey=True, squeeze=False)[0], games):
        for seed in dict.fromkeys(r["seed"] for r in own if r["game"] == game):
            rows = [r for r in own if (r["game"], r["seed"]) == (game, seed)]
            steps = [int(r["steps"]) / 1000 for r in rows]
            for key, label, width, shade in LINES:
                label = label if axes is figure.axes[0] and seed == own[0]["seed"] else None
                heights = [float(r[key]) for r in rows]
                axes.plot(steps, heights, "C0", lw=width, alpha=shade, label=label)
        axes.set(title=game.replace("_", " "), yscale="log", xlabel="thousand steps")
        axes.yaxis.set_minor_formatter(NullFormatter())
    figure.axes[0].set_ylabel("NashConv")
    figure.suptitle(f"{name}: what players could gain by best responses", fontsize=11)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure
