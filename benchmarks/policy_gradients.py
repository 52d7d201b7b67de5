"""Policy gradients beside the figures of others: a row a training in policy_gradients/results.csv.

    python benchmarks/policy_gradients.py                # what is missing from the table
    python benchmarks/policy_gradients.py classic        # CartPole, Acrobot, Pendulum, LunarLander
    python benchmarks/policy_gradients.py mujoco         # HalfCheetah, Hopper, Walker2d
    python benchmarks/policy_gradients.py teams          # HalfCheetah in two halves; spread

    python benchmarks/policy_gradients.py sb3 --peer-python .venv-sb3/bin/python
    python benchmarks/policy_gradients.py rejax --peer-python .venv-rejax/bin/python

A row holds the greedy return of the final parameters over 100 episodes, 500 in Pendulum. Seeds from
0 up, on which nothing was chosen. `beside` is what others report: Stable-Baselines3's zoo (one run,
DLR-RM/rl-baselines3-zoo, benchmark.md), Tianshou (mean of 10 seeds at that step, v3,
thu-ml/tianshou, examples/mujoco/benchmark) or XuanCe (5 seeds, v5, agi-brain/xuance-benchmarks).
Environments of MuJoCo and Box2D need the extras `mujoco` and `box2d`. In teams, on-policy learners
have a policy for each agent, ISAC and MASAC one for all; in HalfCheetah-2x3 IPPO's and MAPPO's
presets compute advantages anew in each epoch, which HAPPO and HATRPO cannot. Spread has continuous
actions, and its return is per agent over 25 steps.

The last two train here and with a peer, in turns (peers.py). The peer's interpreter has
stable-baselines3==2.9.2 and gymnasium[mujoco], or rejax==0.1.3 and gymnax<1.
"""

import argparse
from pathlib import Path

import peers
from trainings import Training, fill

from shoal.training.devices import prepare

FOLDER = Path(__file__).parent / "policy_gradients"
PEERS = ("sb3", "rejax")
K = 1000
INDEPENDENT = {"sharing": "independent"}
SPREAD = "mpe/simple_spread"
CONTINUOUS = {"continuous_actions": True}


def host(algorithm: str, name: str, steps: int, seeds: int, beside: str = "") -> Training:
    """A training in worlds of this process. Agents have a policy each."""
    settings = INDEPENDENT if name.startswith("mamujoco:") and algorithm != "masac" else {}
    episodes = 500 if "Pendulum" in name else 100
    return Training(algorithm, name, steps, seeds, beside, settings, {"in_process": True}, episodes)


CLASSIC = [
    host("ppo", "gymnasium:CartPole-v1", 100 * K, 3, "zoo 500"),
    host("ppo", "gymnasium:Acrobot-v1", 1000 * K, 3, "zoo -73.5"),
    host("ppo", "gymnasium:Pendulum-v1", 100 * K, 3, "zoo -172.2"),
    host("ppo", "gymnasium:LunarLander-v3", 1000 * K, 3, "zoo 242.1 (v2)"),
    host("trpo", "gymnasium:CartPole-v1", 100 * K, 3, "zoo 500"),
    host("trpo", "gymnasium:Acrobot-v1", 100 * K, 3, "zoo -83.1"),
    host("trpo", "gymnasium:Pendulum-v1", 100 * K, 3, "zoo -174.6"),
    host("a2c", "gymnasium:Acrobot-v1", 500 * K, 3, "zoo -83.4"),
    *(
        host(algorithm, "gymnasium:Pendulum-v1", 20 * K, 3, f"zoo {zoo}")
        for algorithm, zoo in (("sac", -157.0), ("td3", -151.9), ("ddpg", -152.1))
    ),
]
MUJOCO = [
    host("ppo", "gymnasium:HalfCheetah-v5", 1000 * K, 3, "Tianshou 5650, XuanCe 4942"),
    host("ppo", "gymnasium:Hopper-v5", 1000 * K, 3, "Tianshou 2483, XuanCe 2033"),
    host("ppo", "gymnasium:Walker2d-v5", 1000 * K, 3, "Tianshou 3410, XuanCe 3665"),
    host("trpo", "gymnasium:HalfCheetah-v5", 1000 * K, 2, "Tianshou 4471 at its highest"),
    host("trpo", "gymnasium:Hopper-v5", 1000 * K, 2, "Tianshou 2046 at its highest"),
    host("td3", "gymnasium:HalfCheetah-v5", 100 * K, 2, "Tianshou 5064 at 95 k, XuanCe 1653"),
    host("sac", "gymnasium:HalfCheetah-v5", 100 * K, 2, "Tianshou 6515"),
    host("sac", "gymnasium:Hopper-v5", 100 * K, 2, "Tianshou 2079"),
    host("sac", "gymnasium:HalfCheetah-v5", 300 * K, 2, "Tianshou 9059, XuanCe 7359"),
    host("sac", "gymnasium:Hopper-v5", 300 * K, 2, "Tianshou 3388, XuanCe 1893"),
]
TEAMS = [
    *(
        host(algorithm, "mamujoco:HalfCheetah-2x3", 500 * K, 2)
        for algorithm in ("ippo", "mappo", "happo", "hatrpo")
    ),
    host("masac", "mamujoco:HalfCheetah-2x3", 100 * K, 1),
    Training("mappo", SPREAD, 1000 * K, 3, "XuanCe -11.6 at 10 M", INDEPENDENT, CONTINUOUS),
    Training("happo", SPREAD, 1000 * K, 3, "", INDEPENDENT, CONTINUOUS),
    Training("hatrpo", SPREAD, 1000 * K, 3, "", INDEPENDENT, CONTINUOUS),
    Training("isac", SPREAD, 1000 * K, 3, world=CONTINUOUS),
    Training("masac", SPREAD, 1000 * K, 3, "XuanCe -12.8 at 10 M", world=CONTINUOUS),
]
WHAT = {"classic": CLASSIC, "mujoco": MUJOCO, "teams": TEAMS}


def main() -> None:
    """Fills the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[*WHAT, *PEERS], metavar="WHAT")
    parser.add_argument("--peer-python", help="that has the peer")
    options = parser.parse_args()
    for name in [name for name in options.what if name in PEERS]:
        peers.compare(name, FOLDER / "peers.csv", options.peer_python)
    prepare()
    trainings = [t for name in options.what or WHAT for t in WHAT.get(name, ())]
    fill(FOLDER / "results.csv", trainings, together=False)


if __name__ == "__main__":
    main()
