"""What `distributed_kills.py` runs: the command with its calls written down, or a run in order.

python distributed_child.py train ...      as `shoal train ...`; calls that count go to `calls`
python distributed_child.py in-order N     N steps in the folder `run`, saved again and again
"""

import sys
from pathlib import Path
from typing import Any

import shoal
from shoal.agents.policy_gradient.impala import impala
from shoal.cli.main import main as command
from shoal.distributed.crew import Crew
from shoal.training.devices import prepare
from shoal.training.train import start


def write_down() -> None:
    """Every call whose answer a learner takes, a line each."""
    take = Crew._take

    def taken(crew: Crew, member: Any) -> list[Any]:
        ident = member.calls[0].ident
        found = take(crew, member)
        if any(not answer.lost for answer in found):
            with open("calls", "a") as file:
                print(*ident, file=file)
        return found

    Crew._take = taken


def in_order(steps: int) -> None:
    """A small run whose rows do not depend on chance."""
    prepare(deterministic=True)
    start(
        "impala",
        impala(hidden=(8,)),
        shoal.make("mpe/simple_spread"),
        Path("run"),
        **{"total_steps": steps, "num_envs": 8, "unroll": 10, "workers": 2, "deterministic": True},
        **{"evaluations": 2, "eval_episodes": 4, "checkpoint_seconds": 0.2, "quiet": True},
    )


if __name__ == "__main__":
    if sys.argv[1] == "in-order":
        in_order(int(sys.argv[2]))
    else:
        write_down()
        command()
