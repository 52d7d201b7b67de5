"""The allocation market: its rules, what agents see, the optima against independent solutions, what
they cost, pictures, and mistakes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import shoal
from shoal.cli.main import run
from shoal.core.errors import UserError
from shoal.core.picture import Rectangle
from shoal.envs.cooperative.allocation import AllocationState, actions, bids
from shoal.envs.cooperative.allocation_optimum import (
    _remembered,
    best_allocations,
    bundles,
    egalitarian,
    nash,
    nash_gap,
)
from shoal.training.on_device import OnDevice

WELFARES = ("utilitarian", "egalitarian", "nash")
EVERY = [(welfare, divisible) for welfare in WELFARES for divisible in (True, False)]
MEASURE = {
    "utilitarian": np.mean,
    "egalitarian": np.min,
    "nash": lambda u: np.prod(u) ** (1 / len(u)),
}


def make(**fields):
    return shoal.make("coop/allocation", **fields)


def values(*shape, seed=0):
    """Valuations as the environment draws them, by NumPy."""
    drawn = 1 - np.random.default_rng(seed).random(shape)
    return shape[-2] * drawn / drawn.sum(-1, keepdims=True)


def moves(env, seed=1):
    shape = (env.rounds, env.num_agents, env.num_goods + 1)
    return np.random.default_rng(seed).random(shape, np.float32)


def play(env, steps, state=None):
    """The time steps, and the last state."""
    step = jax.jit(env.step)
    first, shown = env.reset(jax.random.key(0))
    state, out = first if state is None else state, [shown]
    for action in steps:
        state, shown = step(jax.random.key(0), state, jnp.asarray(action))
        out.append(shown)
    return out, state


# The market ------------------------------------------------------------------------------------


def test_a_purse_is_split_in_proportion_to_exp_8a_minus_1():
    third = np.log1p(np.expm1(8) / 3) / 8  # weighs a third of what 1 does
    split = bids(jnp.array([[1.0, third, third, third], [0.0, 0.0, 1.0, 1.0], [0.0] * 4]))
    np.testing.assert_allclose(split, [[1 / 2, 1 / 6, 1 / 6], [0, 0, 0.5], [0, 0, 0]], atol=1e-6)


def test_actions_are_the_inverse_of_bids():
    split = np.array([[0.5, 0.25, 0.25], [0.2, 0.0, 0.1], [0.0, 0.0, 0.0], [1e-3, 0.0, 0.9]])
    action = actions(jnp.asarray(split))
    assert action.min() >= 0 and action.max() <= 1
    np.testing.assert_allclose(bids(action), split, atol=1e-6)


@pytest.mark.parametrize("divisible", [True, False])
def test_purses_and_goods_are_conserved(divisible):
    env = make(divisible=divisible)
    for action in jnp.asarray(moves(env)):
        bid, share = bids(action), env.shares(action)
        weight = np.expm1(8 * np.asarray(action, np.float64))
        kept = weight[:, -1] / weight.sum(1)
        assert bid.min() >= 0 and share.min() >= 0
        np.testing.assert_allclose(bid.sum(1) + kept, 1, atol=1e-5)
        np.testing.assert_allclose(share.sum(0), 1, atol=1e-5)
        if not divisible:
            assert set(np.unique(share)) == {0, 1}


def test_divisible_goods_are_shared_in_proportion_to_bids():
    env = make(num_agents=2, num_goods=2)
    share = env.shares(actions(jnp.array([[0.75, 0.25], [0.25, 0.5]])))
    np.testing.assert_allclose(share, [[3 / 4, 1 / 3], [1 / 4, 2 / 3]], atol=1e-6)


def test_other_goods_go_to_the_highest_bid_and_to_the_first_of_several():
    env = make(num_agents=3, num_goods=3, divisible=False, welfare="utilitarian")
    action = actions(jnp.array([[0.3, 0.6, 0.0], [0.5, 0.4, 0.0], [0.5, 0.4, 0.0]]))
    assert env.shares(action).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("divisible", [True, False])
def test_what_nobody_bids_on_stays_with_nobody(divisible):
    env = make(num_agents=2, num_goods=2, divisible=divisible)
    assert env.shares(jnp.zeros((2, 3))).tolist() == [[0, 0], [0, 0]]
    shown, _ = play(env, [np.zeros((2, 3))] * env.rounds)
    assert shown[-1].reward.tolist() == [0, 0] and shown[-1].metrics["share_of_optimum"] == 0


@pytest.mark.parametrize(("welfare", "divisible"), EVERY)
def test_a_return_is_the_welfare_of_the_last_round(welfare, divisible):
    env = make(num_agents=3, num_goods=4, rounds=5, welfare=welfare, divisible=divisible)
    shown, state = play(env, moves(env, seed=3))
    assert not any(bool(s.done) for s in shown[:-1])
    assert shown[-1].terminated.all() and not shown[-1].truncated.any()
    worth = np.asarray(state.valuations)
    np.testing.assert_allclose(worth.sum(1), 3, rtol=1e-6)
    welfares = []
    for action in moves(env, seed=3):
        held = np.asarray(env.shares(jnp.asarray(action)))
        welfares.append(MEASURE[welfare]((worth * held).sum(1)))
    rewards = np.diff(welfares, prepend=0)
    for s, reward in zip(shown[1:], rewards):
        np.testing.assert_allclose(s.reward, reward, atol=1e-5)
    best = best_allocations(welfare, divisible, worth, np.ones((), bool))
    share = welfares[-1] / MEASURE[welfare]((worth * best).sum(1))
    assert [float(s.metrics["share_of_optimum"]) for s in shown[:-1]] == [0] * 5
    assert float(shown[-1].metrics["share_of_optimum"]) == pytest.approx(share, abs=1e-5)


def test_valuations_are_drawn_anew():
    env = make()
    drawn = jax.vmap(lambda key: env.reset(key)[0].valuations)(
        jax.random.split(jax.random.key(0), 500)
    )
    assert drawn.min() > 0 and len(np.unique(drawn[:, 0, 0])) > 490
    np.testing.assert_allclose(drawn.mean(0), 8 / 12, atol=0.05)


# What agents see -------------------------------------------------------------------------------


def test_agents_see_their_own_side_and_the_prices():
    env = make(num_agents=2, num_goods=2, rounds=4)
    worth = jnp.array([[1.5, 0.5], [0.5, 1.5]])
    split = jnp.array([[0.5, 0.25], [0.25, 0.75]])
    state = AllocationState(worth, actions(split), jnp.float32(0), jnp.int32(0))
    shown, _ = play(env, [actions(split)], state)
    first, price = shown[1].obs[0], np.log([0.75, 1.0])
    worth, gain, held, bid = first[:8].reshape(4, 2)
    np.testing.assert_allclose(worth, [1.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(gain, np.log([1.5, 0.5]) - price, atol=1e-6)
    np.testing.assert_allclose(held, [2 / 3, 1 / 4], atol=1e-6)
    np.testing.assert_allclose(bid, actions(split)[0, :2], atol=1e-6)
    np.testing.assert_allclose(first[8:10], [0.25, 1 + 1 / 8], atol=1e-6)  # kept, utility
    np.testing.assert_allclose(first[10:], [*price, 0.75], atol=1e-6)
    assert shown[1].global_state.shape == (env.spec.state_size,)


def test_nobody_sees_what_goods_are_worth_to_others():
    env = make(num_agents=3, num_goods=4)
    start, _ = env.reset(jax.random.key(0))
    other = AllocationState(
        start.valuations.at[1].set(start.valuations[1, ::-1]), *jax.tree.leaves(start)[1:]
    )
    (_, a), _ = play(env, moves(env)[:1], start)
    (_, b), _ = play(env, moves(env)[:1], other)
    assert (a.obs[jnp.array([0, 2])] == b.obs[jnp.array([0, 2])]).all()
    assert (a.obs[1] != b.obs[1]).any() and (a.global_state != b.global_state).any()


@pytest.mark.parametrize("welfare", WELFARES)
def test_agents_are_alike(welfare):
    env, order = make(welfare=welfare), jnp.array([3, 1, 7, 0, 2, 6, 5, 4])
    start, _ = env.reset(jax.random.key(0))
    turned = AllocationState(
        start.valuations[order], start.action[order], start.welfare, start.time
    )
    (_, a), _ = play(env, moves(env)[:1], start)
    (_, b), _ = play(env, moves(env)[:1, order], turned)
    np.testing.assert_allclose(a.obs[order], b.obs, atol=1e-5)
    np.testing.assert_allclose(a.reward, b.reward, atol=1e-5)


# The optimum -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 4), (3, 3), (3, 4), (4, 4)])
def test_bundles_are_the_best_of_all_divisions(n, m):
    for seed in range(10):
        v = values(n, m, seed=seed)
        owners = [np.eye(n)[list(who)].T for who in itertools.product(range(n), repeat=m)]
        for welfare in WELFARES:
            best = max(MEASURE[welfare]((v * x).sum(1)) for x in owners)
            x = best_allocations(welfare, False, v, np.ones((), bool))
            assert (x.sum(0) == 1).all() and set(np.unique(x)) == {0, 1}
            assert MEASURE[welfare]((v * x).sum(1)) == pytest.approx(best, rel=1e-6)


def test_bundles_of_a_case_by_hand():
    v = np.array([[5.0, 3.0, 2.0], [6.0, 1.0, 1.0]])
    assert bundles(v, "egalitarian").tolist() == [[0, 1, 1], [1, 0, 0]]  # 5 and 6
    v = np.array([[1.0, 1.0, 8.0], [3.0, 3.0, 4.0]])
    assert bundles(v, "nash").tolist() == [[0, 0, 1], [1, 1, 0]]  # 8 * 6


@pytest.mark.parametrize(("n", "m"), [(2, 3), (3, 4), (8, 12)])
def test_the_least_utility_is_proved_greatest_by_weights(n, m):
    """Whatever the agents' weights w, of sum 1, the least utility is at most that of the best
    weighted sum: sum_j max_i w_i v_ij. Weights that touch it are the proof."""
    v = values(n, m, seed=n)
    x = egalitarian(v)
    assert x.min() >= -1e-9 and x.sum(0).max() <= 1 + 1e-9
    least = (v * x).sum(1).min()

    def bound(logits):
        w = np.exp(logits - logits.max())
        return (w[:, None] / w.sum() * v).max(0).sum()

    rng, best = np.random.default_rng(0), np.zeros(n)
    for k in range(20_000):  # a random descent, whatever the solver did
        near = best + rng.normal(size=n) * 0.5 * 0.9995**k
        best = near if bound(near) < bound(best) else best
    assert least <= bound(best) + 1e-9
    assert least == pytest.approx(bound(best), rel=5e-3)


def test_nash_of_cases_by_hand():
    half = nash(np.array([[[2.0], [2.0]]]))[0]
    np.testing.assert_allclose(half, [[0.5], [0.5]], atol=1e-8)
    apart = nash(np.array([[[3.0, 1.0], [1.0, 3.0]]]))[0]
    np.testing.assert_allclose(apart, np.eye(2), atol=1e-8)
    # Two want the first good alone; the third has all of the second, and none of the first.
    apart = nash(np.array([[[1.0, 1e-9], [1.0, 1e-9], [1e-9, 1.0]]]))[0]
    np.testing.assert_allclose(apart, [[0.5, 0], [0.5, 0], [0, 1]], atol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(2, 3), (3, 4), (4, 2)])
def test_nash_is_what_a_general_solver_finds(n, m):
    v = values(n, m, seed=m)
    goods = [
        {"type": "eq", "fun": lambda x, j=j: x.reshape(n, m)[:, j].sum() - 1} for j in range(m)
    ]
    found = minimize(
        lambda x: -np.log((v * x.reshape(n, m)).sum(1)).sum(),
        np.full(n * m, 1 / n),
        bounds=[(0, 1)] * (n * m),
        constraints=goods,
        tol=1e-12,
        options={"maxiter": 1000},
    )
    mine = np.log((v * nash(v[None])[0]).sum(1)).sum()
    assert found.success and mine == pytest.approx(-found.fun, abs=1e-6)
    assert mine >= -found.fun - 1e-9


def test_nash_is_certified_by_prices_of_another_method():
    """Proportional response in 20,000 rounds gives prices, and these a bound, by duality."""
    v = values(50, 8, 12)
    bid = np.full(v.shape, 1 / 12)
    for _ in range(20_000):
        gained = v * bid / bid.sum(-2, keepdims=True)
        bid = gained / gained.sum(-1, keepdims=True)
    x = nash(v)
    np.testing.assert_allclose(x.sum(-2), 1, atol=1e-12)
    gap = nash_gap(v, x, bid.sum(-2))
    assert gap.min() >= -1e-12 and gap.max() < 1e-5 and np.median(gap) < 1e-6
    utility = (v * x).sum(-1, keepdims=True)
    assert nash_gap(v, x, (v / utility).max(-2)).max() < 1e-9  # its own prices: far nearer


@pytest.mark.parametrize(("welfare", "divisible"), EVERY)
def test_only_what_is_wanted_is_solved(welfare, divisible):
    v, wanted = values(2, 3, 2, 3), np.array([[True, False, False], [False, False, True]])
    x = best_allocations(welfare, divisible, v, wanted)
    assert x.shape == v.shape and (x[~wanted] == 0).all()
    np.testing.assert_allclose(x[wanted].sum(1), 1, atol=1e-6)
    for v_one, x_one in zip(v[wanted], x[wanted]):
        one = best_allocations(welfare, divisible, v_one, np.ones((), bool))
        np.testing.assert_allclose(one, x_one, atol=1e-6)


def test_an_episode_solves_one_programme_at_its_end():
    env = make(num_agents=2, num_goods=3, rounds=4, welfare="egalitarian")
    _remembered.cache_clear()
    _, state = play(env, moves(env)[:3])
    assert _remembered.cache_info()[:2] == (0, 0)  # found again, solved
    play(env, moves(env)[3:], state)
    assert _remembered.cache_info()[:2] == (0, 1)


def test_training_solves_none():
    """Rewards do not need the optimum: the compiled update does not call the host."""
    env = make(num_agents=2, num_goods=2, rounds=3, welfare="egalitarian")
    algorithm = shoal.make_algorithm("mappo", hidden=(4,), minibatches=1)
    learner = OnDevice(algorithm, env, num_envs=2, unroll=4)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    assert "callback" not in jax.jit(learner.update).lower(state).compile().as_text()


# Controllers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("welfare", "divisible"), EVERY)
def test_the_scripted_controller_buys_the_optimum(welfare, divisible):
    found = shoal.evaluate("scripted", make(welfare=welfare, divisible=divisible), episodes=20)
    share = found.metrics["share_of_optimum"]["mean"]
    if divisible and welfare == "nash":
        assert 0.99 <= share <= 1  # proportional response: from what agents see
    else:
        assert share == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("rounds", "share"), [(1, 0.750), (3, 0.882), (10, 0.975), (20, 0.993)])
def test_proportional_response_nears_the_optimum_of_nash(rounds, share):
    found = shoal.evaluate("scripted", make(rounds=rounds), episodes=200)
    assert found.metrics["share_of_optimum"]["mean"] == pytest.approx(share, abs=4e-3)


def test_an_equal_split_is_58_percent_of_nash():
    env = make()
    drawn = jax.vmap(lambda key: env.reset(key)[0].valuations)(
        jax.random.split(jax.random.key(0), 200)
    )
    best = best_allocations("nash", True, np.asarray(drawn), np.ones(200, bool))
    most = np.exp(np.log((drawn * best).sum(-1)).mean(-1))
    assert (1 / most).mean() == pytest.approx(0.583, abs=5e-3)  # everyone's utility is 1


@pytest.mark.parametrize(("welfare", "divisible"), EVERY)
def test_shares_of_the_optimum_are_shares(welfare, divisible):
    env = make(num_agents=2, num_goods=4, rounds=2, welfare=welfare, divisible=divisible)
    found = shoal.evaluate("random", env, episodes=200)
    share = found.metrics["share_of_optimum"]
    assert 0 < share["low"] <= share["mean"] <= share["high"] <= 1


# Pictures and mistakes -------------------------------------------------------------------------


def test_the_picture_shows_who_holds_what():
    env = make(num_agents=2, num_goods=3, rounds=4, welfare="egalitarian")
    _, state = play(env, moves(env)[:2])
    picture = env.draw(state)
    texts = [s.text for s in picture.shapes if hasattr(s, "text")]
    bars = [s for s in picture.shapes if isinstance(s, Rectangle)]
    wide, tall = (
        np.array([getattr(bar, side) for bar in bars]).reshape(2, 3, 3)
        for side in ("width", "height")
    )
    assert "round 2 of 4" in texts and {"agent 1", "agent 2", "price", "utility"} <= set(texts)
    held = tall[..., 2] / tall[..., 0]
    np.testing.assert_allclose(held, env.shares(state.action), atol=1e-6)
    np.testing.assert_allclose(held.sum(0), 1, atol=1e-6)
    worth = np.asarray(state.valuations)
    for bar in (wide[..., 1], wide[..., 2]):
        np.testing.assert_allclose(bar / wide[..., 0], worth / worth.max(), rtol=1e-5)
    for price in bids(state.action).sum(0):
        assert f"{price:.2f}" in texts
    for utility in (worth * held).sum(1):
        assert f"{utility:.2f}" in texts
    least = (worth * held).sum(1).min()
    best = (worth * egalitarian(worth)).sum(1).min()
    said = f"egalitarian welfare {least:.3f}, {least / best:.1%} of the optimum {best:.3f}"
    assert texts[-1] == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_goods": 0}, "num_goods is 0, expected at least 1"),
        ({"num_agents": 1}, "num_agents is 1, expected at least 2"),
        ({"rounds": 0}, "rounds is 0, expected at least 1"),
        ({"divisible": False, "num_goods": 7}, "num_goods is 7, but nash welfare of goods that"),
        ({"divisible": False, "num_goods": 15}, "num_goods is 15, expected at most 14 for the"),
    ],
)
def test_mistakes_are_named(fields, said):
    with pytest.raises(UserError) as caught:
        make(**fields)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("qmix coop/allocation", "discrete"),
        (
            "mappo coop/allocation --env.welfare nahs",
            "unknown --env.welfare 'nahs': did you mean 'nash'?",
        ),
        ("mappo coop/allocation --env.welfare x", "choose one of: egalitarian, nash, utilitarian"),
        ("mappo coop/allocation --env.num-goods 0", "--env.num-goods is 0, expected at least 1"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_a_line(words, said, capsys):
    assert run(["train", *words.split()]) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("shoal: ") and error.count("\n") == 1


def test_markets_of_a_batch_do_not_disturb_each_other():
    """Those that are solved soon wait, where more steps would divide by what has vanished."""
    values = np.random.default_rng(1).uniform(1e-3, 1, (20_000, 2, 2))
    shares = nash(values)
    assert np.isfinite(shares).all() and (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-9)
