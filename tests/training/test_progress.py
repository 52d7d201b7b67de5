"""What a line of progress says."""

import pytest

from shoal.training.progress import Reporter


def test_the_progress_line_has_the_slowest_worker(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"step": 500.0, "steps_per_second": 100.0, "idle": 0.5, "workers": 2.5}
    row |= {"worker_steps_per_second_min": 2.4, "worker_steps_per_second_max": 1234.0}
    row |= {"slowest_worker": 1.0, "worker_lag_max": 4.0}
    with Reporter(1000) as reporter:
        reporter.update(row, last=True)
    assert capsys.readouterr().err.split(" · ")[1:-1] == [
        *("100 steps/s", "idle 0.50"),
        "workers 2.50, each 2 (worker 1) to 1,234 steps/s, up to 4.0 updates behind",
    ]
