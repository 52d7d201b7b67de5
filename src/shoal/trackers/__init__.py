"""Experiment trackers: a run's rows in wandb, mlflow or trackio as well.

What is down, slow, full or not logged in costs the tracker its rows, never the run: `metrics.jsonl`
stays the truth, and `shoal track DIR --to NAME` sends it whenever there is somebody to take it.
"""

from shoal.trackers.choice import TRACKERS, choose
from shoal.trackers.tracker import Opened, TrackedRun, Tracker, TrackerError

__all__ = ["TRACKERS", "Opened", "TrackedRun", "Tracker", "TrackerError", "choose"]
