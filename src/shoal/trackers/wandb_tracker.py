"""Weights & Biases: a wandb run a member, grouped by the name of the run's directory.

Set up as everywhere, by `wandb login` and the variables WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE.
"""

import os
from pathlib import Path
from typing import Any

from shoal.trackers.tracker import Opened, TrackedRun, Tracker


class WandbTracker(Tracker):
    """Rows as wandb's history, by environment steps."""

    def __init__(self) -> None:
        self._runs: list[Any] = []

    def start(self, run: TrackedRun) -> Opened:
        self._runs = [_open(run, member) for member in range(len(run.settings))]
        first = self._runs[0]
        place = f"wandb sync {Path(first.dir).parent}" if first.offline else first.url
        return Opened([r.starting_step - 1 for r in self._runs], place or "disabled")

    def log(self, member: int, step: int, numbers: dict[str, float]) -> None:
        self._runs[member].log(numbers, step=step, commit=True)

    def finish(self, ok: bool) -> None:
        for run in self._runs:
            run.finish(exit_code=0 if ok else 1)


def _open(run: TrackedRun, member: int) -> Any:
    import wandb  # pyright: ignore[reportMissingImports]

    settings = wandb.Settings(
        console="off",
        silent=True,
        x_disable_stats=member > 0 or run.pid is None,  # the machine is the same for all
        x_stats_pid=run.pid or os.getpid(),
    )
    return wandb.init(
        project=os.environ.get("WANDB_PROJECT") or "shoal",
        group=os.environ.get("WANDB_RUN_GROUP") or run.name,
        name=run.member_name(member),
        id=run.member_id(member),
        resume="allow",
        config=run.member_config(member),
        dir=str(run.place("wandb").parent),
        reinit="create_new",  # leaves the other members' runs alone
        settings=settings,
    )
