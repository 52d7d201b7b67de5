"""What each algorithm's example gives on the way: rows in curves/results.csv, for the pages.

    python benchmarks/curves.py [NAME ...]

Every algorithm is trained from its preset where the example on its page trains it, on three seeds
in one program (with workers, one by one), and evaluated greedily twenty times over 100 episodes.
Goes on where it was stopped.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import rows

import shoal
from shoal.registry import ALGORITHMS
from shoal.training.devices import prepare
from shoal.training.evaluation import has_script
from shoal.training.machine import hardware, versions

sys.path.append(str(Path(__file__).parents[1] / "docs"))
from generate.algorithms import example, seeds_at_once

TABLE = Path(__file__).parent / "curves" / "results.csv"
STEPS = 300_000
FEWER = {  # where a matrix game is soon learned, or a gradient step is made every four steps
    "jal": 50_000,
    **dict.fromkeys(("sac", "masac", "ddpg", "td3"), 60_000),
}
SEEDS, EVALUATIONS, EPISODES = 3, 20, 100
COLUMNS = (
    *("algorithm", "environment", "settings", "seed", "step", "return", "random", "scripted"),
    *("device", "versions"),
)


def main() -> None:
    """Fills the table; an algorithm of two names is trained once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    targets = {entry.target: name for name, entry in reversed(ALGORITHMS.items())}
    parser.add_argument("names", nargs="*", default=[*targets.values()][::-1], metavar="NAME")
    prepare()
    for name in parser.parse_args().names:
        known = {row["seed"] for row in rows.read(TABLE) if row["algorithm"] == name}
        together = seeds_at_once(name)
        for first in range(0, SEEDS, together):
            if str(first) not in known:
                _train(name, first, together)


def _train(name: str, first: int, seeds: int) -> None:
    world, settings = example(name)
    out = Path(tempfile.mkdtemp(prefix="shoal-")) / "run"
    run = shoal.train(
        name,
        shoal.make(world, **settings),
        total_steps=FEWER.get(name, STEPS),
        seed=first,
        seeds=seeds,
        out=out,
        evaluations=EVALUATIONS,
        eval_episodes=EPISODES,
    )
    beside = {"random": f"{run.random.mean:.3f}", "scripted": _scripted(world, settings)}
    log = run.metrics
    shutil.rmtree(out.parent)
    for row in log:
        if "eval_return" in row:
            place = (name, world, json.dumps(settings) if settings else "", row["seed"])
            found = beside | {"step": row["step"], "return": f"{row['eval_return']:.3f}"}
            made = {"device": hardware()["device"], "versions": json.dumps(versions())}
            rows.append(TABLE, COLUMNS, dict(zip(COLUMNS, place)) | found | made)
    print(name, world, f"{log[-1]['seconds']:.0f} s", flush=True)


def _scripted(world: str, settings: dict[str, bool]) -> str:
    """The hand-written controller's return; nothing where there is none."""
    env = shoal.make(world, **settings)
    if not has_script(env):
        return ""
    return f"{shoal.evaluate('scripted', env, episodes=1000).mean:.3f}"


if __name__ == "__main__":
    main()
