"""Pictures of two players: what they draw is what hand arithmetic says, and nothing overlaps."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle

from shoal.core.errors import UserError
from shoal.games.classic import (
    battle_of_the_sexes,
    chicken,
    coordination,
    matching_pennies,
    prisoners_dilemma,
    random,
    rock_paper_scissors,
)
from shoal.games.correlated import correlated_equilibrium
from shoal.games.dynamics.flows import Replicator
from shoal.games.normal_form import NormalForm
from shoal.games.plots import dynamics
from shoal.games.plots.canvas import place_labels, short
from shoal.games.plots.geometry import (
    correlated_payoffs,
    envelope,
    hull,
    nash_payoffs,
    nash_sets,
    regions,
    responses,
    steps,
    upper_right,
)
from shoal.games.plots.pictures import (
    best_response_figure,
    correlated_figure,
    pareto_figure,
    plot_best_responses,
    plot_correlated,
    plot_pareto,
    save_pictures,
)

# von Stengel (2007), "Equilibrium computation for two-player games": three equilibria.
STENGEL = NormalForm.bimatrix([[3, 3], [2, 5], [0, 6]], [[3, 2], [2, 6], [3, 1]])
# The first row is never worse, and against it the column player is indifferent.
SEGMENTS = NormalForm.bimatrix([[1, 1], [0, 1]], [[2, 2], [0, 1]])
EQUAL = NormalForm.bimatrix([[1, 1], [1, 1]], [[1, 0], [0, 1]])
ZERO = NormalForm.zero_sum(np.zeros((2, 2)))
PNG = b"\x89PNG\r\n\x1a\n"


def drawn(axes, gid: str) -> list[np.ndarray]:
    """The corners of every artist of that name."""
    found = [a for a in (*axes.lines, *axes.patches) if a.get_gid() == gid]
    return [a.get_xy() if isinstance(a, Polygon) else np.array(a.get_data()).T for a in found]


def same_corners(left: np.ndarray, right) -> bool:
    """Whether two polygons have the same corners, in whatever order."""
    right = np.array(right, float)
    near = np.abs(left[:, None] - right[None]).max(-1) < 1e-6
    return left.shape == right.shape and bool(near.any(0).all() and near.any(1).all())


# Best responses ----------------------------------------------------------------------------------


def test_pennies_turn_at_a_half() -> None:
    (axes,) = best_response_figure(matching_pennies()).axes
    # The row player matches: tails below a half of heads, anything at it, heads above.
    (row,) = drawn(axes, "responses 0")
    np.testing.assert_allclose(row, [[0, 0], [0, 0.5], [1, 0.5], [1, 1]])
    (column,) = drawn(axes, "responses 1")
    np.testing.assert_allclose(column, [[0, 1], [0.5, 1], [0.5, 0], [1, 0]])
    (dot,) = drawn(axes, "equilibrium")
    np.testing.assert_allclose(dot, [[0.5, 0.5]])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0\ntails", "1\nheads", "1/2"]
    assert axes.get_ylabel() == "player 2: chance of heads"


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        (prisoners_dilemma, [(0, 0)]),
        (chicken, [(0, 1), (1, 0), (2 / 3, 2 / 3)]),
        (battle_of_the_sexes, [(1, 1), (0, 0), (3 / 5, 2 / 5)]),
    ],
)
def test_every_equilibrium_of_two_by_two_is_on_both_lines(game, expected) -> None:
    (axes,) = best_response_figure(game()).axes
    dots = np.concatenate(drawn(axes, "equilibrium"))
    assert same_corners(dots, expected)
    for player in (0, 1):
        (line,) = drawn(axes, f"responses {player}")
        for dot in dots:  # lines are along the axes: the nearest point of a piece is a clip
            pieces = [np.clip(dot, np.minimum(a, b), np.maximum(a, b)) for a, b in pairwise(line)]
            assert min(np.abs(p - dot).max() for p in pieces) < 1e-9


def test_components_of_degenerate_games_are_whole() -> None:
    (axes,) = best_response_figure(SEGMENTS).axes
    # All of the column's strategies against the first row; all of the row's against column two.
    found = sorted(np.sort(s, axis=0).tolist() for s in drawn(axes, "segment"))
    np.testing.assert_allclose(found, [[[0, 0], [1, 0]], [[1, 0], [1, 1]]], atol=1e-12)
    (axes,) = best_response_figure(EQUAL).axes
    # The row player never cares; the column's line is the equilibria, in three segments.
    assert isinstance(axes.patches[0], Rectangle) and axes.patches[0].get_gid() == "responses 0"
    lengths = [np.ptp(s, axis=0).sum() for s in drawn(axes, "segment")]
    assert sorted(lengths) == pytest.approx([0.5, 0.5, 1.0])
    (axes,) = best_response_figure(ZERO).axes
    (area,) = [p for p in axes.patches if p.get_gid() == "area"]
    assert (area.get_x(), area.get_y(), area.get_width(), area.get_height()) == (0, 0, 1, 1)


def test_steps_where_the_turn_is_at_an_end() -> None:
    # At no chance of the other's first action both are as good, then the second is better.
    np.testing.assert_allclose(
        steps(np.array([[0.0, 1.0], [1.0, 1.0]])), [[0, 1], [0, 1], [0, 0], [1, 0]]
    )
    np.testing.assert_allclose(
        steps(np.array([[1.0, 1.0], [1.0, 0.0]])), [[0, 1], [1, 1], [1, 0], [1, 0]]
    )
    assert steps(np.ones((2, 2))) is None


def test_the_envelope_of_three_by_two_is_von_stengels() -> None:
    ends, best = envelope(responses(STENGEL, 0))
    # Rows gain 3, 5 - 3q and 6 - 6q at chance q of the first column.
    np.testing.assert_allclose(ends, [0, 1 / 3, 2 / 3, 1])
    assert best == [[2], [1], [0]]
    lines, simplex = best_response_figure(STENGEL).axes
    corners = np.concatenate(drawn(lines, "envelope"))
    np.testing.assert_allclose(np.unique(corners, axis=0), [[0, 6], [1 / 3, 4], [2 / 3, 3], [1, 3]])
    dots = np.concatenate(drawn(lines, "equilibrium"))
    assert same_corners(dots, [(1, 3), (2 / 3, 3), (1 / 3, 4)])
    marks = np.concatenate(drawn(simplex, "equilibrium"))
    root = np.sqrt(3) / 2
    # (1, 0, 0), (4/5, 1/5, 0) and (0, 1/3, 2/3), in a triangle of side 1.
    assert same_corners(marks, [(0, 0), (0.2, 0), (1 / 3 + 2 / 3 * 0.5, 2 / 3 * root)])
    for axes in (lines, simplex):  # numbered alike
        assert {"E1", "E2", "E3"} <= {t.get_text() for t in axes.texts}


def test_equal_and_idle_actions_in_the_envelope() -> None:
    ends, best = envelope(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.4, 0.4], [0.5, 0.5]]))
    np.testing.assert_allclose(ends, [0, 0.5, 1])  # the last touches it in one point
    assert best == [[1], [0, 2]]


def test_regions_of_rock_paper_scissors_are_thirds() -> None:
    found = regions(responses(rock_paper_scissors(), 0))
    middle = [1 / 3, 1 / 3, 1 / 3]
    for a, (same, corners) in enumerate(found):
        # Action a beats the one before it and ties with itself: best from where all three gain
        # the same, past an edge's third, to the corner of what it beats.
        it, beats, beaten_by = np.eye(3)[[a, (a + 2) % 3, (a + 1) % 3]]
        edges = [beats / 3 + it * 2 / 3, beats * 2 / 3 + beaten_by / 3]
        assert same == [a] and same_corners(corners, [beats, *edges, middle])
    assert len(found) == 3


def test_responses_best_at_an_edge_or_a_corner_only() -> None:
    found = regions(np.array([[1.0, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0]]))
    assert [same for same, _ in found] == [[0, 3], [1], [2]]
    assert same_corners(found[0][1], np.eye(3))
    assert same_corners(found[1][1], np.eye(3)[[0, 2]]) and same_corners(
        found[2][1], np.eye(3)[[2]]
    )


@pytest.mark.parametrize("seed", range(5))
def test_regions_hold_what_is_best(seed: int) -> None:
    """Every mixture lies in the region of its best response, by the polygon's own edges."""
    values = np.random.default_rng(seed).random((5, 3))
    mixes = np.random.default_rng(seed + 100).dirichlet(np.ones(3), 200)
    best = (mixes @ values.T).argmax(1)
    found = {same[0]: corners for same, corners in regions(values)}
    assert set(best.tolist()) <= set(found)
    for mix, a in zip(mixes, best):
        corners = found[int(a)]
        signs = [
            np.linalg.det(np.stack([p, q, mix])) for p, q in zip(corners, np.roll(corners, -1, 0))
        ]
        assert min(signs) > -1e-12 or max(signs) < 1e-12


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(UserError, match="a player has 2 or 3 actions, the game is 4 x 5"):
        best_response_figure(random((4, 5)))
    with pytest.raises(UserError, match=r"441 action profiles, the limit .* is 400"):
        correlated_figure(random((21, 21)))
    with pytest.raises(UserError, match="160000 outcomes, the limit for a picture is 100000"):
        pareto_figure(random((400, 400)))
    for figure in (best_response_figure, correlated_figure, pareto_figure):
        with pytest.raises(UserError, match="3 players, pictures take 2"):
            figure(random((2, 2, 2)))


