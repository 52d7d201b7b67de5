"""`shoal compare` and `shoal report` as typed: tables, one JSON object, and refusals."""

import json

import pytest
from paper_runs import write_run

from shoal.cli import compare, report
from shoal.cli.arguments import Arguments
from shoal.cli.main import run
from shoal.core.errors import UserError


@pytest.fixture
def runs(tmp_path):
    settings = {"epochs": 1, "kind": "wide", "clip": 0.1}
    return [
        str(write_run(tmp_path / "first", [-3.0, -4.0, -5.0], algo={"clip": 0.2})),
        str(write_run(tmp_path / "second", [-8.0, -4.5], algorithm="a2c", algo=settings)),
    ]


def printed(capsys, *arguments):
    assert run(["compare", *arguments]) == 0
    return capsys.readouterr().out


def test_tables(capsys, runs):
    out = printed(capsys, *runs, "--reference", "observed")
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith("mpe/simple: return per agent after 1,000 steps\n")
    assert next(x for x in lines if "ippo" in x)[:5] == ["ippo", "3", "-4.00", "[-5.00,", "-3.00]"]
    assert "  a2c alone has epochs 1, kind wide" in out.splitlines()
    assert ["algo.clip", "0.2", "0.1"] in lines
    assert not any("learning_rate" in line for line in out.splitlines())  # it does not differ
    assert ["ippo", "over", "a2c", "0.83"] in [line[:4] for line in lines]  # 5 of 6 pairs
    assert "gap: the lowest seed -8.00 counts as 0, the highest seed -3.00 as 1" in out
    assert "note: a group has 2 seeds" in out


def test_json_is_one_object_wherever_the_flag_stands(capsys, runs):
    first = json.loads(printed(capsys, *runs, "--json", "--reference=none"))
    assert json.loads(printed(capsys, "--json", *runs, "--reference", "none")) == first
    assert set(first) == {"environment", "worlds", "aggregate", "runs", "notes"}
    (world,) = first["worlds"]
    assert set(world) == {"environment", "reference", "groups", "improvement", "thresholds"}
    assert set(world["groups"][0]) == {
        *("name", "algorithm", "runs", "seeds", "scores", "steps", "return", "optimality_gap"),
        *("metrics", "settings", "curve", "profile"),
    }
    assert [r["directory"] for r in first["runs"]] == runs
    assert len(world["groups"][0]["profile"]["value"]) == len(world["thresholds"]) == 101


def test_scripted_play_is_the_reference_where_nothing_is_said(capsys, runs):
    (world,) = json.loads(printed(capsys, *runs, "--json"))["worlds"]
    yard = world["reference"]
    assert yard["low_name"] == "random play" and yard["low"] < yard["high"]
    expected = 1 - min(1, (-4.0 - yard["low"]) / (yard["high"] - yard["low"]))
    assert world["groups"][0]["optimality_gap"]["value"] == pytest.approx(expected, abs=0.05)


def test_several_worlds(capsys, tmp_path, runs):
    more = [
        str(write_run(tmp_path / "c", [1.0, 2.0, 3.0], world="mpe/simple_tag")),
        str(write_run(tmp_path / "d", [5.0, 6.0], algorithm="a2c", world="mpe/simple_tag")),
    ]
    out = printed(capsys, *runs, *more, "--reference", "observed")
    assert "over 2 worlds" in out
    tail = out.split("over 2 worlds")[1]
    assert any(line.split()[:2] == ["ippo", "3"] for line in tail.splitlines())


def test_marl_eval_is_written_and_other_files_are_kept(capsys, tmp_path, runs):
    even = [runs[0], str(write_run(tmp_path / "e", [1.0, 2.0, 3.0], algorithm="a2c"))]
    path = tmp_path / "out.json"
    for _ in range(2):  # its own file may be written again
        printed(capsys, *even, "--marl-eval", str(path), "--reference", "none")
    assert set(json.loads(path.read_text())["mpe"]["simple"]) == {"ippo", "a2c"}
    path.write_text("{}")
    with pytest.raises(UserError, match=r"exists and is not marl-eval's"):
        compare.run(Arguments.of([*even, "--marl-eval", str(path)]))
    assert path.read_text() == "{}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--at-step", "5"], "did you mean '--at-steps'?"),
        (["--reference", "script"], "did you mean 'scripted'?"),
        (["--at-steps", "0"], "--at-steps is 0, expected at least 1"),
        (["--at-steps", "many"], "at-steps"),
        (["--json=maybe"], "--json is 'maybe', expected True or False"),
    ],
)
@pytest.mark.parametrize("verb", [compare, report])
def test_mistakes_are_one_line(runs, verb, arguments, said):
    if verb is report and "json" in arguments[0]:
        said = "unknown option '--json'"
    with pytest.raises(UserError) as raised:
        verb.run(Arguments.of([*runs, *arguments]))
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_too_few_runs(runs):
    with pytest.raises(UserError, match="two run directories or more"):
        compare.run(Arguments.of([]))
    with pytest.raises(UserError, match="or one with a sweep"):
        compare.run(Arguments.of([*runs[:1], "--reference", "none"]))
    with pytest.raises(UserError, match="a run directory or more"):
        report.run(Arguments.of([]))


def test_a_report_goes_into_the_run_or_here(capsys, monkeypatch, tmp_path, runs):
    monkeypatch.chdir(tmp_path)
    assert report.run(Arguments.of([runs[0], "--reference", "none"])) == 0
    assert "shoal train ippo" in (tmp_path / "first" / "report.html").read_text()
    assert report.run(Arguments.of([*runs, "--reference", "none", "--title", "Two of them"])) == 0
    assert "<h1>Two of them</h1>" in (tmp_path / "report.html").read_text()
    assert capsys.readouterr().out.splitlines()[-1].startswith("report.html")
