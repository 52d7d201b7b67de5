r"""Heterogeneous-agent PPO and TRPO: agents learn one after the other, each in the light of what
those before it have become.

$$A_i = \prod_{j \text{ before } i} \frac{\pi_j(a_j|o_j)}{\pi_j^{old}(a_j|o_j)}\, A$$

is the advantage that agent i learns from, in an order drawn anew for each update: the team's
advantage of the actions that those before it would now take. So every update of the team is a step
of a trust region of its own, though agents share no parameters.
Kuba et al. 2022, arXiv:2109.11251; Zhong et al. 2024, arXiv:2304.09870.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from shoal.agents.on_policy import Batch, OnPolicyState
from shoal.agents.policy_gradient.ppo import PPO
from shoal.agents.policy_gradient.trpo import TRPO
from shoal.core.algorithm import Metrics, Trajectory
from shoal.core.descend import Frozen
from shoal.core.env import EnvSpec
from shoal.core.errors import require

Descend = Callable[..., tuple[OnPolicyState, Metrics]]


def one_by_one(
    descend: Descend, state: OnPolicyState, batch: Batch, trajectory: Trajectory, key: PRNGKeyArray
) -> tuple[OnPolicyState, Metrics]:
    """`descend` for each group of agents that shares a policy, in random order; for the critic the
    first time alone."""
    groups = state.params["actor"].network.groups
    of_agent, critics = jnp.array(groups.of_agent), len(state.optimizers["critic"].skipped)

    def log_prob(state: OnPolicyState):
        actor, carry = state.params["actor"], trajectory.carry[0]
        return actor.unroll(batch.timestep, carry, batch.starts).log_prob(batch.action)

    def learn(loop, inputs):
        (state, log_factor), (place, group, key) = loop, inputs
        own = of_agent == group
        part = eqx.tree_at(
            lambda b: (b.advantage, b.weight),
            batch,
            (batch.advantage * jnp.exp(log_factor)[..., None], batch.weight * own),
        )
        others = jnp.arange(groups.count) != group
        frozen = {"actor": others, "critic": jnp.full(critics, place > 0)}
        before = log_prob(state)
        state, metrics = descend(state, part, trajectory, key, frozen)
        moved = (log_prob(state) - before) * part.weight
        return (state, log_factor + moved.sum(-1)), metrics

    key_order, key = jax.random.split(key)
    order = jax.random.permutation(key_order, groups.count)
    inputs = (jnp.arange(groups.count), order, jax.random.split(key, groups.count))
    start = (state, jnp.zeros(batch.starts.shape))
    (state, _), metrics = jax.lax.scan(learn, start, inputs)
    return state, jax.tree.map(jnp.mean, metrics)


def _check(algorithm: PPO | TRPO) -> None:
    require(
        not algorithm.recompute_advantages,
        "recompute_advantages would lose what those before an agent have become: leave it out",
    )


class HAPPO(PPO):
    """PPO agent by agent. Groups that share a policy learn at the same time."""

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        _check(self)

    def descend(
        self,
        state: OnPolicyState,
        batch: Batch,
        trajectory: Trajectory,
        key: PRNGKeyArray,
        frozen: Frozen | None = None,
    ) -> tuple[OnPolicyState, Metrics]:
        return one_by_one(super().descend, state, batch, trajectory, key)


class HATRPO(TRPO):
    """TRPO agent by agent. Groups that share a policy learn at the same time."""

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        _check(self)

    def descend(
        self,
        state: OnPolicyState,
        batch: Batch,
        trajectory: Trajectory,
        key: PRNGKeyArray,
        frozen: Frozen | None = None,
    ) -> tuple[OnPolicyState, Metrics]:
        return one_by_one(super().descend, state, batch, trajectory, key)


def happo(**overrides: Any) -> HAPPO:
    """Heterogeneous-agent PPO. `overrides` are fields of `HAPPO`.

    When to use it:
        A team of unlike agents, each with parameters of its own. An agent's step allows for the
        steps of those before it.

    What breaks it:
        Many agents: an update takes their steps one after another. With shared parameters it is
        `mappo`, as there is one group, and where interests differ its argument does not hold.
    """
    return HAPPO(**{"critic": "global", "sharing": "independent", **overrides})


def hatrpo(**overrides: Any) -> HATRPO:
    """Heterogeneous-agent TRPO. `overrides` are fields of `HATRPO`.

    When to use it:
        As `happo`, where each step must stay within a trust region and few settings should be
        chosen.

    What breaks it:
        As `happo`; a step costs several products with Fisher's matrix for each group of agents.
    """
    return HATRPO(**{"critic": "global", "sharing": "independent", **overrides})