def test_only_the_side_that_can_be_drawn_is() -> None:
    (axes,) = best_response_figure(random((3, 5))).axes
    assert axes.get_legend().get_title().get_text() == "best responses of player 2"


# Payoffs -----------------------------------------------------------------------------------------


def test_the_polygon_of_chicken() -> None:
    """By hand: told to yield, b >= a/2; told to dare, b >= 2d, of p = [[a, b], [b, d]]. The most
    of both gains is at a = 2b, d = 0, so b = 1/4; the least at a = 0, b = 2d, so d = 1/5."""
    expected = [(2, 7), (7, 2), (5.25, 5.25), (3.6, 3.6)]
    assert same_corners(correlated_payoffs(chicken()), expected)
    # With two actions each, not to listen is to do one of two things whatever one is told.
    assert same_corners(correlated_payoffs(chicken(), coarse=True), expected)


def test_sets_that_are_points_or_segments() -> None:
    np.testing.assert_allclose(correlated_payoffs(prisoners_dilemma()), [[1, 1]], atol=1e-7)
    np.testing.assert_allclose(correlated_payoffs(rock_paper_scissors()), [[0, 0]], atol=1e-7)
    # Three places to meet: from all equally often, 1/3, to always together.
    assert same_corners(correlated_payoffs(coordination(3)), [(1 / 3, 1 / 3), (1, 1)])
    np.testing.assert_allclose(correlated_payoffs(ZERO), [[0, 0]], atol=1e-12)


