"""Bias and variance of the generalised advantage estimate by lambda, for critics of several errors.

    python benchmarks/advantage.py [--walks 1000] [--critics 8] [--draw-only]

A random walk over 19 states begins anywhere and ends with -1 on the left or +1 on the right (Sutton
and Barto's example); nothing is discounted. State s is worth (s - 10) / 10, and a step to the right
0.1 more than that, one to the left 0.1 less. A critic says the value plus a normal error, drawn for
each state. Of both steps from every state, the mean and the variance of the estimate follow from
linear equations; beside them stand those of `shoal.math.gae` over sampled walks.

Bias is what is left without the critic's error in the state itself: that is the same for both
actions, so that it leaves a policy's gradient as it is. Errors are squared and averaged over
states, actions and critics. Writes advantage/curves.csv, with how it was made, and the picture of
the guide to algorithms. Sampled variances that are not the exact ones end the run.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from shoal.core.colors import INK, LINE, PALETTE, PAPER, SOFT
from shoal.math.gae import gae
from shoal.training.machine import hardware, versions

ROOT = Path(__file__).parents[1]
STATES, PAID = 19, 1.0
ERRORS = (0.0, 0.1, 0.25, 0.5)  # deviations; the values' own is 0.55
EXACT = np.linspace(0, 1, 101)
SAMPLED = (*np.linspace(0, 0.9, 10), 0.95, 1.0)
PARTS = ("bias_squared", "variance", "mean_squared_error")
LOWEST, HIGHEST = 2e-4, 1.5  # of the picture's axis

value = (np.arange(1, STATES + 1) - (STATES + 1) / 2) / ((STATES + 1) / 2)
advantage = np.array([-1.0, 1.0])[:, None] / ((STATES + 1) / 2)  # [action, 1]: left, right
walk = (np.eye(STATES, k=1) + np.eye(STATES, k=-1)) / 2


def main() -> None:
    """Computes, samples, writes and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--walks", type=int, default=1000, help="from each state by each action")
    parser.add_argument("--critics", type=int, default=8, help="of each error")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draw-only", action="store_true", help="from the table that is there")
    options = parser.parse_args()
    out = ROOT / "benchmarks" / "advantage" / "curves.csv"
    if not options.draw_only:
        write(out, rows(options), options)
    with out.open() as file:
        draw(list(csv.DictReader(file)), ROOT / "docs" / "guides" / "advantage.png")


def rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Lines of the table: exact and sampled, by critics' error and lambda."""
    draws = np.random.default_rng(options.seed)
    normal = draws.normal(size=(options.critics, STATES))
    walks = Walks(options.walks, draws)
    found = []
    for error in ERRORS:
        critics = value + error * (normal if error else normal[:1])
        exact = {x: exactly(critics, x) for x in (*EXACT, *SAMPLED)}
        sampled = {x: walks.measure(critics, x) for x in SAMPLED}
        for x in SAMPLED:
            if not np.isclose(sampled[x][1], exact[x][1], rtol=0.03, atol=1e-6):
                raise SystemExit(f"variance at {error}, {x}: {sampled[x][1]}, not {exact[x][1]}")
        found += [row("exact", error, x, *exact[x]) for x in EXACT]
        found += [row("sampled", error, x, *sampled[x]) for x in SAMPLED]
        print(error, *(f"{sum(exact[x]):.4f}" for x in SAMPLED), flush=True)
    return found


def exactly(critics: np.ndarray, mixing: float) -> tuple[float, float]:
    """Squared bias and variance, from the first two moments of the estimate.

    With temporal difference d, which state and action decide, and the state s' that follows,

        E[A] = d + lambda E[A'],    E[A^2] = d^2 + 2 lambda d E[A'] + lambda^2 E[A'^2]

    where A' is the estimate in s' of an action that is drawn there.
    """
    delta = beside(critics, -PAID, PAID) - critics[:, None]
    mean_after = np.linalg.solve(np.eye(STATES) - mixing * walk, delta.mean(1).T).T
    after = beside(mean_after)
    cross = delta**2 + 2 * mixing * delta * after
    square_after = np.linalg.solve(np.eye(STATES) - mixing**2 * walk, cross.mean(1).T).T
    mean = delta + mixing * after
    square = cross + mixing**2 * beside(square_after)
    bias = mean - expected(critics)
    return float((bias**2).mean()), float((square - mean**2).mean())


def expected(critics: np.ndarray) -> np.ndarray:
    """What an unbiased estimate is on average: the advantage over what the critic says."""
    return advantage + value - critics[:, None]


def beside(x: np.ndarray, left: float = 0.0, right: float = 0.0) -> np.ndarray:
    """The numbers of the neighbours of each state, `[critic, action, state]`."""
    padded = np.pad(x, ((0, 0), (1, 1)))
    padded[:, 0], padded[:, -1] = left, right
    return np.stack([padded[:, :-2], padded[:, 2:]], axis=1)


