"""Trains every algorithm in every particle world and keeps one row each in learning/mpe.csv.

    python benchmarks/learning.py                     # what is missing from the table
    python benchmarks/learning.py --algorithms mappo --environments mpe/simple_spread

Rows hold the final parameters' greedy evaluation (1,000 episodes a seed). A return is averaged over
agents and summed over 25 steps; in worlds with opponents all sides learn at once, so that a return
says how the sides stand to each other, not how strong either is. `scripted` is the hand-written
controller's return, `random` that of uniform actions, both over 1,000 episodes.

Rows of first_seed 0 were trained before the engine was recast, on seeds on which presets had been
chosen. `learning/mpe_before.csv` has trainings of that engine (afc45da) on the seeds from 100 up,
to compare with; of adversary, whose preset was then chosen on seeds 100 to 104, also from 200 up,
and of crypto, chosen on seeds up to 204, from 300 up. QMIX's rows are of a `hypernet_gain` of 1.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import rows

import shoal
from shoal import registry
from shoal.training.devices import prepare
from shoal.training.machine import hardware, versions

FIRST_SEED = 100  # of seeds on which no preset was chosen
TABLE = Path(__file__).parent / "learning" / "mpe.csv"
MAIN_METRIC = {
    "mpe/simple_spread": "landmarks_covered",
    "mpe/simple_tag": "captures",
    "mpe/simple_world_comm": "captures",
    "mpe/simple_crypto": "secrecy",
}
COLUMNS = [
    *("algorithm", "environment", "actions", "steps", "seeds", "first_seed"),
    *("return_mean", "return_low", "return_high", "return_iqm", "return_sampled", "return_by_seed"),
    *("metric", "metric_mean", "metric_scripted", "metrics", "scripted", "random"),
    *("seconds", "device", "versions"),
]


def main() -> None:
    """Fills the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algorithms", nargs="+", default=list(registry.ALGORITHMS))
    parser.add_argument("--environments", nargs="+", default=list(registry.ENVIRONMENTS))
    parser.add_argument("--actions", default="discrete", choices=["discrete", "continuous"])
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    prepare()
    for algorithm in options.algorithms:
        for environment in options.environments:
            key = (algorithm, environment, options.actions, options.steps)
            key += (options.seeds, options.first_seed)
            if key in _known(options.table):
                continue
            try:
                row = measure(*key)
            except shoal.UserError as error:  # this algorithm does not fit this action space
                print(f"{algorithm} {environment} {options.actions}: left out: {error}")
                continue
            rows.append(options.table, COLUMNS, row)
            print(*(row[c] for c in COLUMNS[:9]), f"{row['seconds']} s", flush=True)


def measure(
    algorithm: str, environment: str, actions: str, steps: int, seeds: int, first_seed: int
) -> dict:
    """Trains and evaluates; one row of the table."""
    env = shoal.make(environment, continuous_actions=actions == "continuous")
    out = Path(tempfile.mkdtemp(prefix="shoal-")) / "run"
    run = shoal.train(algorithm, env, total_steps=steps, seed=first_seed, seeds=seeds, out=out)
    report, last = run.evaluation, run.metrics[-1]
    assert report is not None
    shutil.rmtree(out.parent)
    scripted = shoal.evaluate("scripted", env, episodes=1000)
    random = shoal.evaluate("random", env, episodes=1000)
    metric = MAIN_METRIC.get(environment, "success")
    score = report["return"]
    return {
        "algorithm": algorithm,
        "environment": environment,
        "actions": actions,
        "steps": steps,
        "seeds": seeds,
        "first_seed": first_seed,
        "return_mean": f"{score['mean']:.3f}",
        "return_low": f"{score['low']:.3f}",
        "return_high": f"{score['high']:.3f}",
        "return_iqm": f"{score['iqm']:.3f}",
        "return_sampled": f"{report['sampled']['mean']:.3f}",
        "metric": metric,
        "metric_mean": f"{report['metrics'][metric]['mean']:.3f}",
        "metric_scripted": f"{scripted.metrics[metric]['mean']:.3f}",
        "scripted": f"{scripted.mean:.3f}",
        "random": f"{random.mean:.3f}",
        "seconds": f"{last['seconds']:.0f}",
        "return_by_seed": json.dumps([round(m["return"], 3) for m in report["members"]]),
        "metrics": json.dumps({k: round(v["mean"], 3) for k, v in report["metrics"].items()}),
        "device": f"{hardware()['device']} x {hardware()['devices']}",
        "versions": json.dumps(versions()),
    }


def _known(table: Path) -> set[tuple]:
    return {
        (
            *(r["algorithm"], r["environment"], r["actions"]),
            *(int(r["steps"]), int(r["seeds"]), int(r["first_seed"])),
        )
        for r in rows.read(table)
    }


if __name__ == "__main__":
    main()
