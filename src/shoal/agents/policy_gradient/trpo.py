r"""Trust-region policy optimization, and the natural policy gradient, which is its whole step.

$$
\begin{aligned}
\max\ & L(\theta) = E\Big[\frac{\pi_\theta(a|o)}{\pi_{old}(a|o)}\, A\Big] \\
\text{so that}\ & E[KL(\pi_{old}(\cdot|o)\,|\,\pi_\theta(\cdot|o))] \le \delta
\end{aligned}
$$

To first order in L and second in the divergence, whose matrix F is Fisher's, the answer is

$$\theta = \theta_{old} + s \sqrt{\frac{2 \delta}{x^\top F x}}\, x, \qquad F x = \nabla L$$

where conjugate gradients find x from products with F alone. TRPO takes the largest s = 1, 0.8,
0.8^2, ... at which L has risen and the divergence is within delta; the natural gradient s = 1.
Each group of agents that shares parameters has a trust region of its own. The critic learns by
gradient steps, as in PPO.
Schulman et al. 2015, arXiv:1502.05477; Kakade 2001, A Natural Policy Gradient.
"""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.actor_critic import ActorCritic
from shoal.agents.on_policy import Batch, OnPolicyState
from shoal.agents.policies import Actor
from shoal.core.algorithm import Carry, Metrics, Trajectory
from shoal.core.descend import Frozen, Params, apply_gradient, from_rows, rows_of
from shoal.core.limits import Count, Natural, NonNegative, Positive
from shoal.core.parallel import group_sum, pmean, weighted_mean
from shoal.math.natural_gradient import (
    backtracking_line_search,
    conjugate_gradient,
    fisher_vector_product,
)


class TRPO(ActorCritic):
    """An actor-critic whose policy takes one natural step from each rollout."""

    max_kl: Positive = 0.01
    """Largest mean divergence of a step, in nats: delta."""
    damping: NonNegative = 0.1
    """Added to the eigenvalues of Fisher's matrix."""
    entropy_weight: NonNegative = 0.0
    """Weight of the policy's entropy in L."""
    conjugate_steps: Count = eqx.field(static=True, default=10)
    """Largest number of products with Fisher's matrix."""
    line_search: Natural = eqx.field(static=True, default=10)
    """Largest number of tries; 0 for the whole step, whatever it does."""
    epochs: Count = eqx.field(static=True, default=10)
    """Passes of the critic over each rollout."""
    minibatches: Count = eqx.field(static=True, default=4)
    """Parts of such a pass."""

    rules: ClassVar = {"actor": optax.identity()}

    def loss(
        self, params: Params, batch: Batch, carry: Carry, entropy_weight: Float[Array, ""] | float
    ) -> tuple[Float[Array, ""], Metrics]:
        """The critic's."""
        value = params["critic"].unroll(batch.timestep, carry[1], batch.starts)
        return self.value_loss((value - batch.target) ** 2, batch)

    def descend(
        self,
        state: OnPolicyState,
        batch: Batch,
        trajectory: Trajectory,
        key: PRNGKeyArray,
        frozen: Frozen | None = None,
    ) -> tuple[OnPolicyState, Metrics]:
        left = 1.0 - trajectory.progress if self.anneal_entropy else 1.0
        actor, carry = state.params["actor"], trajectory.carry[0]
        step, metrics = self.natural_step(actor, batch, carry, self.entropy_weight * left)
        own = {"actor": state.optimizers["actor"]}
        params, moved, _ = apply_gradient(
            state.params, {"actor": step}, own, learning_rate=-1.0, frozen=frozen
        )
        others = {name: o for name, o in state.optimizers.items() if name not in own}
        state = dataclasses.replace(state, params=params, optimizers=others)
        state, of_critic = super().descend(state, batch, trajectory, key, frozen)
        state = dataclasses.replace(state, optimizers=state.optimizers | moved)
        return state, {**metrics, **of_critic}

    def natural_step(
        self, actor: Actor, batch: Batch, carry: Carry, entropy_weight: Float[Array, ""] | float
    ) -> tuple[Actor, Metrics]:
        """What to add to the policy's parameters, group by group, and what that does."""
        groups = actor.network.groups
        start, of_agent = rows_of(actor, groups.count), groups.of_agent
        weight = group_sum(batch.weight.sum((0, 1)), of_agent, groups.count)
        share = batch.weight / jnp.maximum(pmean(weight), 1e-8)[jnp.array(of_agent)]

        def mean(x: Float[Array, "T B N"]) -> Float[Array, "G"]:
            """Each group's mean, of which this device has a part."""
            return group_sum((x * share).sum((0, 1)), of_agent, groups.count)

        def policy(rows: Float[Array, "G P"]):
            return from_rows(rows, actor).unroll(batch.timestep, carry, batch.starts)

        old = policy(start)
        old_log_prob = old.log_prob(batch.action)

        def gain(rows: Float[Array, "G P"]) -> Float[Array, "G"]:
            new = policy(rows)
            ratio = jnp.exp(new.log_prob(batch.action) - old_log_prob)
            return mean(ratio * batch.advantage + entropy_weight * new.entropy())

        def divergence(rows: Float[Array, "G P"]) -> Float[Array, "G"]:
            return mean(old.kl(policy(rows)))

        def product(x: Float[Array, "G P"]) -> Float[Array, "G P"]:
            kl = lambda rows: divergence(rows).sum()  # noqa: E731
            return pmean(fisher_vector_product(kl, start, x, self.damping))

        def accepts(rows: Float[Array, "G P"]):
            better, near = pmean((gain(rows) - before, divergence(rows)))
            return (better > 0) & (near <= self.max_kl)

        before = gain(start)
        gradient = pmean(jax.grad(lambda rows: gain(rows).sum())(start))
        x = conjugate_gradient(product, gradient, self.conjugate_steps)
        curvature = (x * product(x)).sum(-1, keepdims=True)
        scale = jnp.sqrt(2 * self.max_kl / jnp.where(curvature > 0, curvature, jnp.inf))
        end, taken = start + scale * x, jnp.ones(groups.count)
        if self.line_search:
            end, taken = backtracking_line_search(
                accepts, start, scale * x, max_tries=self.line_search
            )
        finite = jnp.isfinite(gradient).all(-1, keepdims=True)
        step = jnp.where(finite, end - start, jnp.nan)  # so that it is skipped, and counted
        better, near = pmean((gain(end) - before, divergence(end)))
        metrics = {
            "policy_gain": better.mean(),
            "entropy": weighted_mean(old.entropy(), batch.weight),
            "kl": near.max(),
            "line_search": taken.mean(),
        }
        return from_rows(step, actor), metrics


def trpo(**overrides: Any) -> TRPO:
    """Trust-region policy optimization. `overrides` are fields of `TRPO`.

    When to use it:
        One agent, or each for itself, where a step must not go too far: the divergence is bounded,
        and the step size follows from it.

    What breaks it:
        Samples are used for one step of the policy, so that PPO learns more from as many. In
        Pendulum one of three seeds was left behind within 100,000 steps.
    """
    return TRPO(**overrides)


def npg(**overrides: Any) -> TRPO:
    """The natural policy gradient: whole steps. `overrides` are fields of `TRPO`.

    When to use it:
        A reference for what the line search of `trpo` adds.

    What breaks it:
        The whole step is taken, whatever it does: where the quadratic model of the divergence is
        poor, it goes too far.
    """
    return TRPO(**{"line_search": 0, **overrides})