class Walks:
    """Walks to their ends, as many from each state by each action."""

    def __init__(self, count: int, draws: np.random.Generator):
        action, state = np.meshgrid([0, 1], np.arange(1, STATES + 1), indexing="ij")
        action, start = (np.repeat(x.ravel(), count) for x in (action, state))
        moves = 2 * draws.integers(2, size=(4000, len(start)), dtype=np.int8) - 1
        moves[0] = 2 * action - 1
        place = start + np.cumsum(moves, axis=0, dtype=np.int16)
        over = (place <= 0) | (place > STATES)
        length = over.argmax(0).max() + 1
        assert over[:length].any(0).all()
        place = place[:length]
        before = np.concatenate([start[None], place[:-1]])
        self.after, self.before = (jnp.clip(x, 0, STATES + 1) for x in (place, before))
        self.ends = jnp.asarray(over[:length])
        self.reward = PAID * jnp.sign(self.after - 1.0) * self.ends
        self.estimate = jax.jit(self._estimate)

    def _estimate(self, critic: jax.Array, mixing: jax.Array) -> jax.Array:
        says = jnp.pad(critic, 1)
        v_tm1, v_t = says[self.before], says[self.after]
        return gae(self.reward, 1.0 - self.ends, v_tm1, v_t, self.ends, mixing)[0]

    def measure(self, critics: np.ndarray, mixing: float) -> tuple[float, float]:
        """Squared bias, without what chance adds to it, and variance."""
        each = [self.estimate(jnp.float32(c), jnp.float32(mixing)) for c in critics]
        found = np.stack(each).astype(float).reshape(len(critics), 2, STATES, -1)
        spread = found.var(-1, ddof=1)
        chance = spread / found.shape[-1]
        bias = found.mean(-1) - expected(critics)
        return float((bias**2 - chance).mean()), float(spread.mean())


def row(source: str, error: float, mixing: float, bias: float, spread: float) -> dict[str, Any]:
    """A line of the table."""
    numbers = dict(zip(PARTS, (f"{x:.6g}" for x in (bias, spread, bias + spread))))
    return {"source": source, "critic_error": error, "lambda": f"{mixing:.4g}", **numbers}


def write(out: Path, table: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """The table, and how it was made."""
    out.parent.mkdir(exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    made = {k: getattr(options, k) for k in ("walks", "critics", "seed")}
    made |= {"versions": versions(), "hardware": hardware()}
    out.with_suffix(".json").write_text(json.dumps(made, indent=2) + "\n")


def draw(table: list[dict[str, Any]], path: Path) -> None:
    """A panel for bias, variance and their sum."""
    figure = Figure(figsize=(11.5, 4.3), dpi=150, layout="constrained", facecolor=PAPER)
    figure.get_layout_engine().set(wspace=0.06)  # pyright: ignore
    panels = figure.subplots(1, 3, sharey=True)
    titles = ("squared bias", "variance", "their sum, the mean squared error")
    for panel, part, title in zip(panels, PARTS, titles):
        style(panel, title)
        for color, error in zip(PALETTE, ERRORS):
            x, y = curve(table, "exact", error, part)
            panel.plot(x, y, color=color, linewidth=2.2)
            dots = curve(table, "sampled", error, part)
            panel.plot(*dots, "o", color=color, markersize=5, markeredgecolor=PAPER)
            if part == "bias_squared" and error:
                say(panel, f"critic's error {error:g}", (0.03, 1.28 * y[3]), color)
            elif part == "mean_squared_error":
                mark(panel, x[y.argmin()], y.min(), color)
    panels[0].set_ylabel("squared error of the advantage", color=INK, fontsize=11)
    figure.savefig(path)
    few = Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def mark(panel: Axes, x: float, y: float, color: str) -> None:
    """The best lambda of a critic; that of an exact one lies below the axis."""
    if y < LOWEST:
        say(panel, "exact critic:\nbest λ = 0", (0.33, 4.2e-4), color)
        return
    panel.plot(x, y, "D", color=PAPER, markeredgecolor=color, markersize=9, mew=2.2)
    say(panel, f"λ = {x:.2f}", (min(x - 0.09, 0.73), 1.55 * y), color)


def say(panel: Axes, text: str, place: tuple[float, float], color: str) -> None:
    """Words beside a curve."""
    panel.text(*place, text, color=color, fontsize=10.5, va="center", weight="bold")


def curve(
    table: list[dict[str, Any]], source: str, error: float, part: str
) -> tuple[np.ndarray, np.ndarray]:
    """One curve of the table."""
    mine = [r for r in table if r["source"] == source and float(r["critic_error"]) == error]
    return np.array([float(r["lambda"]) for r in mine]), np.array([float(r[part]) for r in mine])


def style(panel: Axes, title: str) -> None:
    """What all panels have alike."""
    panel.set_title(title, loc="left", color=INK, fontsize=12)
    panel.set_yscale("log")
    panel.set_xlim(-0.02, 1.02)
    panel.set_ylim(LOWEST, HIGHEST)
    panel.set_xlabel("λ", color=INK, fontsize=12)
    panel.grid(color=LINE, linewidth=0.8)
    panel.tick_params(which="both", colors=SOFT, length=0)
    for side, spine in panel.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LINE)


if __name__ == "__main__":
    main()
