"""What is shown while a run lasts: a line that moves on a terminal, lines elsewhere."""

import io
import re
import sys

import pytest

from shoal.training import progress
from shoal.training.progress import Pace, Reporter


class Terminal(io.StringIO):
    """Standard error of somebody who is there to read."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def row(step: float, rate: float, **more: float) -> dict[str, float]:
    return {"step": step, "steps_per_second": rate, **more}


def test_a_steady_pace_is_what_it_is() -> None:
    pace = Pace()
    for _ in range(5):
        pace.add(300.0, 3.0)
        assert pace.rate == pytest.approx(100.0)


def test_a_stall_does_not_throw_the_pace_and_a_new_one_is_found() -> None:
    pace = Pace()
    for _ in range(10):
        pace.add(100.0, 1.0)
    pace.add(100.0, 60.0)  # a minute for what takes a second
    assert 70 < pace.rate < 100
    for _ in range(3):
        pace.add(100.0, 1.0)
    assert 80 < pace.rate < 100
    for _ in range(30):
        pace.add(100.0, 10.0)
    assert pace.rate == pytest.approx(10.0, rel=0.05)


def test_time_left_is_smoothed_and_counts_down(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = Reporter()
    reporter.begin(1000)
    for step in (100.0, 200.0, 300.0, 400.0, 500.0):
        reporter.update(row(step, 10.0))
    assert reporter._left() == "50 s left"
    clock.now += 20
    assert reporter._left() == "30 s left"
    reporter.update(row(600.0, 0.5))  # 200 seconds where 10 were due
    assert 40 < float(reporter._left().split()[0]) < 80
    capsys.readouterr()


def test_without_a_terminal_each_stage_has_one_line(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Reporter() as reporter:
        reporter.begin(1000)
        reporter.stage("compiling")
        clock.now += 7
        reporter.hint("from the cache")
        for step in (500.0, 1000.0):
            reporter.stage("training")
            clock.now += 3
            reporter.stage("evaluating 20 episodes")
            clock.now += 1
            reporter.update(row(step, 100.0), last=True)
        reporter.stage("drawing the curve")
        reporter.stage("drawing the replay")
        clock.now += 2
    stages = [line for line in capsys.readouterr().err.splitlines() if "steps" not in line]
    assert stages == [
        "compiling · after 0 s",
        "training · after 7 s",
        "evaluating 20 episodes · after 10 s",
        "drawing the curve · after 15 s",
    ]
    assert reporter.seconds == {"compiling": 7, "training": 6, "evaluating": 2, "drawing": 2}


def test_nothing_is_shown_to_who_wants_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=True) as reporter:
        reporter.begin(1000)
        reporter.stage("compiling")
        reporter.update(row(500, 100.0), last=True)
        reporter.note("saved")
    assert capsys.readouterr() == ("", "")


def test_the_line_of_a_terminal_tells_the_stage_and_moves(clock: Clock, terminal: Terminal) -> None:
    reporter = Reporter()
    reporter.begin(1000)
    reporter.stage("compiling")
    reporter.hint("the first time only", after=1.0)
    first = reporter._line().plain
    assert first.endswith(" compiling · 0 s")
    clock.now += 4.5
    later = reporter._line().plain
    assert later.endswith(" compiling · the first time only · 4 s") and later[0] != first[0]
    reporter.stage("training")
    clock.now += 2
    reporter.advance(250)
    bar = reporter._line().plain
    assert "training ━━━━" in bar and bar.endswith(" 25% · 2 s")
    reporter.stage("evaluating 50 episodes")
    assert "evaluating 50 episodes ━━━━" in reporter._line().plain
    reporter.stage("training")
    assert reporter._line().plain.endswith("· 2 s")  # in all, evaluations left out


def test_a_narrow_line_leaves_room_and_has_what_matters(clock: Clock, terminal: Terminal) -> None:
    reporter = Reporter()
    reporter.begin(1_000_000)
    reporter.stage("training")
    numbers = {"return": -1.0, "eval_return": -2.0, "loss": 3.0, "entropy": 4.0}
    reporter.update(row(500_000, 123_456.0, **numbers))
    line = reporter._line()
    assert line.cell_len <= 67
    assert line.plain[2:] == "training ━━━━━━━━ 50% · eval return -2.00 · 4 s left · 0 s"
    reporter._console.width = 140
    wide = reporter._line().plain
    assert "500,000/1,000,000 steps · eval return -2.00" in wide and "return -1.00 · loss" in wide
    reporter._console.width = 12
    assert reporter._line().cell_len <= 9


def test_nothing_of_the_line_is_left(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)  # again: pytest has its own by now
    with Reporter() as outer:
        outer.stage("starting")
        with outer as inner:
            inner.stage("compiling")
            inner.note("warning: \x1b[2J")
        assert outer._live is not None
    said = terminal.getvalue()
    assert "warning: \\x1b[2J" in said
    above = r"[^\n]*\n(\x1b\[\?25h)?\r\x1b\[1A\x1b\[2K"  # up a line, which is cleared
    lines = [line.rpartition("\x1b[2K")[2] for line in re.sub(above, "", said).split("\n")]
    assert not any("compiling" in line or "starting" in line for line in lines)
    assert "\x1b[?25h" in said  # the cursor is back


def test_the_progress_line_has_the_slowest_worker(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"step": 500.0, "steps_per_second": 100.0, "idle": 0.5, "workers": 2.5}
    row |= {"worker_steps_per_second_min": 2.4, "worker_steps_per_second_max": 1234.0}
    row |= {"slowest_worker": 1.0, "worker_lag_max": 4.0}
    with Reporter() as reporter:
        reporter.begin(1000)
        reporter.update(row, last=True)
    assert capsys.readouterr().err.split(" · ")[1:-1] == [
        *("100 steps/s", "idle 0.50"),
        "workers 2.50, each 2 (worker 1) to 1,234 steps/s, up to 4.0 updates behind",
    ]
