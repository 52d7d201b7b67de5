"""Every family of algorithms on every probe: what its best actions earn, and what its values say.

`tests/probes.py` has the worlds. A training is 150 updates of 10 steps in 32 environments, 48,000
steps from seed 0; A2C, which uses each sample once, takes 500, and evolution 60 of 60 steps in 64.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from probes import (
    DISCOUNT,
    AnyProbe,
    ConstantReward,
    Coordination,
    CutAgent,
    DelayedReward,
    DyingAgent,
    EndlessReward,
    FallenAlly,
    ForbiddenAction,
    Mixed,
    RememberedAction,
    RewardedAction,
    SeenAction,
    SeenValue,
    SpareAgent,
    TakingTurns,
    UnseenNaN,
)

from shoal.agents.cooperative.coma import coma
from shoal.agents.cooperative.facmac import facmac
from shoal.agents.cooperative.iql import iql
from shoal.agents.cooperative.jal import jal
from shoal.agents.cooperative.maac import maac
from shoal.agents.cooperative.maddpg import maddpg
from shoal.agents.cooperative.pqn import pqn_iql, pqn_vdn
from shoal.agents.cooperative.sable import sable
from shoal.agents.cooperative.vdn import vdn
from shoal.agents.evolution.openai_es import openai_es
from shoal.agents.policies import QPolicy
from shoal.agents.policy_gradient.a2c import a2c
from shoal.agents.policy_gradient.ppo import ippo, mappo
from shoal.agents.policy_gradient.sac import masac, sac
from shoal.core.algorithm import Transition

ACTOR_CRITIC = dict(
    hidden=(16,),
    discount=DISCOUNT,
    gae_lambda=0.5,
    learning_rate=0.01,
    entropy_weight=0.003,
    minibatches=2,
)
Q_LEARNING = dict(
    hidden=(32,),
    discount=DISCOUNT,
    learning_rate=0.005,
    learning_starts=320,
    capacity=16_000,
    batch_size=160,
    target_interval=20,
    exploration_fraction=0.5,
    epsilon_end=0.0,
    target_rate=1.0,
    update_ratio=0.025,
)
REPLAY = {k: v for k, v in Q_LEARNING.items() if k in ("discount", "learning_starts", "capacity")}
SOFT = dict(
    **REPLAY,
    hidden=(32,),
    learning_rate=0.005,
    batch_size=160,
    target_rate=0.05,
    update_ratio=0.025,
    target_entropy_share=0.05,
    sequence_length=4,
    init_alpha=0.1,
)
DETERMINISTIC = {k: v for k, v in SOFT.items() if k not in ("target_entropy_share", "init_alpha")}
PQN = dict(
    hidden=(32,),
    discount=DISCOUNT,
    learning_rate=0.01,
    exploration_fraction=0.5,
    epsilon_end=0.0,
)
FAMILIES = {
    "ippo": ippo(**ACTOR_CRITIC),
    "ippo_gru": ippo(**ACTOR_CRITIC, recurrent=8),
    "mappo": mappo(**ACTOR_CRITIC),
    "sable": sable(**{**ACTOR_CRITIC, "learning_rate": 0.002, "entropy_weight": 0.03}, heads=2),
    "a2c": a2c(**{**ACTOR_CRITIC, "learning_rate": 0.02, "minibatches": 1}),
    "iql_gru": iql(**Q_LEARNING, recurrent=16),
    # In turns, what the next to act expects does not show what was done before: longer returns do.
    "vdn": vdn(**Q_LEARNING, sequence_length=4, td_lambda=0.8),
    "pqn_iql_gru": pqn_iql(**PQN, recurrent=16),
    "pqn_vdn": pqn_vdn(**PQN, td_lambda=0.8),
    "sac": sac(**SOFT),
    "masac": masac(**SOFT),
    "maac": maac(**SOFT, heads=2, head_size=16),
    "coma": coma(
        hidden=(16,), discount=DISCOUNT, learning_rate=0.01, entropy_weight=0.003, td_lambda=0.5
    ),
    "maddpg": maddpg(**DETERMINISTIC),
    # In turns, as vdn; and a mixture of one who acts learns slowly where it must be monotonic.
    "facmac": facmac(**DETERMINISTIC, n_step=4, monotonic=False),
    # Wide noise: with narrow noise nearly half of all seeds stop at the first choice in common.
    "openai_es": openai_es(population=64, hidden=(8,), sigma=1.0, learning_rate=0.05),
    "jal": jal(discount=DISCOUNT, temperature_start=2.0, temperature_end=0.05, count_decay=0.9),
}
SCALES = {"a2c": dict(updates=500), "openai_es": dict(updates=60, num_envs=64, unroll=60)}
ACTOR_CRITICS = ["ippo", "ippo_gru", "mappo", "sable", "a2c"]
# These take four times as long: they play what time matters in.
SLOW = ("ippo_gru", "iql_gru", "pqn_iql_gru", "sable")
SLOW_PROBES = (SeenAction, DelayedReward, EndlessReward, TakingTurns, CutAgent, FallenAlly)


class Truth(NamedTuple):
    """Of one probe: the best return of each agent, and its value at each step (discounted). The
    team's value is the mean over all agents of what those earn who have not ended."""

    best: tuple[float, float] | None
    values: list[tuple[float, float]] | None
    team: list[float] | None = None


