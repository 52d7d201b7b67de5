"""All equilibria of games whose equilibria are published or by hand, degenerate ones among them."""

import itertools

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.bimatrix import equilibria
from shoal.games.classic import classic, coordination, random
from shoal.games.normal_form import NormalForm, pure, regret
from shoal.games.pure_equilibria import pure_action_profiles
from shoal.games.support_enumeration import support_enumeration

# von Stengel 1999: 75 equilibria, more than the 63 of the identity game. Row and column payoffs of
# each action profile, the row player's action fastest, as Gambit's catalogue prints them.
VON_STENGEL = """
9504 72336 -111771 -461736 397584 1227336 171204 -1718376 1303104 1303104 737154 -453420
-660 48081 31680 -300036 -113850 774576 -45936 -1039236 -453420 737154 -227040 -227040
19976 29216 -130944 -178761 451176 451176 208626 -586476 1227336 397584 774576 -113850
-20526 14124 168124 -84436 -586476 208626 -263076 -263076 -1718376 171204 -1039236 -45936
1776 1776 -8514 -8976 29216 19976 14124 -20526 72336 9504 48081 -660
-8976 -8514 52764 52764 -178761 -130944 -84436 168124 -461736 -111771 -300036 31680
"""

# McKelvey and McLennan 1997 (Gambit's 2x2x2.nfg): the action profiles, the first player's
# action fastest.
MCKELVEY = [(9, 8, 12), (0, 0, 0), (0, 0, 0), (9, 8, 2), (0, 0, 0), (3, 4, 6), (3, 4, 6), (0, 0, 0)]


def first_fastest(profiles, shape) -> NormalForm:
    return NormalForm(np.asarray(profiles, float).reshape(*shape[::-1], len(shape)).T)


def has(found, profile) -> bool:
    want = np.concatenate([np.asarray(x, float) for x in profile])
    return any(np.abs(np.concatenate(p) - want).max() < 1e-9 for p in found)


def test_the_nine_of_mckelvey_and_mclennan() -> None:
    third = 1 / 3
    first = [
        (0.4, 0.5, third), (0.5, 0.4, 0.25), (0.5, 0.5, 1), (third, 1, 0.25), (1, 1, 1),
        (1, 0, 0), (0, 0.25, third), (0, 1, 0), (0, 0, 1),
    ]  # fmt: skip
    found = support_enumeration(first_fastest(MCKELVEY, (2, 2, 2)))
    assert len(found) == 9 and not found.complete and max(found.regrets) < 1e-9
    assert all(has(found, [(p, 1 - p) for p in profile]) for profile in first)


def test_the_75_of_von_stengel() -> None:
    found = support_enumeration(first_fastest([int(v) for v in VON_STENGEL.split()], (6, 6)))
    assert len(found) == 75 and found.complete
    inside = ([132, 66, 30, 12, 4, 1], [4, 1, 30, 12, 132, 66])
    assert has(found, [np.array(x) / 245 for x in inside])


@pytest.mark.parametrize(
    ("row", "column", "want"),
    [
        (  # Shapley 1974, figure 3
            [[0, 3, 0], [2, 2, 0], [3, 0, 1]],
            [[0, 2, 3], [3, 2, 0], [0, 0, 1]],
            [
                ([0, 0, 1], [0, 0, 1]),
                ([1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0]),
                ([1 / 6, 1 / 3, 1 / 2], [1 / 6, 1 / 3, 1 / 2]),
            ],
        ),
        (  # von Stengel 2007
            [[3, 3], [2, 5], [0, 6]],
            [[3, 2], [2, 6], [3, 1]],
            [
                ([1, 0, 0], [1, 0]),
                ([0.8, 0.2, 0], [2 / 3, 1 / 3]),
                ([0, 1 / 3, 2 / 3], [1 / 3, 2 / 3]),
            ],
        ),
        (  # degenerate: both rows answer the first column; x anywhere above 1/2 keeps it best
            [[1, 0], [1, 0]],
            [[1, 0], [0, 1]],
            [
                ([1, 0], [1, 0]), ([0.5, 0.5], [1, 0]), ([0.5, 0.5], [0, 1]), ([0, 1], [0, 1]),
            ],
        ),
        (  # degenerate with supports of unequal sizes: (1, 0) against a mixture up to (1/3, 2/3)
            [[2, 2], [4, 1]],
            [[1, 1], [0, 3]],
            [([1, 0], [1 / 3, 2 / 3]), ([1, 0], [0, 1])],
        ),
        (  # nothing matters: every pair of actions is extreme
            [[0, 0], [0, 0]],
            [[0, 0], [0, 0]],
            [([1, 0], [1, 0]), ([1, 0], [0, 1]), ([0, 1], [1, 0]), ([0, 1], [0, 1])],
        ),
        ([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]], None,
         [(np.array([1, 10, 5]) / 16, np.array([1, 10, 5]) / 16)]),
        ([[5]], [[2]], [([1], [1])]),
    ],
    ids=["shapley-1974", "von-stengel-2007", "one-row", "unequal", "constant", "biased-rps", "1x1"],
)  # fmt: skip
def test_all_of_small_games(row, column, want) -> None:
    game = NormalForm.bimatrix(row, -np.asarray(row) if column is None else column)
    found = support_enumeration(game)
    assert found.complete and max(found.regrets) < 1e-12
    assert len(found) == len(want) and all(has(found, profile) for profile in want)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_identity_game_has_an_equilibrium_on_every_support(size: int) -> None:
    assert len(support_enumeration(coordination(size))) == 2**size - 1