@pytest.mark.parametrize("coarse", [False, True])
def test_the_polygon_is_the_whole_set(coarse: bool) -> None:
    """No direction, of many others, leads out of it; and every corner is some optimum."""
    game = random((3, 4), seed=3)
    corners = correlated_payoffs(game, coarse)
    for angle in np.linspace(0.01, 2 * np.pi, 40):
        normal = np.array([np.cos(angle), np.sin(angle)])
        aim = np.tensordot(normal, np.asarray(game.payoffs), 1)
        best = correlated_equilibrium(game, aim, coarse).value
        assert (corners @ normal).max() == pytest.approx(best, abs=1e-6)


def test_units_do_not_matter_to_the_polygon() -> None:
    game = chicken()
    other = NormalForm(np.asarray(game.payoffs) * np.array([1e6, 1e-4])[:, None, None])
    scaled = correlated_payoffs(other) / np.array([1e6, 1e-4])
    assert same_corners(scaled, correlated_payoffs(game))


def test_coarse_sets_hold_the_others_in_the_picture() -> None:
    figure = correlated_figure(STENGEL)
    (axes,) = figure.axes
    feasible, coarse, correlated = (p.get_xy()[:-1] for p in axes.patches)
    assert same_corners(feasible, [(0, 3), (2, 2), (6, 1), (5, 6)])
    for inner, outer in ((correlated, coarse), (coarse, feasible)):
        for a, b in zip(outer, np.roll(outer, -1, axis=0)):  # anticlockwise: inside is left
            edge, there = b - a, inner - a
            assert (edge[0] * there[:, 1] - edge[1] * there[:, 0] > -1e-6).all()
    nash = np.concatenate(drawn(axes, "nash"))
    # Payoffs of the three equilibria; the second has y = (2/3, 1/3) and x = (4/5, 1/5, 0).
    assert same_corners(nash, [(3, 3), (3, 14 / 5), (4, 8 / 3)])
    assert [t.get_text() for t in figure.legends[0].get_texts()][
        1
    ] == "coarse correlated equilibria"