_ = np.nan  # no value: out of turn or ended
g = DISCOUNT
TRUTHS = {
    ConstantReward: Truth((1, 0.5), [(1, 0.5)]),
    DelayedReward: Truth((1, 1), [(g, g), (1, 1)]),
    RewardedAction: Truth((1, 1), [(1, 1)]),
    SeenValue: Truth(None, None),
    SeenAction: Truth((1, 1), [(1, 1)]),
    EndlessReward: Truth((5, 5), [(1 / (1 - g), 1 / (1 - g))] * 5, [1 / (1 - g)] * 5),
    ForbiddenAction: Truth(None, [(0.75, 0.75)]),
    DyingAgent: Truth(
        (1, 4),
        [(1, 1 + g + g**2 + g**3), (_, 1 + g + g**2), (_, 1 + g), (_, 1)],
        [(2 + g + g**2 + g**3) / 2, (1 + g + g**2) / 2, (1 + g) / 2, 1 / 2],
    ),
    Coordination: Truth((1, 1), [(1, 1)]),
    TakingTurns: Truth((2, 2), [(g + g**3, _), (_, 1 + g**2), (g, _), (_, 1)]),
    CutAgent: Truth(
        (3, 5),
        [(1 / (1 - g), 1 / (1 - g))] * 3 + [(_, 1 / (1 - g))] * 2,
        [1 / (1 - g)] * 3 + [1 / (1 - g) / 2] * 2,
    ),
    FallenAlly: Truth((1, 1), [(g**2, g**2), (_, g), (_, 1)], [g**2, g, 1]),
    SpareAgent: Truth((1, 0), [(1, _)], [1 / 2]),
    UnseenNaN: Truth((3, 3), [(_, 1 + g + g**2), (1 + g, 1 + g), (_, 1)], [1 + g + g**2, 1 + g, 1]),
}


@pytest.fixture(scope="module")
def trained(train_probe):
    """`trained(family, probe)`: each pair is trained once."""
    done = {}

    def train(family: str, probe: type):
        if (family, probe) not in done:
            env = Mixed() if probe is Mixed else AnyProbe.of(probe)
            done[family, probe] = train_probe(FAMILIES[family], env, **SCALES.get(family, {}))
        return done[family, probe]

    return train


def pairs(families, probes):
    """A parameter for each family and each probe that it plays."""
    return pytest.mark.parametrize(
        ("family", "probe"),
        [
            pytest.param(family, probe, id=f"{family}-{probe.__name__}")
            for family in families
            for probe in probes
            if probe in SLOW_PROBES or family not in SLOW
        ],
    )


@pairs(FAMILIES, [p for p in TRUTHS if TRUTHS[p].best])
def test_best_actions_earn_all_that_can_be_earned(trained, family, probe):
    returns = trained(family, probe).returns
    np.testing.assert_allclose(returns, np.broadcast_to(TRUTHS[probe].best, returns.shape))


@pytest.mark.parametrize(
    "family",
    [
        *("ippo", "mappo", "sable", "a2c", "coma", "vdn", "pqn_vdn", "sac", "masac", "maac"),
        *("maddpg", "facmac", "openai_es", "jal"),
    ],
)
def test_the_forbidden_action_is_never_taken_and_always_where_it_is_allowed(trained, family):
    run = trained(family, ForbiddenAction)
    allowed = run.steps.timestep.action_mask[0, ..., 2]
    np.testing.assert_allclose(run.returns, np.where(allowed, 1.0, 0.5))
    worst = run.metrics["return_sum"] / run.metrics["episodes"]
    assert worst.min() >= 0  # nor in training: once in an update would cost 0.15 on average


