"""All equilibria: published sets, every vertex by brute force in fractions, Gambit's answers."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.bimatrix import equilibria, fitting, nash_subsets
from shoal.games.normal_form import NormalForm, rational

# von Stengel 1999, Gambit's file: both payoffs of each action profile, the row player's
# action fastest.
SIX = """
9504 72336 -111771 -461736 397584 1227336 171204 -1718376 1303104 1303104 737154 -453420
-660 48081 31680 -300036 -113850 774576 -45936 -1039236 -453420 737154 -227040 -227040
19976 29216 -130944 -178761 451176 451176 208626 -586476 1227336 397584 774576 -113850
-20526 14124 168124 -84436 -586476 208626 -263076 -263076 -1718376 171204 -1039236 -45936
1776 1776 -8514 -8976 29216 19976 14124 -20526 72336 9504 48081 -660
-8976 -8514 52764 52764 -178761 -130944 -84436 168124 -461736 -111771 -300036 31680
"""


def six_by_six() -> NormalForm:
    pairs = np.array(SIX.split(), float).reshape(6, 6, 2)
    return NormalForm.bimatrix(pairs[:, :, 0].T, pairs[:, :, 1].T)


SHAPLEY = [[0, 3, 0], [2, 2, 0], [3, 0, 1]]
PUBLISHED = {
    "3: Shapley 1974, figure 3": (
        NormalForm.symmetric(SHAPLEY),
        [
            ([1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0]),
            ([1 / 6, 1 / 3, 1 / 2], [1 / 6, 1 / 3, 1 / 2]),
            ([0, 0, 1], [0, 0, 1]),
        ],
    ),
    "8: von Stengel 2007": (
        NormalForm.bimatrix([[3, 3], [2, 5], [0, 6]], [[3, 2], [2, 6], [3, 1]]),
        [
            ([1, 0, 0], [1, 0]),
            ([0.8, 0.2, 0], [2 / 3, 1 / 3]),
            ([0, 1 / 3, 2 / 3], [1 / 3, 2 / 3]),
        ],
    ),
    "12: biased rock, paper, scissors": (
        NormalForm.zero_sum([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]]),
        [([1 / 16, 10 / 16, 5 / 16], [1 / 16, 10 / 16, 5 / 16])],
    ),
    "12: a saddle": (
        NormalForm.zero_sum([[2, 1, 5], [-3, -4, -2]]),
        [([1, 0], [0, 1, 0])],
    ),
    "one action each": (NormalForm.bimatrix([[3]], [[4]]), [([1], [1])]),
    "one action against three": (
        NormalForm.bimatrix([[3, 1, 2]], [[5, 7, 7]]),
        [([1], [0, 1, 0]), ([1], [0, 0, 1])],
    ),
}


@pytest.mark.parametrize("exact", [False, True], ids=["floats", "exact"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sets(name: str, exact: bool) -> None:
    game, want = PUBLISHED[name]
    found = equilibria(game, exact=exact)
    assert len(found) == len(want) and found.complete and max(found.regrets) <= 1e-12
    key = lambda pair: [(-np.round(np.asarray(s, float), 9)).tolist() for s in pair]  # noqa: E731
    for got, expected in zip(found, sorted(want, key=key)):
        for mine, its in zip(got, expected):
            assert np.allclose(np.asarray(mine, float), its, rtol=0, atol=1e-9)


def test_six_by_six_has_seventy_five() -> None:
    found, exact = equilibria(six_by_six()), equilibria(six_by_six(), exact=True)
    assert len(found) == len(exact) == 75
    assert found.components == [[i] for i in range(75)]
    assert exact.regrets == [0.0] * 75
    assert max(found.regrets) <= 1e-9 * 1_718_376  # of the largest payoff
    x = [Fraction(p, 245) for p in (132, 66, 30, 12, 4, 1)]
    y = [Fraction(p, 245) for p in (4, 1, 30, 12, 132, 66)]
    assert (x, y) in [(list(p), list(q)) for p, q in exact]
    for profile in zip(found, exact):
        assert np.allclose(*(np.concatenate(p).astype(float) for p in profile), rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
def test_coordination_has_one_for_each_set_of_actions(size: int) -> None:
    """Case 4: each support of the identity's game has one, 2^n - 1 in all."""
    found = equilibria(NormalForm.symmetric(np.eye(size)))
    supports = {tuple(np.nonzero(x)[0]) for x, _ in found}
    assert len(found) == len(supports) == 2**size - 1
    assert all(np.allclose(x, (x > 0) / (x > 0).sum()) and np.allclose(x, y) for x, y in found)


