"""Metrics have meanings, and what a row is said to hold is what it holds."""

import json

import pytest

import shoal
from shoal.registry import ALGORITHMS
from shoal.training.metrics import EVERY_ROW, MEANINGS, logged


@pytest.mark.parametrize("name", [n for n in ALGORITHMS if n not in ("ppo", "sac")])
def test_every_metric_of_an_algorithm_is_explained(name):
    found = logged(name)
    assert {"skipped_updates", "skipped_in_a_row"} <= set(found) <= MEANINGS.keys()


def test_a_row_holds_what_is_said(tmp_path):
    sizes = {"num_envs": 4, "unroll": 25, "total_steps": 100, "eval_episodes": 2}
    run = shoal.train("a2c", "coop/climbing", out=tmp_path / "run", **sizes)
    row = json.loads((run.directory / "metrics.jsonl").read_text().splitlines()[-1])
    measured = {f"eval_{metric}" for metric, _ in run.env.spec.metrics}
    assert row.keys() == EVERY_ROW.keys() | set(logged("a2c")) | measured | {"seed"}