@pytest.mark.parametrize("family", ["ippo_gru", "iql_gru", "pqn_iql_gru"])
def test_memory_solves_what_must_be_remembered(trained, family):
    np.testing.assert_allclose(trained(family, RememberedAction).returns, 1.0)


@pytest.mark.parametrize("family", ["ippo", "mappo", "a2c", "vdn", "pqn_vdn", "openai_es", "jal"])
def test_nothing_else_does(trained, family):
    """Chance is 0, and the mean of 256 returns of -1 or 1 deviates by 0.06."""
    assert abs(trained(family, RememberedAction).returns.mean()) < 0.3


@pytest.mark.parametrize("family", ["ippo", "vdn", "pqn_vdn", "openai_es", "jal"])
def test_agents_of_two_kinds_learn_side_by_side(trained, family):
    run = trained(family, Mixed)
    np.testing.assert_allclose(run.returns, 1.0)
    assert (run.steps.timestep.obs[0, :, 0, 1:] == 0).all()


@eqx.filter_jit
def critic_values(state, steps: Transition):
    """What the critic says of each step, in units of returns, `[T, B, N]`."""
    critic = state.params["critic"]
    carry = critic.initial_carry()
    if carry is not None:
        carry = jnp.broadcast_to(carry, (steps.action.shape[1], *carry.shape))
    starts = jnp.zeros(steps.action.shape[:2], bool)
    return state.kept.restore(critic.unroll(steps.timestep, carry, starts)[..., None])[..., 0]


@eqx.filter_jit
def greedy_values(policy: QPolicy, steps: Transition):
    """The value of each step's best action, `[T, B, N]`."""
    carry = policy.initial_carry()
    if carry is not None:
        carry = jnp.broadcast_to(carry, (steps.action.shape[1], *carry.shape))
    starts = jnp.zeros(steps.action.shape[:2], bool)
    q = policy.network.unroll(steps.timestep.obs, carry, starts)
    return jnp.where(steps.timestep.action_mask, q, -jnp.inf).max(-1)


def known(probe: type, shape: tuple[int, ...]) -> np.ndarray:
    """The true values of a probe, NaN where there is none."""
    values = np.full(shape, np.nan)
    for t, pair in enumerate(TRUTHS[probe].values):
        values[t] = pair
    return values


@pairs(ACTOR_CRITICS, [p for p in TRUTHS if TRUTHS[p].values])
def test_critics_know_what_a_step_is_worth(trained, family, probe):
    run = trained(family, probe)
    values = critic_values(run.state, run.steps)
    expected = known(probe, values.shape)
    there = ~np.isnan(expected)
    np.testing.assert_allclose(np.asarray(values)[there], expected[there], atol=0.1, rtol=0.05)


@pytest.mark.parametrize("family", ["ippo", "mappo", "a2c"])
def test_critics_tell_good_news_from_bad(trained, family):
    run = trained(family, SeenValue)
    values = critic_values(run.state, run.steps)[0]
    np.testing.assert_allclose(values, run.steps.timestep.obs[0, ..., 1], atol=0.1)


@pairs(["iql_gru", "pqn_iql_gru"], SLOW_PROBES)
def test_action_values_know_what_the_best_action_is_worth(trained, family, probe):
    run = trained(family, probe)
    values = greedy_values(FAMILIES[family].policy(run.state), run.steps)
    expected = known(probe, values.shape)
    there = ~np.isnan(expected)
    np.testing.assert_allclose(np.asarray(values)[there], expected[there], atol=0.1, rtol=0.05)


@pairs(["vdn", "pqn_vdn"], [p for p in TRUTHS if TRUTHS[p].team])
def test_what_is_mixed_is_the_value_of_the_team(trained, family, probe):
    run, team = trained(family, probe), TRUTHS[probe].team
    values = greedy_values(FAMILIES[family].policy(run.state), run.steps)
    total = jnp.where(run.steps.timestep.active, values, 0.0).sum(-1)[: len(team)]
    expected = np.broadcast_to(np.array(team)[:, None], total.shape)
    np.testing.assert_allclose(total, expected, atol=0.1, rtol=0.05)
