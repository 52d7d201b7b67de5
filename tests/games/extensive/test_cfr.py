"""Counterfactual regret against tables of NashConv, bounds, and what the variants must share."""

from collections.abc import Callable

import jax
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.extensive.cfr import CFRResult, cfr, iterate, start
from shoal.games.extensive.goofspiel import goofspiel
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.leduc import leduc
from shoal.games.extensive.policy_values import exploitability, nash_conv, value
from shoal.games.extensive.sequence_arrays import sequence_arrays
from shoal.games.extensive.sequences import SequenceForm
from shoal.games.extensive.tree import TERMINAL, ExtensiveForm, extensive_form

AT = [2, 5, 10, 50, 100, 200, 300]
TABLE = {
    "cfr": [0.541667, 0.242778, 0.137398, 0.030353, 0.016452, 0.006659, 0.006068],
    "simultaneous": [0.625, 0.377146, 0.192417, 0.072436, 0.051349, 0.034611, 0.027080],
    "cfr+": [0.527778, 0.146689, 0.065374, 0.005595, 0.002389, 0.000590, 0.000867],
}


@pytest.mark.parametrize("variant", TABLE)
def test_kuhns_table(variant: str) -> None:
    game = kuhn()
    found = cfr(game, 300, variant, report=AT)
    assert found.iterations.tolist() == AT
    assert found.nash_conv == pytest.approx(TABLE[variant], abs=1e-6)
    assert found.nash_conv[-1] == pytest.approx(nash_conv(game, found.policy), abs=1e-12)
    if variant != "simultaneous":
        assert value(game, found.policy)[0] == pytest.approx(-1 / 18, abs=1e-3)


@pytest.mark.parametrize(
    ("build", "iterations", "variant", "bound"),
    [
        # The first as in OpenSpiel's tests; the last two are our own.
        pytest.param(leduc, 10, "cfr", 2.0, id="leduc"),
        pytest.param(lambda: kuhn(3), 10, "cfr", 1.0, id="kuhn of 3"),
        pytest.param(lambda: kuhn(4), 10, "cfr", 1.0, id="kuhn of 4"),
        pytest.param(lambda: goofspiel(4), 1000, "cfr", 0.02, id="goofspiel"),
        pytest.param(lambda: goofspiel(4, "random"), 100, "cfr", 0.2, id="goofspiel, random order"),
        pytest.param(kuhn, 1000, "linear", 0.01, id="linear"),
        pytest.param(kuhn, 1000, "discounted", 0.001, id="discounted"),
    ],
)
def test_bounds(build, iterations: int, variant: str, bound: float) -> None:
    game = build()
    found = cfr(game, iterations, variant)
    assert 0 <= found.nash_conv[-1] <= bound
    assert exploitability(game, found.policy) <= bound / 2


def test_sampling_converges_and_seeds_differ() -> None:
    game = kuhn()
    found = cfr(game, 3000, "mccfr", seeds=[0, 1, 2], report=[30, 3000])
    assert found.policy.shape == (3, 12, 2) and found.nash_conv.shape == (3, 2)
    assert (found.nash_conv[:, 1] < 0.1).all()
    assert (found.nash_conv[:, 1] < found.nash_conv[:, 0]).all()
    assert len(np.unique(found.nash_conv[:, 1])) == 3
    for policy, gap in zip(found.policy, found.nash_conv[:, 1]):
        assert nash_conv(game, policy) == pytest.approx(gap, abs=1e-12)
    alone = cfr(game, 3000, "mccfr", seeds=1, report=[30, 3000])
    assert alone.policy == pytest.approx(found.policy[1], abs=1e-12)


def test_sampled_regrets_are_those_of_cfr_on_average() -> None:
    """After one iteration, for the first player; with 20,000 samples the error is 1/140 of a
    regret's spread, which is about 1."""
    game = kuhn()
    with jax.enable_x64(True):
        exact, sampled = sequence_arrays(game), sequence_arrays(game, chance_plays=True)
        exponents = np.array([np.inf, np.inf, 0.0])
        keys = jax.random.split(jax.random.key(0), 20_000)

        def regrets(form: SequenceForm, sample: bool) -> Callable:
            return lambda key: iterate(form, start(form), exponents, key, True, sample).regrets[0]

        want = jax.jit(regrets(exact, False))(keys[0])
        drawn = jax.jit(jax.vmap(regrets(sampled, True)))(keys)
    assert np.asarray(drawn).mean(0) == pytest.approx(np.asarray(want), abs=0.04)
    assert np.abs(want).max() > 0.1