@pytest.mark.parametrize(
    ("row", "column", "components", "subsets"),
    [
        ([[1, 1], [0, 0]], [[0, 0], [0, 0]], [[0, 1]], [[0, 1]]),
        # (x, e1) and (e1, y) for any x and y: two segments that meet at the first profile
        ([[0, 0], [0, -1]], [[0, 0], [0, -1]], [[0, 1, 2]], [[0, 1], [0, 2]]),
        ([[1, 0], [0, 1]], [[1, 0], [0, 1]], [[0], [1], [2]], [[0], [1], [2]]),
        (np.zeros((2, 3)), np.zeros((2, 3)), [list(range(6))], [list(range(6))]),
    ],
    ids=["a segment", "an angle", "points", "everything"],
)
def test_how_equilibria_hang_together(row, column, components, subsets) -> None:
    found = equilibria(NormalForm.bimatrix(row, column))
    assert found.components == components
    assert nash_subsets(found) == subsets


def test_mixtures_of_a_nash_subset_are_equilibria() -> None:
    rng = np.random.default_rng(3)
    mixed = 0
    for seed in range(12):
        draw = np.random.default_rng(seed)
        game = NormalForm.bimatrix(*draw.integers(0, 3, (2, 4, 4)))
        found = equilibria(game)
        for subset in nash_subsets(found):
            weight = rng.dirichlet(np.ones(len(subset)), 2)
            x, y = (sum(w * found[i][p] for w, i in zip(weight[p], subset)) for p in (0, 1))
            assert max(equilibrium_gains(game, x, y)) <= 1e-12
            mixed += len(subset) > 1
    assert mixed > 5


def equilibrium_gains(game: NormalForm, x, y) -> list[float]:
    row, column = np.asarray(game.payoffs)
    return [(row @ y).max() - x @ row @ y, (x @ column).max() - x @ column @ y]


def _solve(rows: list[list[Fraction]], right: list[Fraction]) -> list[Fraction] | None:
    """Gauss and Jordan's elimination; None if there is not exactly one solution."""
    table = [[*row, b] for row, b in zip(rows, right)]
    for c in range(len(table)):
        r = next((r for r in range(c, len(table)) if table[r][c]), None)
        if r is None:
            return None
        table[c], table[r] = table[r], table[c]
        table[c] = [v / table[c][c] for v in table[c]]
        for i in range(len(table)):
            if i != c:
                table[i] = [a - table[i][c] * b for a, b in zip(table[i], table[c])]
    return [row[-1] for row in table]


def _vertices(payoffs: np.ndarray) -> Iterator[tuple[tuple[Fraction, ...], set[int], set[int]]]:
    """For the opponent of payoffs [a, b]: each vertex (its strategy over b), the b that are not
    played, and the a that are best replies; straight from the definition, in fractions."""
    a, b = payoffs.shape
    whole = rational(payoffs).tolist()
    # Unknowns: the strategy and the payoff. Sum to 1; b of the a + b inequalities hold with "=".
    sides = [[Fraction(int(i == j)) for j in range(b)] + [Fraction(0)] for i in range(b)]
    sides += [[*row, Fraction(-1)] for row in whole]
    once = set()
    for rows in combinations(range(a + b), b):
        system = [[Fraction(1)] * b + [Fraction(0)], *(sides[r] for r in rows)]
        point = _solve(system, [Fraction(1)] + [Fraction(0)] * b)
        if point is None or tuple(point) in once or min(point[:-1]) < 0:
            continue
        values = [sum(u * p for u, p in zip(row, point[:-1])) for row in whole]
        if max(values) == point[-1]:
            once.add(tuple(point))
            unplayed = {j for j in range(b) if point[j] == 0}
            yield tuple(point[:-1]), unplayed, {i for i in range(a) if values[i] == point[-1]}