def test_a_set_that_is_the_same_twice_is_drawn_once() -> None:
    (axes,) = correlated_figure(chicken()).axes
    assert len(axes.patches) == 2
    texts = [t.get_text() for t in axes.figure.legends[0].get_texts()]
    assert texts[1] == "correlated equilibria, coarse or not"


def test_payoffs_of_a_component_fill_their_box() -> None:
    sets, complete = nash_sets(SEGMENTS)
    boxes = [nash_payoffs(SEGMENTS, s).tolist() for s in sets]
    # Against the first row: 1 and 2 whatever the column does; in column two: 1, and 1 to 2.
    assert complete and sorted(boxes) == [[[1, 1], [1, 2]], [[1, 1], [2, 2]]]
    (zero,), _ = nash_sets(ZERO)
    assert nash_payoffs(ZERO, zero).tolist() == [[0, 0], [0, 0]]


def test_games_too_large_for_all_equilibria_have_the_pure_ones() -> None:
    sets, complete = nash_sets(coordination(12))
    assert not complete and len(sets) == 12
    (axes,) = pareto_figure(coordination(12)).axes
    texts = [t.get_text() for t in axes.figure.legends[0].get_texts()]
    assert "Nash equilibria, the pure ones" in texts


def test_the_front_of_the_prisoners() -> None:
    (axes,) = pareto_figure(prisoners_dilemma()).axes
    assert same_corners(drawn(axes, "front")[0], [(0, 5), (3, 3), (5, 0)])
    np.testing.assert_allclose(drawn(axes, "steps")[0], [[0, 5], [0, 3], [3, 3], [3, 0], [5, 0]])
    assert same_corners(drawn(axes, "mixtures")[0], [(0, 5), (3, 3), (5, 0)])
    np.testing.assert_allclose(drawn(axes, "nash"), [[[1, 1]]])
    np.testing.assert_allclose(drawn(axes, "welfare"), [[[1, 1]]], atol=1e-7)
    named = {t.get_text(): t.xy for t in axes.texts}
    assert named["cooperate, defect"] == (0, 5) and len(named) == 4


def test_a_front_that_mixtures_beat() -> None:
    game = NormalForm.bimatrix([[4, 0], [1, 0]], [[0, 4], [1, 0]])
    (axes,) = pareto_figure(game).axes
    # (1, 1) is dominated by no outcome, but by the middle of (4, 0) and (0, 4).
    assert same_corners(drawn(axes, "front")[0], [(0, 4), (1, 1), (4, 0)])
    assert same_corners(drawn(axes, "mixtures")[0], [(0, 4), (4, 0)])


def test_the_most_welfare_of_chicken_is_marked() -> None:
    (axes,) = pareto_figure(chicken()).axes
    np.testing.assert_allclose(drawn(axes, "welfare"), [[[5.25, 5.25]]], atol=1e-7)


def test_outcomes_of_one_point_share_a_label() -> None:
    (axes,) = pareto_figure(coordination(3)).axes
    assert sorted(t.get_text() for t in axes.texts) == [
        "actions 1, 1\nactions 2, 2\nactions 3, 3",
        "actions 1, 2\nactions 1, 3\nand 4 more",
    ]


# Geometry and labels -----------------------------------------------------------------------------


def look(artist) -> tuple:
    """What tells an artist from others: its colour, and how its line, mark or hatch is drawn."""
    if isinstance(artist, Line2D):
        line = artist.get_linestyle() if artist.get_linestyle() == "None" else "line"
        dashed = artist.is_dashed()
        return to_hex(artist.get_color()), line, dashed, artist.get_marker(), artist.get_mfc()
    return to_hex(artist.get_facecolor(), True), artist.get_hatch()


@pytest.mark.parametrize("make", [best_response_figure, correlated_figure, pareto_figure])
@pytest.mark.parametrize(
    "game", [battle_of_the_sexes(), chicken(), prisoners_dilemma(), matching_pennies(), EQUAL]
)
def test_all_that_is_drawn_is_in_the_legend(make, game: NormalForm) -> None:
    figure = make(game)
    explained = {look(handle) for handle in figure.legends[0].legend_handles}
    for artist in (*figure.axes[0].lines, *figure.axes[0].patches):
        assert look(artist) in explained, (artist.get_gid(), look(artist), explained)