@pytest.mark.parametrize("shape", [(2, 2, 3), (2, 2, 2, 2)])
def test_three_players_or_more(shape) -> None:
    """Generic games have an odd number of equilibria (Wilson 1971), the pure ones among them."""
    game = random(shape, 5)
    found = support_enumeration(game)
    assert len(found) % 2 == 1 and max(found.regrets) < 1e-9
    assert all(has(found, pure(game, actions)) for actions in pure_action_profiles(game))


def test_a_continuum_is_given_once() -> None:
    """The third player's action matters to nobody, itself included."""
    pennies = np.array([[1.0, -1], [-1, 1]])
    payoffs = np.stack([pennies, -pennies, 0 * pennies])[..., None] * np.ones(2)
    found = support_enumeration(NormalForm(payoffs))
    assert [tuple((x > 0).sum() for x in p) for p in found] == [(2, 2, 1)] * 2 + [(2, 2, 2)]


# The payoffs of three players, `[A1 A2 A3, 3]`, the third one's action fastest.
EDGE = "230 133 312 301 331 131 112 330 022 202 120 102 031 122 320 203"
NAU_2004 = "200 102 101 201 011 021 012 020 021 011 020 012 102 200 201 101"


@pytest.mark.parametrize(
    ("text", "also"),
    [
        (EDGE, ([0.6, 0.4], [0, 1], [0, 1, 0, 0])),  # 1 and 1; 2.6 over 1.8; 1.4 over 1, 1.2, 1.2
        (NAU_2004, ([0.5] * 2, [0.5] * 2, [0.25] * 4)),  # Nau, Gomez Canovas and Hansen 2004, 6
    ],
)
def test_three_players_whose_equilibria_form_an_edge(text: str, also) -> None:
    """None is isolated: on each support there are more indifferences than probabilities."""
    payoffs = np.array([[float(c) for c in cell] for cell in text.split()])
    game = NormalForm(payoffs.T.reshape(3, 2, 2, 4))
    found = support_enumeration(game)
    assert len(found) >= 1 and max(found.regrets) < 1e-9 and not found.complete
    assert regret(game, also) < 1e-12  # the game is the one that is meant


def meeting(root: float, gap: float) -> NormalForm:
    """Three players, all of whose chances x are alike where all mix: (x - root)^2 = gap."""
    y, z = np.meshgrid([1.0, 0.0], [1.0, 0.0], indexing="ij")
    payoffs = np.zeros((3, 2, 2, 2))
    payoffs[0, 0] = (y - root) * (z - root) - gap
    payoffs[1, :, 0] = z - y  # of the first player's chance and the third's
    payoffs[2, :, :, 0] = y - z
    return NormalForm(payoffs)


def meeting_of_four(eighths) -> NormalForm:
    """Four players with chances x, x, x^2 and x where all mix, the product of x - root being 0."""
    c = np.round(np.poly(np.array(eighths) / 8) * 8**4)
    payoffs = np.zeros((4, 2, 2, 2, 2))
    for x, y, z, w in itertools.product((0, 1), repeat=4):
        payoffs[:, 1 - x, 1 - y, 1 - z, 1 - w] = [
            x * (c[0] * y * z * w + c[1] * z * w + c[2] * z + c[3] * y + c[4]),
            *(y * (z - x * w), z * (w - x), w * (y - x)),
        ]
    return NormalForm(payoffs)