def by_definition(row: np.ndarray, column: np.ndarray) -> set:
    pairs = product(_vertices(column.T), _vertices(row))
    m, n = row.shape
    return {
        (x, y)
        for (x, idle, replies), (y, other_idle, other_replies) in pairs
        if idle | other_replies == set(range(m)) and other_idle | replies == set(range(n))
    }


@pytest.mark.parametrize("shape", [(2, 2), (2, 4), (3, 3), (4, 3)], ids=str)
@pytest.mark.parametrize("most", [2, 3, 100], ids=["very degenerate", "degenerate", "generic"])
def test_extreme_equilibria_by_definition(shape: tuple[int, int], most: int) -> None:
    rng = np.random.default_rng(most)
    for _ in range(4):
        row, column = rng.integers(0, most, (2, *shape))
        game = NormalForm.bimatrix(row, column)
        want = by_definition(row, column)
        exact = equilibria(game, exact=True)
        assert {(tuple(x), tuple(y)) for x, y in exact} == want and len(exact) == len(want)
        floats = {tuple(np.concatenate(p).round(9)) for p in equilibria(game)}
        assert floats == {tuple(np.array([*x, *y], float).round(9)) for x, y in want}


def test_games_are_told_apart_from_degenerate_ones() -> None:
    rng = np.random.default_rng(0)
    generic = NormalForm.bimatrix(*rng.normal(size=(2, 7, 7)))
    assert equilibria(generic).parameters == {"arithmetic": "floats"}
    assert len(equilibria(generic)) % 2 == 1  # Lemke and Howson 1964
    # The column player's replies to the first row tie: floats leave this to integers.
    thirds = NormalForm.bimatrix([[1 / 3, 0], [0, 1]], [[1 / 3, 1 / 3], [0, 0.7]])
    assert equilibria(thirds).parameters == {"arithmetic": "integers"}
    # Those to the second row do, but no equilibrium may be there: floats are sure.
    never = NormalForm.bimatrix([[1 / 3, 1 / 3], [0, 0]], [[1 / 3, 0.1], [0.7, 0.7]])
    assert equilibria(never).parameters == {"arithmetic": "floats"}
    assert len(equilibria(never)) == len(equilibria(never, exact=True)) == 1


@pytest.mark.parametrize("nudge", [1e-6, 1e-9, 1e-10, 1e-11, 1e-12, 1e-14, 0, -1e-12, -1e-9])
def test_games_that_are_nearly_degenerate(nudge: float) -> None:
    """As one payoff changes a little, equilibria come and go, or turn into a segment."""
    for row, column in (
        ([[1, 0], [1, -1]], [[1, 0], [0, 1]]),
        ([[1, 0], [0, 1]], [[1, 1], [0, 1]]),
    ):
        row, column = np.array(row, float), np.array(column, float)
        row[1, 0] += nudge
        column[0, 0] += nudge
        game = NormalForm.bimatrix(row, column)
        exact, found, want = (
            equilibria(game, exact=True),
            equilibria(game),
            by_definition(row, column),
        )
        assert {(tuple(x), tuple(y)) for x, y in exact} == want and len(exact) == len(want)
        assert len(found) == len(want) and max(found.regrets) <= 1e-15


