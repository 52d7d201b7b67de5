"""Reference scores of every environment, for its page: python benchmarks/scores.py

What random actions earn, and the hand-written controller where there is one: 1,000 episodes, seed
0, the environment as its name makes it. Rows that scores/scores.csv has already stay.
"""

import json
from pathlib import Path

import rows

import shoal
from shoal.registry import ENVIRONMENTS
from shoal.training.evaluation import has_script
from shoal.training.machine import versions

TABLE = Path(__file__).parent / "scores" / "scores.csv"
COLUMNS = (
    *("environment", "policy", "episodes", "seed", "return", "low", "high"),
    *("metrics", "versions"),
)
EPISODES = 1000


def main() -> None:
    """Adds the rows that are missing."""
    known = {(r["environment"], r["policy"]) for r in rows.read(TABLE)}
    for name in ENVIRONMENTS:
        env = shoal.make(name)
        for policy in ("random", "scripted") if has_script(env) else ("random",):
            if (name, policy) in known:
                continue
            found = shoal.evaluate(policy, env, episodes=EPISODES, seed=0)
            row = {"environment": name, "policy": policy, "episodes": EPISODES, "seed": 0}
            row |= {"return": found.mean, "low": found.low, "high": found.high}
            row = {k: f"{x:.4f}" if isinstance(x, float) else x for k, x in row.items()}
            row["metrics"] = json.dumps({k: round(x["mean"], 4) for k, x in found.metrics.items()})
            row["versions"] = json.dumps(versions())
            rows.append(TABLE, COLUMNS, row)
            print(*(row[c] for c in COLUMNS[:7]), flush=True)


if __name__ == "__main__":
    main()
