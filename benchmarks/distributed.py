"""Training in several processes: what it costs, what it brings, and what it survives.

    python benchmarks/distributed.py WHAT ... [--steps N] [--seeds N] [--tries N] [--folder F]
    python benchmarks/distributed.py rllib --peer-python .venv-rllib/bin/python
    python benchmarks/distributed.py evosax --peer-python .venv-evosax/bin/python

    gang        PPO on more devices and in more processes
    lag         V-trace and no V-trace, acting 0 to 32 updates behind; and its picture
    workers     IMPALA with 4 workers, beside the same without
    servers     A3C and servers of every kind with 4 workers, beside A2C
    evolution   evolution strategies with 8 workers
    kills       4 of 8 workers are killed, twice in a training
    driver      whoever learns is killed, at random and while it saves, and the run resumed
    scaling     rates of 1 to 8 workers and of devices, a model of them, and its picture
    overhead    one worker beside none, in turns, and where the time goes
    soak        memory, descriptors and threads in a long training
    rllib       IMPALA with 4 workers, and RLlib's, in turns
    evosax      generations a second of OpenAI-ES on one core, and evosax's, in turns
    draw        the pictures anew; `tables` prints what all of it says, with intervals

Each writes rows to a CSV of its own in distributed/ as they come, with versions, hardware, seeds
and steps, and goes on where it was stopped. Shorter trainings, for a try, belong in another folder.
Needs Ray; `lag` and `evosax` need gymnax. The peer's interpreter (distributed_peers.py) has
ray[rllib]==2.60.0 and torch, or evosax==0.3.2, gymnax and six. Linux only. Nothing else should run
beside it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import distributed_gang
import distributed_kills
import distributed_lag
import distributed_overhead
import distributed_peers
import distributed_runs
import distributed_scaling
import distributed_soak
import distributed_tables

HERE = Path(__file__).parent


def draw(options: argparse.Namespace) -> None:
    """The pictures, from the tables that are there."""
    distributed_lag.draw(options)
    distributed_scaling.draw(options)


WHAT: dict[str, Callable[[argparse.Namespace], None]] = {
    "gang": distributed_gang.fill,
    "lag": distributed_lag.fill,
    "workers": distributed_runs.workers,
    "servers": distributed_runs.servers,
    "evolution": distributed_runs.evolution,
    "kills": distributed_kills.workers,
    "driver": distributed_kills.driver,
    "scaling": distributed_scaling.fill,
    "overhead": distributed_overhead.fill,
    "soak": distributed_soak.fill,
    "rllib": distributed_peers.rllib,
    "evosax": distributed_peers.evosax,
    "draw": draw,
    "tables": lambda options: print(distributed_tables.tables(options.folder)),
}


def main() -> None:
    """Fills the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="+", choices=WHAT, metavar="WHAT")
    parser.add_argument("--steps", type=int, help="of every training; the usual ones if not given")
    parser.add_argument("--seeds", type=int, help="from 0 up, or rounds of what is measured")
    parser.add_argument("--tries", type=int, help="kills of whoever learns, or updates of the soak")
    parser.add_argument("--peer-python", help="that has the peer")
    parser.add_argument("--folder", type=Path, default=HERE / "distributed", help="of the tables")
    parser.add_argument("--pictures", type=Path, default=HERE.parent / "docs" / "guides")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for what in options.what:
        WHAT[what](options)


if __name__ == "__main__":
    main()