def mixing_all(game: NormalForm) -> list[float]:
    """The first player's first chance in each equilibrium in which everyone mixes."""
    found = support_enumeration(game)
    assert not found.complete and max(found.regrets) <= 1e-9 * np.abs(game.payoffs).max()
    return sorted(float(p[0][0]) for p in found if all((x > 0).all() for x in p))


def test_roots_that_meet_are_found_and_told_apart() -> None:
    """From far apart to nearer than floats tell, and past where they are gone."""
    rng = np.random.default_rng(0)
    for apart in 10.0 ** -np.arange(1, 11):
        root = rng.uniform(0.2, 0.8)
        seen = mixing_all(meeting(root, apart**2))
        assert len(seen) == 2 or (len(seen) == 1 and apart < 1e-5)
        assert all(min(abs(x - root - s * apart) for s in (1, -1)) < 1e-6 + apart for x in seen)
        assert len(seen) < 2 or seen[1] - seen[0] == pytest.approx(2 * apart, rel=1e-2)
        assert len(mixing_all(meeting(root, -(apart**2)))) == (apart < 3e-6 and len(seen))
    assert mixing_all(meeting(0.3, 0)) == [pytest.approx(0.3, abs=1e-6)]


def test_every_root_is_found_once_however_many_meet_there() -> None:
    rng = np.random.default_rng(1)
    for times in ((1, 1, 1, 1), (2, 1, 1), (2, 2), (2, 2), (3, 1)):
        roots = rng.choice(np.arange(1, 8), len(times), replace=False)
        seen = mixing_all(meeting_of_four(np.repeat(roots, times)))
        assert len(seen) == len(times)
        for root, many in zip(roots, times):
            off = {1: 1e-9, 2: 1e-5, 3: 2e-3}[many]
            assert min(abs(x - root / 8) for x in seen) < off


def test_small_numbers_of_three_players_always_have_an_answer() -> None:
    rng = np.random.default_rng(3)
    for trial in range(24):
        shape = [(2, 2, 2), (2, 2, 3), (2, 3, 2)][trial % 3]
        found = support_enumeration(NormalForm(rng.integers(0, 3, (3, *shape))), 1, starts=4)
        assert len(found) == 1 and found.regrets[0] < 1e-9


@pytest.mark.parametrize("name", ["chicken", "stag_hunt", "battle_of_the_sexes"])
def test_stops_when_enough_are_found(name: str) -> None:
    found = support_enumeration(classic(name), max_equilibria=1)
    assert len(found) == 1 and not found.complete and all(x.max() == 1 for x in found[0])


@pytest.mark.parametrize("shape", [(3, 3), (3, 4), (2, 5)])
def test_the_vertices_of_the_polytopes_give_the_same(shape) -> None:
    """Payoffs of 0, 1 and 2: most of these games are degenerate."""
    rng = np.random.default_rng(0)
    unequal = 0
    for _ in range(12):
        game = NormalForm(rng.integers(0, 3, (2, *shape)).astype(float))
        found, exact = support_enumeration(game), equilibria(game, exact=True)
        assert len(found) == len(exact) and all(has(found, p) for p in exact)
        unequal += any((x > 0).sum() != (y > 0).sum() for x, y in found)
    assert unequal


def test_each_player_has_its_own_units() -> None:
    """What the second may lose is nothing in the first one's units."""
    payoffs = np.asarray(classic("chicken").payoffs)
    game = NormalForm(np.stack([1e9 * payoffs[0], 5 + 1e-3 * payoffs[1]]))
    found = support_enumeration(game)
    assert len(found) == 3 and has(found, ([2 / 3, 1 / 3], [2 / 3, 1 / 3]))


@pytest.mark.parametrize("seed", range(4))
def test_nashpy_finds_the_same(seed: int) -> None:
    nash = pytest.importorskip("nashpy")
    game = random((4, 5), seed)
    theirs = list(nash.Game(*np.asarray(game.payoffs)).vertex_enumeration())
    ours = support_enumeration(game)
    assert len(ours) == len(theirs) and all(has(ours, e) for e in theirs)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: support_enumeration(random((30, 30))), "30 x 30 .* limit .* n_player_equilibrium"),
        (lambda: support_enumeration(random((9,) * 4, 1), max_supports=10**6), "combinations"),
        (lambda: support_enumeration(NormalForm([[1.0, 2.0]])), "two players or more"),
    ],
)
def test_bad_input_is_named(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build()
