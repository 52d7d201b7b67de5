"""What Python shows of evaluations, runs and solutions, and when training shows its progress."""

import sys

import numpy as np
import pytest

import shoal
from shoal.games import classic, equilibria
from shoal.training.progress import is_watched
from shoal.training.run import Evaluation

SCORE = {"mean": 0.5, "iqm": 0.5, "low": 0.25, "high": 0.75}


def test_an_evaluation_is_a_line_a_score():
    found = Evaluation(-1.5, -1.5, -2.0, -1.0, {"<met>": SCORE})
    first, second = str(found).split("\n")
    assert first.split() == ["return", "per", "agent", "-1.500", "[-2.000,", "-1.000]"]
    assert second.split() == ["<met>", "0.500", "[0.250,", "0.750]"]
    table = found._repr_html_()
    assert "<td>&lt;met&gt;</td><td>0.500</td><td>[0.250, 0.750]</td>" in table
    assert "<met>" not in table and table.count("<tr>") == 3


def test_a_run_says_what_and_how_well(tmp_path):
    settings = dict(total_steps=400, num_envs=8, unroll=5, evaluations=1, eval_episodes=8)
    run = shoal.train(
        "ippo", "mpe/simple", out=tmp_path / "<runs>" / "run", hidden=(4,), **settings
    )
    table, score = run._repr_html_(), run.evaluation["return"]
    assert "<td>mpe/simple</td>" in table and "&lt;runs&gt;" in table and "<runs>" not in table
    assert f"<td>return per agent</td><td>{score['mean']:.3f} [" in table


def test_equilibria_are_rows():
    table = equilibria(classic("matching_pennies"))._repr_html_()
    assert "<tr><td>0.5, 0.5</td><td>0.5, 0.5</td><td>" in table
    assert "<th>player 2</th><th>regret</th>" in table and table.count("<tr>") == 2


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("notebook", [True, False])
def test_progress_is_shown_where_somebody_sees_it(monkeypatch, terminal, notebook):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    if notebook:
        monkeypatch.setitem(sys.modules, "ipykernel", np)
    assert is_watched() == (terminal or notebook)
