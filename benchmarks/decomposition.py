"""What VDN, QMIX and QPLEX learn of the two-step game: python benchmarks/decomposition.py

Each learns from 200,000 steps in which all actions are tried alike, from seed 0. Of the state in
which one cell pays 8 it writes what the mixer says of each joint action, beside what that pays and
the best fit of a sum, into decomposition/values.csv, and draws the picture of the guide to value
decomposition. The other branch pays 7: where the greatest number here is less, a team turns away.
"""

import csv
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cooperative import ALIKE, OWN
from matplotlib.figure import Figure
from PIL import Image

from shoal.core.colors import INK, PALETTE, PAPER, SOFT
from shoal.envs.cooperative.two_step import B, TwoStepGame, TwoStepState
from shoal.nn.mixers import Choice
from shoal.registry import make_algorithm
from shoal.training import presets
from shoal.training.devices import prepare
from shoal.training.machine import hardware, versions
from shoal.training.on_device import OnDevice
from shoal.training.representation import representational_gap

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "decomposition" / "values.csv"
STEPS, ENVS, UNROLL, SEED = 200_000, 32, 10, 0
CELLS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def main() -> None:
    """Learns, writes and draws."""
    prepare()
    game = TwoStepGame()
    paid = np.asarray(game.payoffs[1])
    tables = {"what it pays": paid, "the best sum": representational_gap("vdn", paid).values}
    tables |= {name: learned(name, game) for name in ("vdn", "qmix", "qplex")}
    OUT.parent.mkdir(exist_ok=True)
    with OUT.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["table", "first", "second", "value"])
        for name, table in tables.items():
            writer.writerows([name, a + 1, b + 1, f"{table[a, b]:.4f}"] for a, b in CELLS)
    made = {"steps": STEPS, "seed": SEED, "versions": versions(), "hardware": hardware()}
    OUT.with_suffix(".json").write_text(json.dumps(made, indent=2) + "\n")
    draw(tables, ROOT / "docs" / "guides" / "decomposition.png")


def learned(name: str, game: TwoStepGame) -> np.ndarray:
    """What the mixer of an algorithm says of the cells of that state, after training."""
    table: dict[str, Any] = presets.resolve(name, "coop/two_step", False)["algo"]
    algorithm = make_algorithm(name, **{**table, **ALIKE, **OWN.get(name, {})})
    updates = STEPS // (ENVS * UNROLL)
    learner = OnDevice(algorithm, game, ENVS, UNROLL, total_updates=float(updates))

    @jax.jit
    def train() -> Any:
        start = learner.init(jax.random.key(SEED))
        return jax.lax.scan(lambda s, _: learner.update(s), start, None, updates)[0]

    params = train().algorithm.learned.params
    none = jnp.full(2, -1, jnp.int32)
    state = TwoStepState(jnp.int32(B), jnp.int32(1), none, jnp.float32(0))
    now = game._show(state, jnp.float32(0))
    action = jnp.array(CELLS)
    obs, whole = (jnp.broadcast_to(x, (4, *x.shape)) for x in (now.obs, now.global_state))
    q = params["q"].unroll(obs[None], None, jnp.zeros((1, 4), bool))[0]
    legal, acts = jnp.ones(q.shape, bool), jnp.ones((4, 2), bool)
    value = params["mixer"](Choice.of(q, action, legal, acts, whole))
    print(name, np.asarray(value).ravel(), flush=True)
    return np.asarray(value).round(4).reshape(2, 2) + 0.0


def draw(tables: dict[str, np.ndarray], path: Path) -> None:
    """A table a panel, with the greatest number ringed."""
    figure = Figure(figsize=(11.5, 2.9), dpi=150, layout="constrained", facecolor=PAPER)
    for panel, (name, table) in zip(figure.subplots(1, len(tables)), tables.items()):
        panel.set_title(name.upper() if len(name) < 6 else name, color=INK, fontsize=12)
        panel.imshow(table, vmin=-4, vmax=14, cmap="Blues")
        for a, b in CELLS:
            greatest = table[a, b] == table.max()
            ring = dict(boxstyle="circle,pad=0.35", fc="none", ec=PALETTE[1], lw=2.2)
            panel.text(
                *(b, a, f"{table[a, b]:.1f}"),
                **dict(color=INK, fontsize=13, ha="center", va="center", weight="bold"),
                bbox=ring if greatest else None,
            )
        turns = table.max() < 7
        panel.set_xlabel(
            f"{table.max():.1f} {'< 7: turns away' if turns else '> 7: comes here'}",
            color=PALETTE[1] if turns else SOFT,
            fontsize=11,
        )
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)
    figure.savefig(path)
    few = Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
