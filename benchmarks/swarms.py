"""Swarms of any size: policies in more robots than they were trained with, and what a step costs.

    python benchmarks/swarms.py                # what is missing from swarms/returns.csv
    python benchmarks/swarms.py --speed        # rows of swarms/speed.csv, on a quiet machine

Policies are trained with 20 robots in coop/coverage and play at equal density with 20, 80 and
1,000, greedily and not trained again, seeds from 0 up. `scripted` is the hand-written controller,
`random` draws actions. Returns are means over robots; intervals are Student's t over episodes.
Speed is of one environment with random actions, without a policy.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rows

import shoal
from shoal.training.devices import prepare
from shoal.training.machine import hardware, versions
from shoal.training.speed import environment_work

FOLDER = Path(__file__).parent / "swarms"
RETURNS = (
    *("policy", "seed", "environment", "trained_with", "steps", "num_agents", "episodes"),
    *("return", "low", "high", "metrics", "device", "versions"),
)
SPEED = ("environment", "num_agents", "round", "steps_per_second", "device", "versions")
WORLD = "coop/coverage"
TRAINED_WITH = 20
EPISODES = {20: 200, 80: 100, 1000: 10}
LEARN, SEEDS = ("ippo", "mappo"), 3
SIZES, ROUNDS = (20, 100, 300, 1000), 5


def machine() -> dict[str, str]:
    """Where a row was measured."""
    found = hardware()
    return {
        "device": f"{found['device']} x {found['devices']}",
        "versions": json.dumps(versions()),
    }


def returns() -> None:
    """Adds the rows that are missing: those of a policy as it has been trained."""
    table = FOLDER / "returns.csv"
    known = {(r["policy"], r["seed"], r["num_agents"]) for r in rows.read(table)}
    for policy, seeds in ({"scripted": 1, "random": 1} | dict.fromkeys(LEARN, SEEDS)).items():
        for seed in range(seeds):
            missing = [n for n in EPISODES if (policy, str(seed), str(n)) not in known]
            if missing:
                for row in played(policy, seed, missing):
                    rows.append(table, RETURNS, row)
                    print(*(row[c] for c in RETURNS[:9]), flush=True)


def played(policy: str, seed: int, numbers: list[int]) -> Iterator[dict[str, Any]]:
    """Trains a policy, if it learns, and plays with each of those numbers of robots."""
    with tempfile.TemporaryDirectory(prefix="shoal-") as place:
        run = None
        if policy in LEARN:
            home = shoal.make(WORLD, num_agents=TRAINED_WITH)
            out = Path(place) / "run"
            run = shoal.train(policy, home, seed=seed, out=out, evaluations=1)
        for n in numbers:
            env = shoal.make(WORLD, num_agents=n)
            played_by = policy if run is None else run.elsewhere(env).policy
            found = shoal.evaluate(played_by, env, episodes=EPISODES[n], seed=1)
            yield {
                **{"policy": policy, "seed": seed, "environment": WORLD},
                "trained_with": TRAINED_WITH if run else "",
                "steps": run.config.total_steps if run else "",
                **{"num_agents": n, "episodes": EPISODES[n], "return": f"{found.mean:.3f}"},
                **{"low": f"{found.low:.3f}", "high": f"{found.high:.3f}"},
                "metrics": json.dumps({k: round(x["mean"], 4) for k, x in found.metrics.items()}),
                **machine(),
            }


def speed() -> None:
    """Adds rounds: all sizes in turn, so that a busy machine slows all of them."""
    table = FOLDER / "speed.csv"
    done = len(rows.read(table)) // len(SIZES)
    works = {n: environment_work(shoal.make(WORLD, num_agents=n), 1) for n in SIZES}
    for work in works.values():
        work.rate()  # compiles
    for turn in range(done, ROUNDS):
        for n, work in works.items():
            row = {"environment": WORLD, "num_agents": n, "round": turn, **machine()}
            row["steps_per_second"] = f"{work.rate():.0f}"
            rows.append(table, SPEED, row)
            print(*(row[c] for c in SPEED[:4]), flush=True)


def main() -> None:
    """Fills a table."""
    parser = argparse.ArgumentParser(description="Swarms of any size.")
    parser.add_argument("--speed", action="store_true", help="what a step costs")
    prepare()
    (speed if parser.parse_args().speed else returns)()


if __name__ == "__main__":
    main()
