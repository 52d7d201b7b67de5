"""Learning curves that `benchmarks/` has row by row: how far from equilibrium learners in games
are."""

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from generate import results
from generate.cache import BUILD
from shoal.registry import ALGORITHMS

DATA = "games/learning.csv"
FOLDER = BUILD / "curves"
LINES = (
    ("nash_conv", "newest policy, a line a seed", 0.6, 0.4),
    ("nash_conv_of_average", "average of all so far, a line a seed", 1.6, 1.0),
)


def save() -> None:
    """A picture for each algorithm of the table."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ALGORITHMS:
        if has(name):
            _figure(name).savefig(FOLDER / f"{name}.png", dpi=110)


def has(name: str) -> bool:
    """Whether there is a curve of the algorithm."""
    return any(r["algorithm"] == name for r in results.rows(DATA))


def section(name: str) -> str:
    """The picture and what it shows; nothing where there is none."""
    if not has(name):
        return ""
    return (
        f"## In games\n\n![Distance to equilibrium of {name} in games](../_build/curves/{name}.png)"
        "\n\nNashConv, what all players could gain by best responses, after steps of self-play: of "
        "the newest policy (thin) and of the average of all so far (thick), a line a seed; 0 is an "
        f"equilibrium (`python benchmarks/games_learning.py`, `{DATA}`)."
    )


def _figure(name: str) -> Figure:
    own = [r for r in results.rows(DATA) if r["algorithm"] == name]
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
