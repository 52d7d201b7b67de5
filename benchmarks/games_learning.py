"""How near to equilibrium learners come in self-play, by environment steps.

    python benchmarks/games_learning.py [--steps 500000] [--seeds 3]

Independent PPO and independent Q-learning train in matching pennies, rock-paper-scissors and Kuhn
poker; regret matching (in Kuhn poker at every information set: CFR) plays the same games without
sampling. Writes games/learning.csv, with how it was made and a picture beside it: NashConv of the
policy and of the average of all policies so far, for each seed. Q-learning's policy is what it
explores with. Payoffs are not scaled: NashConv is 2 where both always play heads, or rock, and
11/12 for uniform play in Kuhn poker.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from matplotlib.figure import Figure

import shoal
from shoal.envs.game.tree import TreeGame
from shoal.games import cfr, gains, kuhn, mixture, nash_conv, regret_matching
from shoal.runs.fields import from_fields
from shoal.training import presets
from shoal.training.machine import hardware, versions
from shoal.training.on_device import OnDevice

HERE = Path(__file__).parent
GAMES = ("matching_pennies", "rock_paper_scissors", "kuhn")
POINTS = 40
LEARNERS = ("ippo", "iql")
COLORS = {"ippo": "#0072b2", "iql": "#e69f00", "regret matching": "#009e73"}


def main() -> None:
    """Trains and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "games" / "learning.csv")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for game in GAMES:
        for name in LEARNERS:
            for seed in range(options.seeds):
                for steps, now, mean in learn(name, f"game/{game}", options.steps, seed):
                    rows.append(row(game, name, seed, steps, now, mean))
                print(*rows[-1].values(), flush=True)
        rows += [row(game, "regret matching", 0, *point) for point in regrets(game)]
        print(*rows[-1].values(), flush=True)
    write(options.out, rows)


def write(out: Path, rows: list[dict[str, Any]]) -> None:
    """The table, how it was made, and its picture."""
    out.parent.mkdir(exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    settings = {name: presets.resolve(name, "game/kuhn", continuous=False) for name in LEARNERS}
    made = {"versions": versions(), "hardware": hardware(), "settings": settings}
    out.with_suffix(".json").write_text(json.dumps(made, indent=2) + "\n")
    draw(rows).savefig(out.with_suffix(".png"))


def draw(rows: list[dict[str, Any]]) -> Figure:
    """A panel for each game: the average policy's NashConv by steps, a line for each seed."""
    figure = Figure(figsize=(10.5, 3.6), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(GAMES), sharey=True)
    runs = dict.fromkeys((r["game"], r["algorithm"], r["seed"]) for r in rows)
    for panel, game in zip(panels, GAMES):
        for key in runs:
            points = [r for r in rows if (r["game"], r["algorithm"], r["seed"]) == key]
            if key[0] == game:
                x = [max(1, int(r["steps"])) for r in points]
                y = [float(r["nash_conv_of_average"]) for r in points]
                label = key[1] if str(key[2]) == "0" else None
                panel.loglog(x, y, color=COLORS[key[1]], label=label, linewidth=1.4)
        panel.set_title(game.replace("_", " "), fontsize=11, loc="left")
        panel.set_xlabel("steps of the environment (regret matching: iterations)", fontsize=8)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("NashConv of the average policy")
    panels[0].legend(frameon=False, fontsize=9)
    return figure


def learn(name: str, game: str, steps: int, seed: int) -> Iterator[tuple[int, float, float]]:
    """Steps, NashConv of the policy, and of the average policy, during one training."""
    env = shoal.make(game)
    table = presets.resolve(name, game, continuous=False)
    algorithm = shoal.make_algorithm(name, **from_fields(table["algo"]))
    each = table["num_envs"] * table["unroll"]
    updates = -(-steps // each)
    learner = OnDevice(algorithm, env, table["num_envs"], table["unroll"], float(updates))
    update = eqx.filter_jit(lambda learner, state: learner.update(state)[0])
    state = eqx.filter_jit(lambda learner, key: learner.init(key))(learner, jax.random.key(seed))
    marks = {round(updates * (k + 1) / POINTS) for k in range(POINTS)}
    mean, recent = None, []
    for done in range(updates + 1):
        recent.append(env.behaviour(algorithm.policy(state.algorithm)))
        if done in marks or done == 0:
            mean = average(env, mean, done + 1 - len(recent), recent)
            yield done * each, gap(env, recent[-1]), gap(env, mean)
            recent = []
        if done < updates:
            state = update(learner, state)


def regrets(game: str) -> Iterator[tuple[int, float, float]]:
    """Steps, NashConv of the policy, and of the average policy, of regret matching."""
    if game == "kuhn":
        found = cfr(kuhn(), 100_000, "cfr", report=2500)
        yield from (
            (int(t), float("nan"), float(x)) for t, x in zip(found.iterations, found.nash_conv)
        )
        return
    env = shoal.make(f"game/{game}")
    begin = [np.arange(1.0, n + 1) / np.arange(1.0, n + 1).sum() for n in env.num_actions]
    played = regret_matching(env.game, 100_000, start=begin, every=2500)
    for k, t in enumerate(played.times):
        now, mean = ([x[k] for x in xs] for xs in (played.profiles, played.average))
        yield int(t), gap(env, now), gap(env, mean)


def gap(env: Any, policy: Any) -> float:
    """NashConv: what the players could gain by best responses, each alone, in sum."""
    if isinstance(env, TreeGame):
        return nash_conv(env.form, policy)
    return float(gains(env.game, policy).sum())


def average(env: Any, mean: Any, count: int, recent: list[Any]) -> Any:
    """The mean of `count` policies, whose mean is given, and of the recent ones."""
    policies = recent if mean is None else [mean, *recent]
    weights = [1.0] * len(recent) if mean is None else [float(count), *[1.0] * len(recent)]
    if isinstance(env, TreeGame):
        return mixture(env.form, policies, weights)
    return [np.average(x, axis=0, weights=weights) for x in zip(*policies)]


def row(game: str, name: str, seed: int, steps: int, now: float, mean: float) -> dict[str, Any]:
    """A line of the table."""
    return {
        "game": game,
        "algorithm": name,
        "seed": seed,
        "steps": steps,
        "nash_conv": "" if np.isnan(now) else f"{now:.6g}",
        "nash_conv_of_average": f"{mean:.6g}",
    }


if __name__ == "__main__":
    main()
