"""MLflow: an MLflow run a member, in the experiment MLFLOW_EXPERIMENT_NAME or `shoal`.

Where to is said as everywhere, by MLFLOW_TRACKING_URI; `mlflow.db` in the current directory if not.
"""

import os
import time
from collections.abc import Iterator
from typing import Any

from shoal.trackers.tracker import Opened, TrackedRun, Tracker

BATCH = 1000  # metrics that a server takes in one request
ALWAYS = "seconds"  # a measurement that every row has


class MlflowTracker(Tracker):
    """Rows as MLflow's metrics, by environment steps."""

    def __init__(self) -> None:
        self._client: Any = None
        self._runs: list[str] = []

    def start(self, run: TrackedRun) -> Opened:
        # A request that fails is tried again for seconds, not for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow  # pyright: ignore[reportMissingImports]

        self._client = mlflow.MlflowClient()
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or "shoal")
        self._runs, last_steps = [], []
        for member in range(len(run.settings)):
            found = self._find(experiment, run.member_id(member))
            self._runs.append(found or self._create(experiment, run, member))
            last_steps.append(self._last_step(found) if found else -1)
        return Opened(last_steps, f"{mlflow.get_tracking_uri()}, experiment {experiment}")

    def log(self, member: int, step: int, numbers: dict[str, float]) -> None:
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in numbers.items()]
        for first in range(0, len(metrics), BATCH):
            self._client.log_batch(self._runs[member], metrics=metrics[first : first + BATCH])

    def finish(self, ok: bool) -> None:
        for run in self._runs:
            self._client.set_terminated(run, "FINISHED" if ok else "KILLED")

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return found.experiment_id if found else self._client.create_experiment(name)

    def _find(self, experiment: str, id: str) -> str | None:
        """The run that has the id already, which is running again."""
        found = self._client.search_runs([experiment], f"tags.`shoal.id` = '{id}'")
        if not found:
            return None
        self._client.update_run(found[0].info.run_id, status="RUNNING")
        return found[0].info.run_id

    def _create(self, experiment: str, run: TrackedRun, member: int) -> str:
        from mlflow.entities import Param  # pyright: ignore[reportMissingImports]

        tags = {"shoal.id": run.member_id(member), "shoal.group": run.name}
        made = self._client.create_run(experiment, tags=tags, run_name=run.member_name(member))
        params = [Param(name, value) for name, value in _flat(run.member_config(member))]
        for first in range(0, len(params), 100):
            self._client.log_batch(made.info.run_id, params=params[first : first + 100])
        return made.info.run_id

    def _last_step(self, run: str) -> int:
        return max((m.step for m in self._client.get_metric_history(run, ALWAYS)), default=-1)


def _flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings under names with dots, as text of the length that servers take."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)[:500]
