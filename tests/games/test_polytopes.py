"""Vertices counted by hand, by bounds, and found by solving every square system."""

from itertools import combinations

import numpy as np
import pytest

from shoal.games.polytopes import most_vertices, vertices


def all_vertices(matrix: np.ndarray) -> set[tuple[float, ...]]:
    """The oracle: every d of the inequalities that meet in one point, if it is inside."""
    k, d = matrix.shape
    left, right = np.r_[-np.eye(d), matrix], np.r_[np.zeros(d), np.ones(k)]
    found = set()
    for rows in map(list, combinations(range(d + k), d)):
        if np.linalg.matrix_rank(left[rows]) == d:
            point = np.linalg.solve(left[rows], right[rows])
            if (left @ point <= right + 1e-9).all():
                found.add(tuple(np.round(point + 0.0, 9) + 0.0))
    return found


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_a_cube_has_two_to_the_dimension(dimension: int) -> None:
    for kind in (float, int, object):
        found = vertices(np.eye(dimension).astype(int).astype(kind))
        assert found is not None
        assert len(found.points) == 2**dimension == len({tuple(p) for p in found.points.tolist()})
        assert (found.tight.sum(axis=1) == dimension).all()


def test_a_pyramid_has_five_and_floats_are_not_sure() -> None:
    """x, y, z >= 0, x + z <= 1, y + z <= 1: four faces meet at the top, (0, 0, 1)."""
    pyramid = np.array([[1, 0, 1], [0, 1, 1]])
    assert vertices(pyramid.astype(float)) is None
    found = vertices(pyramid)
    assert found is not None and sorted(found.tight.sum(axis=1)) == [3, 3, 3, 3, 4]
    top = found.points[found.tight.sum(axis=1) == 4][0]
    assert top[0] == top[1] == 0 < top[2]


@pytest.mark.parametrize("shape", [(2, 3), (4, 3), (3, 5), (5, 5)])
@pytest.mark.parametrize("kind", ["floats", "integers", "degenerate integers"])
def test_every_vertex_is_found(shape: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(shape[0])
    if kind == "floats":
        matrix = rng.uniform(1, 2, shape)
    else:
        matrix = rng.integers(1, 3 if "degenerate" in kind else 1000, shape)
    found = vertices(matrix)
    assert found is not None
    want = all_vertices(matrix / matrix.max())
    assert len(found.points) == len(want)
    # Points are known up to a factor, which tells any two apart; the origin is not to be scaled.
    points = [p / p.sum() for p in found.points.astype(float) if p.any()]
    assert len(points) == len(want) - 1
    for p in map(np.array, filter(any, want)):
        assert min(np.abs(p / p.sum() - q).max() for q in points) <= 1e-7


def test_numbers_that_outgrow_64_bits_stay_whole() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.integers(10**8, 2 * 10**8, (5, 5))
    whole, floats = vertices(matrix), vertices(matrix / 1e8)
    assert whole is not None and floats is not None and whole.points.dtype == object
    assert {tuple(row) for row in whole.tight} == {tuple(row) for row in floats.tight}


def test_more_variables_than_bits_in_a_word() -> None:
    """A polygon with 70 tangents of a circle for sides."""
    angle = np.linspace(0.01, np.pi / 2 - 0.01, 70)
    matrix = np.c_[np.cos(angle), np.sin(angle)]
    found = vertices(matrix)
    assert found is not None and len(found.points) == 72  # 71 corners between 72 sides, and 0


@pytest.mark.parametrize(
    ("dimension", "inequalities", "most"),
    [(2, 9, 9), (3, 8, 12), (4, 8, 20), (10, 20, 4004), (15, 30, 341_088)],
)
def test_the_upper_bound(dimension: int, inequalities: int, most: int) -> None:
    """A polygon's corners; 2f - 4 in space; f (f - 3) / 2 in four dimensions; known values."""
    assert most_vertices(dimension, inequalities) == most
