"""Learning curves that `benchmarks/` has row by row: how far from equilibrium learners in games
are."""

from matplotlib.figure import Figure

from generate import results
from generate.cache import BUILD
from shoal.registry import ALGORITHMS

DATA = "games/learning.csv"
FOLDER = BUILD / "curves"


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
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, game in zip(figure.subplots(1, len(games), squeeze=False)[0], games):
        for seed in dict.fromkeys(r["seed"] for r in own if r["game"] == game):
            rows = [r for r in own if (r["game"], r["seed"]) == (game, seed)]
            steps = [int(r["steps"]) / 1000 for r in rows]
            for key, width, shade in (("nash_conv", 0.6, 0.4), ("nash_conv_of_average", 1.6, 1.0)):
                axes.plot(steps, [float(r[key]) for r in rows], "C0", lw=width, alpha=shade)
        axes.set(title=game.replace("_", " "), yscale="log", xlabel="thousand steps")
    figure.axes[0].set_ylabel("NashConv")
    return figure
