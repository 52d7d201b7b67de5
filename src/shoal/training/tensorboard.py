"""Metrics for TensorBoard. A failing disk or writer costs the curves, never the run."""

import warnings
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter


class TensorBoard:
    """Writes every number of a row under its name, one run a member."""

    def __init__(self, path: Path):
        self._path = path
        self._writers: dict[str, SummaryWriter] = {}
        self._broken = False

    def write(self, row: dict[str, Any]) -> None:
        """Writes a row; after a first failure, nothing."""
        if self._broken:
            return
        member = f"seed_{row['seed']}"
        try:
            if member not in self._writers:
                # purge_step: what an interrupted run wrote after its checkpoint is hidden
                writer = SummaryWriter(str(self._path / member), purge_step=row["step"])
                self._writers[member] = writer
            for name, value in row.items():
                if isinstance(value, float):
                    self._writers[member].add_scalar(name, value, row["step"])
        except OSError as error:
            self._broken = True
            message = f"TensorBoard is off: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def close(self) -> None:
        """Flushes and closes."""
        for writer in self._writers.values():
            writer.close()
