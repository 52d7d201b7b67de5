"""Worlds that processes step, beside what they can be compared with.

    python benchmarks/host.py cartpole [--seeds 5] [--peer-python PYTHON]
    python benchmarks/host.py spread [--seeds 5]

`cartpole` trains PPO in Gymnasium's CartPole-v1 here and with Stable-Baselines3, in turns, each
training in a process of its own: the same networks, hyper-parameters and number of environments,
stepped within that process by both.
Steps per second are those of training alone: start-up, compiling and evaluation excepted. PyTorch
has one thread, which is fastest for such networks. `spread` trains MAPPO in MPE2's simple_spread_v3
and in the compiled mpe/simple_spread with the same seeds and settings. Returns are final ones, per
agent, undiscounted, of the likeliest actions. Both write a CSV, and how it was made, to host/.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STEPS, ENVS, UNROLL, EPISODES = 100_000, 8, 32, 100
EPOCHS, RATE, DISCOUNT, LAMBDA = 20, 1e-3, 0.98, 0.8  # as in Stable-Baselines3's zoo
SPREAD = {"total_steps": 200_000, "num_envs": 16, "unroll": 25, "evaluations": 1}
Row = dict[str, Any]


def main() -> None:
    """Runs a comparison, or one training of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["cartpole", "spread", "shoal", "stable-baselines3"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of one training")
    parser.add_argument("--peer-python", default=sys.executable, help="that has the peer")
    options = parser.parse_args()
    if options.what == "shoal":
        print(json.dumps(cartpole_here(options.seed)))
    elif options.what == "stable-baselines3":
        print(json.dumps(cartpole_there(options.seed)))
    elif options.what == "cartpole":
        pythons = {"shoal": sys.executable, "stable-baselines3": options.peer_python}
        rows = [apart(pythons[lib], lib, s) for s in range(options.seeds) for lib in pythons]
        write("cartpole", rows)
    else:
        write("spread", [row for seed in range(options.seeds) for row in spread(seed)])


def apart(python: str, library: str, seed: int) -> Row:
    """One training in a process of its own."""
    command = [python, __file__, library, "--seed", str(seed)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    row = {"library": library, "seed": seed} | json.loads(said.splitlines()[-1])
    print(*row.values(), flush=True)
    return row


def cartpole_here(seed: int) -> Row:
    """PPO in CartPole with Shoal."""
    import shoal

    with tempfile.TemporaryDirectory() as folder:
        run = shoal.train(
            "ippo",
            shoal.make("gymnasium:CartPole-v1", in_process=True),
            preset="none",
            total_steps=STEPS,
            num_envs=ENVS,
            unroll=UNROLL,
            evaluations=1,
            eval_episodes=EPISODES,
            seed=seed,
            out=Path(folder) / "run",
            **{"learning_rate": RATE, "discount": DISCOUNT, "gae_lambda": LAMBDA},
            **{"epochs": EPOCHS, "minibatches": 1, "entropy_weight": 0.0},
            # The peer's losses: values as they are, squared errors whole.
            **{"normalise_values": False, "clip_values": False, "value_weight": 1.0},
        )
        assert run.evaluation is not None
        last = run.metrics[-1]
        rate = last["step"] / last["seconds"]
        return {"return": run.evaluation["return"]["mean"], "steps_per_second": rate}


def cartpole_there(seed: int) -> Row:
    """PPO in CartPole with Stable-Baselines3; its default networks are ours."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    torch.set_num_threads(1)
    model = PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", ENVS, seed=seed),
        n_steps=UNROLL,
        batch_size=ENVS * UNROLL,
        n_epochs=EPOCHS,
        gamma=DISCOUNT,
        gae_lambda=LAMBDA,
        learning_rate=lambda remaining: RATE * remaining,
        ent_coef=0.0,
        seed=seed,
        device="cpu",
    )
    start = time.perf_counter()
    model.learn(STEPS)
    seconds = time.perf_counter() - start
    worlds = make_vec_env("CartPole-v1", ENVS, seed=1000 + seed)
    mean, _ = evaluate_policy(model, worlds, n_eval_episodes=EPISODES)
    return {"return": float(mean), "steps_per_second": model.num_timesteps / seconds}


def spread(seed: int) -> list[Row]:
    """MAPPO in the same world, stepped by processes and compiled."""
    import shoal

    rows = []
    for world in ("mpe2:simple_spread_v3", "mpe/simple_spread"):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            settings = SPREAD | {"eval_episodes": 200 if ":" in world else 1000}
            run = shoal.train("mappo", world, preset="mpe/*", seed=seed, out=out, **settings)
            assert run.evaluation is not None
            score, last = run.evaluation["return"]["mean"], run.metrics[-1]
        row = {"world": world, "seed": seed, "return": score}
        rows.append(row | {"steps_per_second": last["step"] / last["seconds"]})
        print(*rows[-1].values(), flush=True)
    return rows


def write(name: str, rows: list[Row]) -> None:
    """The table, and how it was made."""
    from shoal.training.machine import hardware, versions

    out = HERE / "host" / f"{name}.csv"
    out.parent.mkdir(exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    made = {"versions": versions(), "hardware": hardware()}
    out.with_suffix(".json").write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
