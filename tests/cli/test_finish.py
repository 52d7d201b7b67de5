"""The last panel of a run, and what `--open` does."""

from pathlib import Path

import pytest

from shoal.cli import browser, finish
from shoal.cli.main import run
from shoal.training import run as runs
from shoal.training.progress import Reporter
from shoal.training.run import Evaluation, Run

SMALL = [
    *("--steps", "400", "--num-envs", "8", "--unroll", "25", "--evaluations", "1"),
    *("--eval-episodes", "4", "--algo.hidden", "8", "--algo.minibatches", "2"),
    *("--algo.epochs", "1"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("some runs") / "first"
    words = ["train", "ippo", "mpe/simple", *SMALL, "--pictures", "False", "--out", str(out)]
    assert run(words) == 0
    return runs.load(out)


def score(mean: float, **more: float) -> Evaluation:
    metrics = {name: {"mean": value} for name, value in more.items()}
    return Evaluation(mean, mean, mean, mean, metrics)


def test_the_panel_puts_scores_beside_random_and_scripted_ones(trained: Run) -> None:
    report = trained.evaluation or {}
    mean = report["return"]["mean"]
    others = score(mean - 1.0, success=0.25), score(mean + 3.0, success=1.0)
    said = finish.panel(trained, *others, {"compiling": 7.25, "training": 2.0, "drawing": 0.01})
    assert (
        said[0] == "ippo in mpe/simple · 400 steps, 1 seed · 9 s (compiling 7.2 s, training 2.0 s)"
    )
    head, value, *metrics = said[2:-3]
    assert head.split() == ["mean", "95", "%", "random", "scripted"]
    low, high = (f"{report['return'][end]:.2f}" for end in ("low", "high"))
    assert value.split() == [
        *("return", "per", "agent", f"{mean:.2f}", f"[{low},", f"{high}]"),
        *(f"{mean - 1:.2f}", f"{mean + 3:.2f}"),
    ]
    success = next(line for line in metrics if "success" in line)
    assert success.split()[-2:] == ["0.25", "1.00"]
    assert "  25 % of the way from random to scripted" in said


def test_without_other_scores_there_are_no_columns_of_them(trained: Run) -> None:
    said = finish.panel(trained, None, None, {})
    assert said[2].split() == ["mean", "95", "%"]
    assert not any("of the way" in line for line in said)


class Altered(Run):
    """A run that was evaluated otherwise."""

    @property
    def evaluation(self):
        report = dict(super().evaluation or {})
        better = {"mean": 9.0, "low": 8.0, "high": 10.0}
        drawn = {name: {"mean": 0.375} for name in report["metrics"]}
        return report | {"sampled": better, "sampled_metrics": drawn}

    @property
    def metrics(self):
        return [{**row, "eval_nash_conv": 0.125} for row in super().metrics]


def test_it_is_said_where_chance_does_better_and_how_far_an_equilibrium_is(trained: Run) -> None:
    altered = Altered(**{n: getattr(trained, n) for n in Run.__dataclass_fields__})
    said = "\n".join(finish.panel(altered, None, None, {}))
    again = f"shoal eval '{trained.directory}' --greedy False"
    assert f"drawn actions earn more than the likeliest ones, 9.00 [8.00, 10.00]: {again}" in said
    assert "NashConv 0.125" in said
    head, returned, success = said.splitlines()[2:5]
    assert head.split()[-1] == "drawn" and returned.split()[-1] == "9.00"
    assert success.split()[-1] == "0.38"
    plain = "\n".join(finish.panel(trained, None, None, {}))
    assert "drawn actions" not in plain and "NashConv" not in plain


def test_three_commands_are_next_and_can_be_typed(
    trained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    finish.finish(trained, Reporter(quiet=True))
    said = capsys.readouterr().out.splitlines()
    assert said[-4:] == [
        "next:",
        f"  shoal render '{trained.directory}' --open",
        f"  shoal report '{trained.directory}'",
        f"  shoal resume '{trained.directory}' --steps 800",
    ]


@pytest.mark.parametrize("opened", [True, False])
def test_open_shows_the_replay_or_says_where_it_is(
    opened: bool,
    trained: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(browser.webbrowser, "open", lambda uri: bool(asked.append(uri)) or opened)
    assert run(["render", str(trained.directory), "--episodes", "1", "--open"]) == 0
    page = (trained.directory / "replay.html").resolve()
    assert asked == [page.as_uri()]
    said = capsys.readouterr()
    assert str(page) in said.out
    assert said.err == ("" if opened else f"shoal: no browser is found here: open {page}\n")


def test_no_browser_is_tried_where_there_is_no_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(browser.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(browser.webbrowser, "open", lambda _: pytest.fail("a browser was tried"))
    browser.show(Path("page.html"))
    assert capsys.readouterr().err.endswith(f"open {Path('page.html').resolve()}\n")


def test_open_needs_a_replay(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "ippo", "mpe/simple", "--pictures", "False", "--open"]) == 2
    assert "--open shows the replay, which --pictures False leaves out" in capsys.readouterr().err
