"""Teams beside what is the best possible: a row a seed in cooperative/results.csv.

    python benchmarks/cooperative.py               # what is missing from the table
    python benchmarks/cooperative.py games         # matrix games whose best return is known
    python benchmarks/cooperative.py spread        # mpe/simple_spread, discrete
    python benchmarks/cooperative.py continuous    # mpe/simple_spread, continuous

A row holds the greedy return of the final parameters, per agent, over 100 episodes (one of a game
whose episodes are alike). Seeds from 0 up, on which nothing was chosen, are trained in one program.
`beside` is the best return, or what XuanCe reports for 10 M steps (agi-brain/xuance-benchmarks).
"""

import argparse
from pathlib import Path

from trainings import Training, fill

from shoal.training.devices import prepare

TABLE = Path(__file__).parent / "cooperative" / "results.csv"
K = 1000
VALUES = ("iql", "vdn", "qmix", "wqmix", "qplex", "qtran")
OTHERS = ("ippo", "mappo", "coma", "maa2c", "maac", "maddpg", "pqn_vdn", "pqn_iql")
FORGIVING = {"hysteresis": 0.1}
# All actions are tried alike and errors squared: what is learned is what each is worth in the mean.
ALIKE = {"epsilon_end": 1.0, "loss": "squared", "update_ratio": 0.05}
OWN = {"qplex": {"learning_rate": 5e-3}, "wqmix": {"alpha": 0.1}}


def alike(name: str, algorithm: str, **settings: float) -> Training:
    """A training in a matrix of best return 8."""
    settings = ALIKE | OWN.get(algorithm, {}) | settings
    return Training(algorithm, name, 200 * K, 20, "best 8", settings, episodes=1)


GAMES = [
    *(alike("coop/two_step", algorithm) for algorithm in VALUES),
    *(alike("coop/qtran", algorithm) for algorithm in VALUES),
    *(alike("coop/qtran", algorithm, **FORGIVING) for algorithm in ("iql", "vdn")),
    *(
        Training(algorithm, name, 100 * K, 10, f"best {best}", settings, episodes=1)
        for name, best in (("coop/climbing", 275), ("coop/penalty", 250))
        for algorithm, settings in (
            *((algorithm, {}) for algorithm in VALUES + OTHERS),
            *(("iql", FORGIVING), ("vdn", FORGIVING)),
        )
    ),
]
SPREAD = [
    Training(algorithm, "mpe/simple_spread", 3000 * K, 3, beside)
    for algorithm, beside in (
        *(("iql", "XuanCe -19.0"), ("vdn", "XuanCe -13.1"), ("qmix", "XuanCe -54.9")),
        *(("wqmix", "XuanCe -10.5"), ("qplex", ""), ("qtran", ""), ("pqn_vdn", "")),
        *(("coma", ""), ("maac", ""), ("maa2c", "")),
    )
]
CONTINUOUS_ACTIONS = {"continuous_actions": True}
CONTINUOUS = [
    Training(algorithm, "mpe/simple_spread", 2000 * K, 2, beside, world=CONTINUOUS_ACTIONS)
    for algorithm, beside in (
        *(("maddpg", "XuanCe -9.6"), ("matd3", "XuanCe -11.1"), ("iddpg", "XuanCe -11.7")),
        ("facmac", ""),
    )
]
WHAT = {"games": GAMES, "spread": SPREAD, "continuous": CONTINUOUS}


def main() -> None:
    """Fills the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=WHAT, metavar="WHAT")
    options = parser.parse_args()
    prepare()
    fill(TABLE, [training for name in options.what or WHAT for training in WHAT[name]])


if __name__ == "__main__":
    main()
