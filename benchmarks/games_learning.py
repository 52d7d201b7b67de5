"""How near to equilibrium learners come in self-play, by environment steps.

    python benchmarks/games_learning.py [--steps 500000] [--seeds 3]

Independent PPO and independent Q-learning train in matching pennies, rock-paper-scissors and Kuhn
poker; regret matching (in Kuhn poker at every information set: CFR) plays the same games without
sampling. Writes games/learning.csv: NashConv of the policy and of the average of all policies so
far, for each seed. Q-learning's policy is what it explores with. Rewards are not scaled: a game's
NashConv at random play is 2 (pennies, always heads), 2 (always rock) and 11/12 (uniform, Kuhn).
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

import shoal
from shoal.envs.game.tree import TreeGame
from shoal.games import cfr, gains, kuhn, mixture, nash_conv, regret_matching
from shoal.training import presets
from shoal.training.config import from_fields
from shoal.training.on_device import OnDevice

HERE = Path(__file__).parent
GAMES = ("matching_pennies", "rock_paper_scissors", "kuhn")
POINTS = 40


def main() -> None:
    """Trains and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "games" / "learning.csv")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for game in GAMES:
        for name in ("ippo", "iql"):
            for seed in range(options.seeds):
                for steps, now, mean in learn(name, f"game/{game}", options.steps, seed):
                    rows.append(row(game, name, seed, steps, now, mean))
                print(*rows[-1].values(), flush=True)
        rows += [row(game, "regret matching", 0, *point) for point in regrets(game)]
        print(*rows[-1].values(), flush=True)
    options.out.parent.mkdir(exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


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