def test_discounts_are_weights() -> None:
    """Linear CFR's regrets, t / (t + 1) after each iteration, are CFR's of iteration t with weight
    t; with one iteration it makes no difference, and gamma alone weighs policies."""
    game = kuhn()
    assert cfr(game, 1, "linear").policy == pytest.approx(cfr(game, 1).policy, abs=1e-12)
    plus, again = cfr(game, 20, "cfr+"), cfr(game, 20, "cfr", beta=-np.inf, gamma=1.0)
    assert again.policy == pytest.approx(plus.policy, abs=1e-12)
    assert again.parameters["beta"] == -np.inf and again.variant == "cfr"


def test_pennies_of_three_do_not_converge() -> None:
    """Jordan's game (case 20): the first wants to match the second, the second the third, and the
    third to differ from the first. The middle is its only equilibrium; from a start off it, CFR
    goes round in ever longer turns, and its average stays away."""
    game = _pennies_of_three()
    assert nash_conv(game, game.uniform()) == pytest.approx(0, abs=1e-12)
    off = game.uniform()
    off[0] = 0.9, 0.1
    assert nash_conv(game, off) == pytest.approx(0.8, abs=1e-12)
    with jax.enable_x64(True):
        form, exponents = sequence_arrays(game), np.array([np.inf, np.inf, 0.0])
        begin = start(form)
        begin = begin._replace(regrets=(np.array([[1.0, 0.0]]), *begin.regrets[1:]))
        for count in (3_000, 30_000):
            state = jax.jit(
                lambda s, n: jax.lax.fori_loop(
                    0, n, lambda _, s: iterate(form, s, exponents, jax.random.key(0)), s
                )
            )(begin, count)
            weights = np.stack([np.asarray(x)[:2] for x in state.sums])
            assert nash_conv(game, weights / weights.sum(1, keepdims=True)) > 0.1


def test_single_precision() -> None:
    form, key = sequence_arrays(kuhn()), jax.random.key(0)
    exponents = np.array([np.inf, np.inf, 0.0], np.float32)
    once = jax.jit(lambda form, exponents: iterate(form, start(form), exponents, key))
    state = once(form, exponents)
    assert state.regrets[0].dtype == np.float32
    with jax.enable_x64(True):
        want = once(form, exponents.astype(float))
        assert want.regrets[0].dtype == np.float64
    assert np.asarray(state.regrets[0]) == pytest.approx(np.asarray(want.regrets[0]), abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((10, "crf"), {}, "unknown variant of CFR 'crf': did you mean 'cfr'"),
        ((0,), {}, "iterations are 0"),
        ((10,), {"report": 0}, "report is 0"),
        ((10,), {"report": [5, 20]}, "from 5 to 20, expected from 1 to 10"),
        ((10,), {"seeds": [1, 2]}, "variant 'cfr' has no chance"),
        ((10,), {"seeds": 3}, "variant 'cfr' has no chance"),
        ((10,), {"alhpa": 1.0}, "unknown option of cfr 'alhpa': did you mean 'alpha'"),
    ],
)
def test_mistakes_are_named(arguments: tuple, options: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        cfr(kuhn(), *arguments, **options)


def test_reports() -> None:
    found = cfr(kuhn(), 25, report=10)
    assert isinstance(found, CFRResult) and found.iterations.tolist() == [10, 20, 25]


def _pennies_of_three() -> ExtensiveForm:
    class Rules:
        players = ("a", "b", "c")
        title = "matching pennies of three"

        def start(self) -> str:
            return ""

        def to_move(self, state: str) -> int:
            return len(state) if len(state) < 3 else TERMINAL

        def chances(self, state: str) -> list:
            return []

        def actions(self, state: str) -> str:
            return "ht"

        def play(self, state: str, move: str) -> str:
            return state + move

        def sees(self, state: str) -> str:
            return ""

        def returns(self, state: str) -> list[float]:
            a, b, c = state
            return [1.0 if x else -1.0 for x in (a == b, b == c, c != a)]

    return extensive_form(Rules())
