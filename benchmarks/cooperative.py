"""Teams beside what is the best possible: a row a seed in cooperative/results.csv.

    python benchmarks/cooperative.py               # what is missing from the table
    python benchmarks/cooperative.py games         # matrix games whose best return is known
    python benchmarks/cooperative.py spread        # mpe/simple_spread, discrete
    python benchmarks/cooperative.py continuous    # mpe/simple_spread, continuous
    python benchmarks/cooperative.py speaker tag   # mpe/simple_speaker_listener, mpe/simple_tag
    python benchmarks/cooperative.py foraging      # Jumanji's, by an interpreter that has it
    python benchmarks/cooperative.py smax          # JaxMARL's, likewise
    python benchmarks/cooperative.py allocation    # goods for bidders, against the exact optimum

    python benchmarks/cooperative.py xuance --peer-python PYTHON
    python benchmarks/cooperative.py jaxmarl --peer-python PYTHON --jaxmarl CHECKOUT [--steps N]

A row holds the greedy return of the final parameters, per agent, over 100 episodes (one of a game
whose episodes are alike). Seeds from 0 up, on which nothing was chosen, are trained in one program.
`beside` is the best return, or what XuanCe reports for 10 M steps (agi-brain/xuance-benchmarks).

The last two train here and with a peer, in turns (peers.py). XuanCe's interpreter has xuance==1.4.4
and pettingzoo==1.24.3, JaxMARL's shoal[jaxmarl], flashbax, hydra-core and wandb.

QMIX's rows beside XuanCe's are of a `hypernet_gain` of 1, as are WQMIX's in the table.
MATD3's and IDDPG's in spread and discrete MADDPG's in tag are of a GPU and a later JAX (`device`).
"""

import argparse
from pathlib import Path

import peers
from trainings import Training, fill

from shoal.training.devices import prepare

TABLE = Path(__file__).parent / "cooperative" / "results.csv"
K = 1000
VALUES = ("iql", "vdn", "qmix", "wqmix", "qplex", "qfix", "qtran")
OTHERS = ("ippo", "mappo", "coma", "maa2c", "maac", "maddpg", "pqn_vdn", "pqn_iql")
TOGETHER = ("sable",)  # who acts on what the others see and do
FORGIVING = {"hysteresis": 0.1}
# All actions are tried alike and errors squared: what is learned is what each is worth in the mean.
ALIKE = {"epsilon_end": 1.0, "loss": "squared", "update_ratio": 0.05}
OWN = {
    **{"qplex": {"learning_rate": 5e-3}, "qfix": {"learning_rate": 5e-3}},
    "wqmix": {"alpha": 0.1},
}


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
            *((algorithm, {}) for algorithm in VALUES + OTHERS + TOGETHER),
            *(("iql", FORGIVING), ("vdn", FORGIVING)),
            *(("jal", {}), ("jal", {"exploration": "combined"})),
        )
    ),
]
SPREAD = [
    Training(algorithm, "mpe/simple_spread", 3000 * K, 3, beside)
    for algorithm, beside in (
        *(("iql", "XuanCe -19.0"), ("vdn", "XuanCe -13.1"), ("qmix", "XuanCe -54.9")),
        *(("wqmix", "XuanCe -10.5"), ("qplex", ""), ("qtran", ""), ("pqn_vdn", "")),
        *(("coma", ""), ("maac", ""), ("maa2c", ""), ("sable", "")),
    )
]
CONTINUOUS_ACTIONS = {"continuous_actions": True}
MARKET = {"num_agents": 8, "num_goods": 12, "rounds": 20}
CONTINUOUS = [
    Training(algorithm, "mpe/simple_spread", 2000 * K, 2, beside, world=CONTINUOUS_ACTIONS)
    for algorithm, beside in (
        *(("maddpg", "XuanCe -9.6"), ("matd3", "XuanCe -11.1"), ("iddpg", "XuanCe -11.7")),
        ("facmac", ""),
    )
]
SPEAKER, TAG = (
    [
        *(Training(a, name, 2000 * K, 2) for a in (*VALUES, *OTHERS, *discrete)),
        *(Training(a, name, 2000 * K, 2, world=CONTINUOUS_ACTIONS) for a in continuous),
    ]
    for name, discrete, continuous in (
        ("mpe/simple_speaker_listener", TOGETHER, ("maddpg", "matd3", "iddpg", "facmac")),
        ("mpe/simple_tag", (), ("maddpg", "matd3", "iddpg")),  # of several teams
    )
)
# By default two must eat at once, all is seen and time ends after 100 steps. In the large one, the
# benchmarks' 15x15-4p-5f, one agent may do for some of the food.
LARGE = {
    "generator": {"grid_size": 15, "fov": 15, "num_agents": 4, "num_food": 5, "force_coop": False}
}
FORAGING = [
    Training(algorithm, "jumanji:LevelBasedForaging-v0", steps, 2, world=world)
    for world in ({}, LARGE)
    for algorithm, steps in (
        *(("mappo", 5000 * K), ("vdn", 2000 * K)),
        *(("qmix", 2000 * K), ("pqn_vdn", 2000 * K)),
    )
]
SMAX = [
    Training(algorithm, "jaxmarl:HeuristicEnemySMAX", 2000 * K, 2, world={"scenario": scenario})
    for scenario in ("3m", "2s3z")
    for algorithm in ("mappo", "vdn", "qmix", "pqn_vdn")
]
ALLOCATION = [
    Training("mappo", "coop/allocation", 3000 * K, 1, world=MARKET | world, episodes=1000)
    for world in (
        *({"welfare": welfare} for welfare in ("nash", "utilitarian", "egalitarian")),
        {"welfare": "utilitarian", "divisible": False},
    )
]
WHAT = {
    **{"games": GAMES, "spread": SPREAD, "continuous": CONTINUOUS},
    **{"speaker": SPEAKER, "tag": TAG, "foraging": FORAGING, "smax": SMAX},
    "allocation": ALLOCATION,
}


def main() -> None:
    """Fills the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[*WHAT, "xuance", "jaxmarl"], metavar="WHAT")
    parser.add_argument("--peer-python", help="that has the peer")
    parser.add_argument("--jaxmarl", type=Path, help="a checkout of it, for its scripts")
    parser.add_argument("--steps", type=int, default=peers.SMAX_STEPS, help="beside JaxMARL")
    options = parser.parse_args()
    if "xuance" in options.what:
        peers.compare("xuance", TABLE.with_name("peers.csv"), options.peer_python)
    if "jaxmarl" in options.what:
        if options.jaxmarl is None:
            parser.error("jaxmarl needs --jaxmarl, a checkout of it")
        more = str(options.steps), str(options.jaxmarl)
        peers.compare("jaxmarl", TABLE.with_name("peers.csv"), options.peer_python, *more)
    prepare()
    fill(TABLE, [training for name in options.what or WHAT for training in WHAT.get(name, ())])


if __name__ == "__main__":
    main()
