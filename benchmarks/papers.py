"""What a paper says of an algorithm, tried: one row a training in papers/results.csv.

    python benchmarks/papers.py      # what is missing: QMIX, VDN and IQL in the two-step game

A row holds the greedy return of the final parameters. In the two-step game (Rashid et al. 2018) the
best return is 8, and a sum of values settles for 7. Seeds from 0 up, on which nothing was chosen.
"""

import json
import shutil
import tempfile
from pathlib import Path

import rows

import shoal
from shoal.training import presets
from shoal.training.devices import prepare
from shoal.training.run import hardware, versions

TABLE = Path(__file__).parent / "papers" / "results.csv"
COLUMNS = ("algorithm", "environment", "steps", "seed", "episodes", "return", "device", "versions")
TWO_STEP = presets.resolve("qmix", "coop/two_step", False)  # the same for all three


def main() -> None:
    """Fills the table."""
    prepare()
    run = {key: TWO_STEP[key] for key in ("total_steps", "num_envs", "unroll")}
    settings = {"preset": "none", **TWO_STEP["algo"], **run}
    for algorithm in ("qmix", "vdn", "iql"):
        for seed in range(10):
            if (algorithm, "coop/two_step", str(seed)) not in _known():
                row = measure(algorithm, "coop/two_step", seed, settings)
                rows.append(TABLE, COLUMNS, {column: row[column] for column in COLUMNS})
                print(*(row[c] for c in COLUMNS[:6]), flush=True)


def measure(
    algorithm: str, environment: str, seed: int, settings: dict, episodes: int = 100
) -> dict:
    """Trains and evaluates; one row of the table. Particles take continuous actions."""
    if environment.startswith("mpe/"):
        how = {"continuous_actions": True}
    else:
        how = {"in_process": True} if environment.startswith(("gymnasium:", "mamujoco:")) else {}
    out = Path(tempfile.mkdtemp(prefix="shoal-")) / "run"
    run = shoal.train(
        algorithm,
        shoal.make(environment, **how),
        seed=seed,
        out=out,
        evaluations=1,
        eval_episodes=episodes,
        **settings,
    )
    report = run.evaluation
    assert report is not None
    seconds = run.metrics[-1]["seconds"]
    shutil.rmtree(out.parent)
    return {
        "algorithm": algorithm,
        "environment": environment,
        "steps": run.config.total_steps,
        "seed": seed,
        "episodes": episodes,
        "return": f"{report['return']['mean']:.3f}",
        "device": f"{hardware()['device']} x {hardware()['devices']}",
        "versions": json.dumps(versions()),
        "seconds": f"{seconds:.0f}",
    }


def _known() -> set[tuple[str, str, str]]:
    return {(r["algorithm"], r["environment"], r["seed"]) for r in rows.read(TABLE)}


if __name__ == "__main__":
    main()
