"""Pictures of dynamics: they hold what was asked, and refuse games that they cannot show."""

import numpy as np
import pytest
from matplotlib.image import imread

from shoal.core.errors import UserError
from shoal.games.dynamics.flows import Replicator, replicator
from shoal.games.normal_form import NormalForm
from shoal.games.plots.dynamics import plot_simplex, plot_square

PENNIES = NormalForm.zero_sum([[1, -1], [-1, 1]], title="pennies")
RPS = NormalForm.symmetric([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
BLUE = np.array([0x00, 0x72, 0xB2]) / 255  # of the first run


def blue_pixels(path) -> np.ndarray:
    """Where the first run is drawn, as fractions of the picture from its left and bottom."""
    image = imread(path)
    rows, columns = np.nonzero(np.abs(image[..., :3] - BLUE).max(-1) < 0.02)
    return np.stack([columns / image.shape[1], 1 - rows / image.shape[0]], 1)


def test_a_run_in_the_square_lies_where_it_went(tmp_path) -> None:
    assert not len(blue_pixels(plot_square(tmp_path / "none.png", PENNIES, Replicator())))
    run = replicator(PENNIES, 50, start=([0.9, 0.1], [0.5, 0.5]))
    path = plot_square(
        tmp_path / "one.png", PENNIES, Replicator(), [run], points=[([1, 0], [1, 0])]
    )
    seen = blue_pixels(path)
    # By the chance of the first actions: at the right, half-way up.
    assert len(seen) > 50 and seen[:, 0].min() > 0.5 and 0.3 < seen[:, 1].mean() < 0.8


def test_a_run_in_the_triangle_lies_where_it_went(tmp_path) -> None:
    run = replicator(RPS, 50, symmetric=True, start=[0.1, 0.1, 0.8])
    path = plot_simplex(tmp_path / "one.png", RPS, Replicator(), [run], points=[[1 / 3] * 3])
    seen = blue_pixels(path)
    assert len(seen) > 50 and seen[:, 1].min() > 0.5  # near the third corner, the top


@pytest.mark.parametrize(
    ("draw", "game", "said"),
    [
        (plot_square, RPS, r"actions \(3, 3\), expected \(2, 2\)"),
        (plot_simplex, PENNIES, "not symmetric"),
        (plot_simplex, NormalForm.symmetric(np.eye(2)), "2 actions, expected 3"),
    ],
)
def test_games_of_other_shapes_are_refused(draw, game, said: str, tmp_path) -> None:
    with pytest.raises(UserError, match=said):
        draw(tmp_path / "no.png", game, Replicator())


def test_long_names_neither_shrink_the_triangle_nor_are_cut(tmp_path) -> None:
    names = ["a very long action name", "pay $5 or $10, or more", "third"]
    long = NormalForm.symmetric(RPS.payoffs[0], actions=[names, names], title="long " * 30)
    run = replicator(RPS, 50, symmetric=True, start=[0.1, 0.1, 0.8])
    seen = blue_pixels(plot_simplex(tmp_path / "long.png", long, Replicator(), [run]))
    usual = blue_pixels(plot_simplex(tmp_path / "short.png", RPS, Replicator(), [run]))
    assert len(seen) > 0.5 * len(usual)
    image = imread(tmp_path / "long.png")[..., :3]
    for edge in (image[:2], image[-2:], image[:, :2], image[:, -2:]):
        assert (edge == 1).all()
