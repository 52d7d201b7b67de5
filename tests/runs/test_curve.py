"""The picture of a learning curve shows the numbers that it was given."""

import numpy as np
import pytest
from PIL import Image

from shoal.core.errors import UserError
from shoal.math.statistics import student_interval
from shoal.runs.curve import Curve, curve_from_rows, figure, save_curve

STEPS = np.array([0.0, 1000.0, 2000.0])
RETURNS = np.array([[-3.0, -1.0, -2.0], [0.0, 1.0, 5.0], [4.0, 4.0, 4.0]])


def test_lines_bands_and_names():
    drawn = figure(
        [Curve("mappo", STEPS, RETURNS)],
        title="mappo on a world",
        horizon=25,
        beside={"scripted controller": 4.5},
    )
    (axes,) = drawn.axes
    line, reference = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), STEPS)
    np.testing.assert_array_equal(line.get_ydata(), [-2.0, 2.0, 4.0])
    assert set(reference.get_ydata()) == {4.5}
    (band,) = axes.collections
    corners = {tuple(v) for v in band.get_paths()[0].vertices}
    low, high = student_interval(RETURNS)
    for x, y in [*zip(STEPS, low, strict=True), *zip(STEPS, high, strict=True)]:
        assert (x, y) in corners
    assert axes.get_ylabel() == "return per agent, 25 steps"
    assert (
        figure([Curve("", STEPS, RETURNS)], title="", horizon=None).axes[0].get_ylabel()
        == "return per agent"
    )
    assert axes.get_xlabel() == "environment steps"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "mean of 3 seeds" in labels[0] and "4.50" in labels[1]


def test_training_lies_pale_behind_evaluations():
    curves = [Curve("a", STEPS, RETURNS), Curve("b", STEPS, 2 * RETURNS)]
    behind = [Curve("in training", STEPS, c.returns - 1) for c in curves]
    (axes,) = figure(curves, title="", horizon=None, behind=behind).axes
    lines, pale = axes.lines[:2], axes.lines[2:]
    for back, line in zip(pale, lines, strict=True):
        assert (
            back.get_color() == line.get_color()
            and back.get_alpha() < 0.5
            and back.zorder < line.zorder
        )
        np.testing.assert_allclose(back.get_ydata(), line.get_ydata() - 1)
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert named == ["a", "b", "in training"] and len(axes.collections) == 2


def test_one_seed_has_no_band():
    (axes,) = figure([Curve("ippo", STEPS, RETURNS[:, :1])], title="", horizon=25).axes
    assert not axes.collections
    assert axes.get_legend().get_texts()[0].get_text() == "ippo"


def test_the_file_is_a_png_with_ink_on_it(tmp_path):
    path = save_curve(
        tmp_path / "curve.png", [Curve("ippo", STEPS, RETURNS)], title="t", horizon=25
    )
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    image = np.asarray(Image.open(path).convert("RGB"))
    assert image.shape == (672, 1152, 3)
    assert image.std() > 5


def test_rows_of_a_log_become_a_curve():
    rows = [
        {"step": 100, "seed": 0, "return": None},
        {"step": 100, "seed": 1, "return": None},
        {"step": 200, "seed": 1, "return": 2.0},
        {"step": 200, "seed": 0, "return": 1.0, "eval_return": 9.0},
        {"step": 300, "seed": 0, "return": 3.0},
        {"step": 300, "seed": 1, "return": 4.0},
        {"step": 400, "seed": 0, "return": 5.0},
    ]
    curve = curve_from_rows(rows, "ippo")
    assert curve.steps.tolist() == [200, 300]
    assert curve.returns.tolist() == [[1, 2], [3, 4]]
    assert curve_from_rows(rows, "ippo", "eval_return").returns.tolist() == [[9]]


def test_nothing_to_draw_is_an_error():
    empty = curve_from_rows([{"step": 1, "seed": 0, "return": None}], "ippo")
    with pytest.raises(UserError, match="no finished episode"):
        figure([empty], title="", horizon=25)
