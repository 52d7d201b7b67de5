"""What papers and peers say of an algorithm, tried: one row a training in papers/results.csv.

    python benchmarks/papers.py                # what is missing from the table
    python benchmarks/papers.py two_step       # QMIX, VDN and IQL in the two-step game
    python benchmarks/papers.py pendulum       # SAC, DDPG and TD3 in Pendulum-v1, 20,000 steps

A row holds the greedy return of the final parameters. In the two-step game (Rashid et al. 2018) the
best return is 8, and a sum of values settles for 7. Stable-Baselines3's zoo has SAC at -157.0, DDPG
at -152.1 and TD3 at -151.9 in Pendulum after 20,000 steps (one run each). Seeds from 0 up, on which
nothing was chosen.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import rows

import shoal
from shoal.training import presets
from shoal.training.devices import prepare
from shoal.training.run import hardware, versions

TABLE = Path(__file__).parent / "papers" / "results.csv"
COLUMNS = ("algorithm", "environment", "steps", "seed", "episodes", "return", "device", "versions")
TWO_STEP = presets.resolve("qmix", "coop/two_step", False)  # the same for all three


def trainings() -> Iterator[tuple[str, str, str, int, dict]]:
    """Claim, algorithm, environment, seed and what differs from the preset."""
    run = {key: TWO_STEP[key] for key in ("total_steps", "num_envs", "unroll")}
    for algorithm in ("qmix", "vdn", "iql"):
        for seed in range(10):
            yield (
                "two_step",
                algorithm,
                "coop/two_step",
                seed,
                {"preset": "none", **TWO_STEP["algo"], **run},
            )
    for algorithm in ("sac", "ddpg", "td3"):
        for seed in range(3):
            yield "pendulum", algorithm, "gymnasium:Pendulum-v1", seed, {"total_steps": 20_000}


def main() -> None:
    """Fills the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("claims", nargs="*", default=["two_step", "pendulum"])
    claims = parser.parse_args().claims
    prepare()
    for claim, algorithm, environment, seed, settings in trainings():
        if claim in claims and (algorithm, environment, str(seed)) not in _known():
            row = measure(algorithm, environment, seed, settings)
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
