"""MAPPO and VDN in worlds of other suites, trained inside the compiled scan.

    python benchmarks/suites.py                          # what is missing from the table
    python benchmarks/suites.py --algorithms mappo --worlds "SMAX 3m" --seeds 8 --episodes 256

Writes suites/learning.csv. Runs use the presets, for the steps that `WORLDS` gives. `random`,
`first` and `final` are mean returns over agents of `episodes` episodes a seed: of uniformly random
legal actions, of the first evaluation during training (after `first_step` steps), and of the final
parameters, greedily; `final_sampled` samples. Where a world tells more than its reward, `metric` is
that, greedily too. Overcooked's returns hold the rewards that it names for training; `score` does
not. `suites/smax_before.csv` has the same seeds on the engine before it was recast (afc45da).
"""

import argparse
import json
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import rows

import shoal
from shoal.runs.durable import Json
from shoal.training.devices import prepare
from shoal.training.machine import hardware, versions

TABLE = Path(__file__).parent / "suites" / "learning.csv"


class World(NamedTuple):
    """What is trained in, for how long, and what else is read off an episode."""

    name: str
    settings: dict[str, Any]
    steps: int
    metric: str = ""


TINY = {"shelf_rows": 1, "num_agents": 2, "request_queue_size": 2}
WORLDS = {
    "SMAX 3m": World("jaxmarl:HeuristicEnemySMAX", {"scenario": "3m"}, 1_000_000, "won"),
    "LBF 8x8-2p-2f-coop": World("jumanji:LevelBasedForaging-v0", {}, 2_000_000, "percent_eaten"),
    "RobotWarehouse tiny-2ag": World("jumanji:RobotWarehouse-v0", {"generator": TINY}, 4_000_000),
    "Overcooked cramped room": World(
        "jaxmarl:overcooked", {"layout": "cramped_room", "shaping": 1.0}, 1_000_000, "score"
    ),
}
SUITES = ("jaxmarl", "jumanji")  # packages
COLUMNS = [
    *("algorithm", "world", "steps", "seeds", "random", "first", "first_step", "final"),
    *("final_by_seed", "final_sampled", "metric", "metric_random", "metric_final", "settings"),
    *("seconds", "device", "versions", "episodes", "metric_by_seed"),
]


def main() -> None:
    """Fills the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algorithms", nargs="+", default=["mappo", "vdn"])
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    prepare()
    for world in options.worlds:
        for algorithm in options.algorithms:
            if (algorithm, world) not in _known(options.table):
                row = measure(algorithm, world, options.seeds, options.episodes)
                rows.append(options.table, COLUMNS, row)
                print(*(row[c] for c in COLUMNS[:13]), f"{row['seconds']} s", flush=True)


def measure(algorithm: str, name: str, seeds: int, episodes: int) -> dict[str, Any]:
    """Trains and evaluates; one row of the table."""
    world = WORLDS[name]
    env = shoal.make(world.name, **world.settings)
    firsts: list[Json] = []

    def watch(rows: list[Json]) -> None:
        if not firsts and "eval_return" in rows[0]:
            firsts.extend(rows)

    with tempfile.TemporaryDirectory(prefix="shoal-") as folder:
        run = shoal.train(
            algorithm,
            env,
            total_steps=world.steps,
            seeds=seeds,
            out=Path(folder) / "run",
            evaluations=5,
            eval_episodes=episodes,
            watchers=[watch],
        )
        report, seconds = run.evaluation, run.metrics[-1]["seconds"]
    random = shoal.evaluate("random", env, episodes=episodes)
    assert report is not None
    each = [shoal.evaluate(policy, env, episodes=episodes).metrics for policy in run.policies]
    told = {k: v["mean"] for k, v in report["metrics"].items() if not k.startswith("return/")}
    machine = hardware()
    return {
        "algorithm": algorithm,
        "world": name,
        "steps": world.steps,
        "seeds": seeds,
        "random": f"{random.mean:.3f}",
        "first": f"{sum(r['eval_return'] for r in firsts) / len(firsts):.3f}",
        "first_step": firsts[0]["step"],
        "final": f"{report['return']['mean']:.3f}",
        "final_by_seed": json.dumps([round(m["return"], 3) for m in report["members"]]),
        "final_sampled": f"{report['sampled']['mean']:.3f}",
        "metric": world.metric,
        "metric_random": f"{random.metrics[world.metric]['mean']:.3f}" if world.metric else "",
        "metric_final": f"{told[world.metric]:.3f}" if world.metric else "",
        "settings": json.dumps(run.config.environment_fields),
        "seconds": f"{seconds:.0f}",
        "device": f"{machine['device']} x {machine['devices']}",
        "versions": json.dumps(versions() | {n: metadata.version(n) for n in SUITES}),
        "episodes": episodes,
        "metric_by_seed": json.dumps([round(m[world.metric]["mean"], 3) for m in each])
        if world.metric
        else "",
    }


def _known(table: Path) -> set[tuple[str, str]]:
    return {(r["algorithm"], r["world"]) for r in rows.read(table)}


if __name__ == "__main__":
    main()