def test_the_square_of_a_dynamic_has_the_axes_of_best_responses(monkeypatch, tmp_path) -> None:
    game, shown = battle_of_the_sexes(), []
    monkeypatch.setattr(dynamics, "save", lambda figure, path: shown.append(figure) or path)
    points = [(x[0], y[0]) for x, y in nash_sets(game)[0]]
    dynamics.plot_square(tmp_path, game, Replicator(), points=points)
    (square,), (responding,) = shown[0].axes, best_response_figure(game).axes
    for name in ("xlabel", "ylabel", "xlim", "ylim"):
        assert getattr(square, f"get_{name}")() == getattr(responding, f"get_{name}")()
    for kind in ("x", "y"):
        texts = [getattr(axes, f"get_{kind}ticklabels")()[:2] for axes in (square, responding)]
        ends = [[text.get_text() for text in each] for each in texts]
        assert ends == [["0\nfootball", "1\nopera"]] * 2
    marks = {tuple(point) for point in square.lines[-1].get_xydata().round(6).tolist()}
    dots = np.concatenate(drawn(responding, "equilibrium"))
    assert marks == {tuple(point) for point in dots.round(6).tolist()} and len(marks) == 3


def test_hulls() -> None:
    square = [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert hull([*square, [0.5, 0.5], [0.5, 0], [1, 1]]).tolist() == square
    assert hull([[0, 0], [1, 1], [0.5, 0.5]]).tolist() == [[0, 0], [1, 1]]
    assert hull([[2, 3], [2, 3]]).tolist() == [[2, 3]]
    # Just under the front, and so not of it, though no corner beats it.
    corners = hull([[0, 10], [1, 8.9], [10, 0], [9, 0.5]])
    assert upper_right(corners).tolist() == [[0, 10], [10, 0]]


def test_long_names_are_cut() -> None:
    assert short("a name", 6) == "a name" and short("a name", 5) == "a na\u2026"


@pytest.mark.parametrize("seed", range(4))
def test_labels_keep_off_each_other_and_off_points(seed: int) -> None:
    figure = pareto_figure(random((4, 5), seed=seed))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [t.get_window_extent() for t in axes.texts]
    assert len(boxes) >= 8  # of 20 some have no room
    dots = axes.transData.transform(drawn(axes, "outcomes")[0])
    frame = axes.get_window_extent()
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])
        assert not ((dots > box.min) & (dots < box.max)).all(1).any()
        assert (
            frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        )


def test_labels_without_room_are_left_out() -> None:
    (axes,) = pareto_figure(prisoners_dilemma()).axes
    before = len(axes.texts)
    points = np.full((40, 2), 2.0)
    written = place_labels(axes, points, ["a label of some length"] * 40, points[:0])
    assert 0 < len(written) < 40 and len(axes.texts) == before + len(written)


@pytest.mark.parametrize("make", [best_response_figure, correlated_figure, pareto_figure])
def test_nothing_is_cut_however_long_the_names_are(make) -> None:
    names = ["_an action with a long name that says all", "pay $5 or $10", "third"]
    for size in (2, 3):
        game = NormalForm.symmetric(
            np.eye(size),
            actions=[names[:size]] * 2,
            players=["a player who has a long name", "_"],
            title="a title that goes on and on, past the edge of the picture: $x",
        )
        figure = make(game)
        figure.draw_without_rendering()
        everything = figure.get_tightbbox()  # in inches
        width, height = figure.get_size_inches()
        assert everything.x0 >= 0 and everything.y0 >= 0
        assert everything.x1 <= width and everything.y1 <= height


# Files -------------------------------------------------------------------------------------------


def test_all_pictures_that_apply_are_written(tmp_path) -> None:
    every = ["best_responses.png", "correlated.png", "pareto.png", "replicator.png"]
    for number_, (game, expected) in enumerate(
        [
            (chicken(), every),
            (rock_paper_scissors(), every),
            (STENGEL, every[:3]),
            (random((4, 4)), every[1:3]),
            (random((21, 21)), every[2:3]),
        ]
    ):
        place = tmp_path / "made" / str(number_)
        written = save_pictures(game, place)
        assert [p.name for p in written] == expected == sorted(p.name for p in place.iterdir())
        assert all(p.read_bytes()[:8] == PNG for p in written)
    with pytest.raises(UserError, match="3 players"):
        save_pictures(random((2, 2, 2)), tmp_path / "three")
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize("plot", [plot_best_responses, plot_correlated, plot_pareto])
def test_paths_come_back(plot, tmp_path) -> None:
    path = plot(matching_pennies(), str(tmp_path / "a.png"))
    assert path == tmp_path / "a.png" and path.read_bytes()[:8] == PNG