@pytest.mark.parametrize("scale", [1e-12, 1e12, 1e100])
def test_one_player_counts_as_much_as_the_other(scale: float) -> None:
    """Payoffs of very different sizes, and with much in common."""
    rng = np.random.default_rng(8)
    row, column = rng.integers(-50, 50, (2, 4, 4)) + 100 * np.eye(4, dtype=int)  # so has several
    want = equilibria(NormalForm.bimatrix(row, column))
    for ours, theirs in ((row * scale, column + 1e6), (row - 1e6, column * scale)):
        found = equilibria(NormalForm.bimatrix(ours, theirs))
        assert len(found) == len(want) >= 3
        for mine, its in zip(found, want):
            assert np.allclose(np.concatenate(mine), np.concatenate(its), rtol=0, atol=1e-12)
        assert max(found.regrets) <= 1e-13 * max(scale, 1)


def test_payoffs_may_be_scaled_and_shifted() -> None:
    rng = np.random.default_rng(5)
    row, column = rng.normal(size=(2, 5, 4))
    found = equilibria(NormalForm.bimatrix(row, column))
    other = equilibria(NormalForm.bimatrix(1e6 * row - 3e6, 1e-6 * column + 1e-6))
    assert len(found) == len(other) >= 1
    for a, b in zip(found, other):
        assert np.allclose(np.concatenate(a), np.concatenate(b), rtol=0, atol=1e-9)


def test_a_long_game_has_more_labels_than_a_word_has_bits() -> None:
    rng = np.random.default_rng(1)
    payoffs = rng.normal(size=(2, 70))
    found = equilibria(NormalForm.zero_sum(payoffs))
    assert len(found) == 1 and max(found.regrets) <= 1e-12
    # Against one number p the column player takes the least line: the value is their upper hull's.
    grid = np.linspace(0, 1, 100_001)
    value = np.minimum.reduce([p + grid * (q - p) for q, p in payoffs.T]).max()
    x, y = found[0]
    assert abs(x @ payoffs @ y - value) <= 1e-4


def test_pairs_that_fit_are_found_in_any_mixture() -> None:
    rng = np.random.default_rng(2)
    flags = {tuple(row) for row in rng.random((60, 8)) < 0.6}
    p = np.array([row for row in flags if sum(row) >= 3])
    q = np.array([row for row in flags if sum(row) >= 5])
    want = {(i, j) for i in range(len(p)) for j in range(len(q)) if (p[i] | q[j]).all()}
    xs, ys = fitting(p, q)
    assert want and set(zip(xs.tolist(), ys.tolist())) == want and len(xs) == len(want)


def test_against_gambit() -> None:
    """40 games of 2 x 2 to 6 x 6, half of them degenerate: the same extreme equilibria, of which
    Gambit 16 lists some more than once. test_gambit_answers.py has 1,000 without Gambit."""
    gambit = pytest.importorskip("pygambit")
    rng = np.random.default_rng(7)
    for number in range(40):
        shape = tuple(rng.integers(2, 7, 2))
        row, column = rng.integers(0, 4 if number % 2 else 10**6, (2, *shape))
        solved = gambit.nash.enummixed_solve(gambit.Game.from_arrays(row, column), rational=True)
        want = {tuple(_flat(profile)) for profile in solved.equilibria}
        ours = equilibria(NormalForm.bimatrix(row, column), exact=True)
        found = [tuple(np.concatenate(p)) for p in ours]
        assert set(found) == want and len(found) == len(want), (row, column)


def _flat(profile) -> list[Fraction]:
    return [
        Fraction(int(p.numerator), int(p.denominator))
        for player in profile.game.players
        for p in (profile[s] for s in player.strategies)
    ]


@pytest.mark.parametrize(
    ("game", "said"),
    [
        (NormalForm(np.zeros((3, 2, 2, 2))), "3 players, this method takes two"),
        (NormalForm.zero_sum(np.zeros((16, 16))), r"16 x 16 actions .* limit .*lemke_howson"),
    ],
    ids=["three players", "too large"],
)
def test_bad_input_is_named(game: NormalForm, said: str) -> None:
    with pytest.raises(UserError, match=said):
        equilibria(game)
