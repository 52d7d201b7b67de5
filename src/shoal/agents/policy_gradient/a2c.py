r"""Advantage actor-critic: one gradient step from each rollout; also with a critic of the whole
state (MAA2C), as MAPPO is of PPO.

$$\max\ E[\log \pi(a_i|o_i)\, A_i] - c_v\, E[(V - R)^2] + c_e\, E[H(\pi)]$$

PPO before its first step has the same gradient, for its ratio is then 1: A2C is that step alone.
Mnih et al. 2016, arXiv:1602.01783.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from shoal.agents.actor_critic import ActorCritic
from shoal.agents.on_policy import Batch, OnPolicyState, seen_through
from shoal.core.algorithm import Carry, Metrics, Trajectory
from shoal.core.descend import Params, apply_gradient, skip_counts
from shoal.core.parallel import weighted_mean
from shoal.core.running_statistics import Moments


class Gradient(eqx.Module):
    """What one rollout teaches, wherever it was made: a worker sends it, a server applies it."""

    params: Params
    """Of the loss, for each network."""
    returns: Moments | None
    """What the scale of values has yet to see."""
    seen: tuple[Moments, Moments | None] | None
    """What the scales of observations have yet to see."""

    @staticmethod
    def mean(parts: Sequence["Gradient"]) -> "Gradient":
        """That of several rollouts, each of which weighs the same."""

        def join(*xs: Any) -> Any:
            return Moments.of_all(xs) if isinstance(xs[0], Moments) else sum(xs) / len(xs)

        return jax.tree.map(join, *parts, is_leaf=lambda x: isinstance(x, Moments))


class A2C(ActorCritic):
    """An actor-critic that uses each sample once: `learn` is `apply` of the `gradient`, unless
    there are several epochs or minibatches."""

    def gradient(self, state: OnPolicyState, trajectory: Trajectory) -> tuple[Gradient, Metrics]:
        """The gradient of a whole rollout, and what to report."""
        visible = trajectory if state.scales is None else seen_through(state.scales, trajectory)
        batch, returns = self.worth(state, visible)

        def loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            params = {**state.params, **params}
            return self.objective(params, batch, trajectory.carry, trajectory.progress)

        learned = {name: state.params[name] for name in state.optimizers}
        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(learned)
        steps = trajectory.transitions.timestep
        seen = None if state.scales is None else state.scales.moments(steps)
        return Gradient(grads, returns, seen), {"loss": value, **metrics}

    def apply(
        self,
        state: OnPolicyState,
        gradient: Gradient,
        progress: Float[Array, ""],
        squares: Mapping[str, Float[Array, "G"]] | None = None,
    ) -> tuple[OnPolicyState, Metrics]:
        """One step down a gradient, after that share of training; and its norms. Of parts of both
        where `squares` has the sums of squares of the whole gradient, by network and group."""
        params, optimizers, norms = apply_gradient(
            state.params,
            gradient.params,
            state.optimizers,
            learning_rate=self.rate(progress),
            max_grad_norm=self.max_grad_norm,
            squares=squares,
        )
        kept = state.kept if gradient.returns is None else state.kept.join(gradient.returns)
        scales = state.scales
        if scales is not None and gradient.seen is not None:
            scales = scales.join(gradient.seen)
        state = OnPolicyState(params, optimizers, scales, kept)
        return state, norms | skip_counts(optimizers)

    def loss(
        self, params: Params, batch: Batch, carry: Carry, entropy_weight: Float[Array, ""] | float
    ) -> tuple[Float[Array, ""], Metrics]:
        policy = params["actor"].unroll(batch.timestep, carry[0], batch.starts)
        value = params["critic"].unroll(batch.timestep, carry[1], batch.starts)
        log_prob = policy.log_prob(batch.action)

        policy_loss = -weighted_mean(log_prob * batch.advantage, batch.weight)
        value_loss, metrics = self.value_loss((value - batch.target) ** 2, batch)
        entropy = weighted_mean(policy.entropy(), batch.weight)
        metrics = {"policy_loss": policy_loss, **metrics, "entropy": entropy}
        return policy_loss + value_loss - entropy_weight * entropy, metrics


def a2c(**overrides: Any) -> A2C:
    """Actor-critic without reuse of samples. `overrides` are fields of `A2C`.

    When to use it:
        A reference that is simple and fast, in fast simulators with many environments.

    What breaks it:
        Each sample is used once: in the particle worlds it ends behind `ippo` after as many steps
        in most. Steps of an older policy are not corrected; see `impala`.
    """
    return A2C(**overrides)


def maa2c(**overrides: Any) -> A2C:
    """A2C with one critic of the global state. `overrides` are fields of `A2C`.

    When to use it:
        The same reference for a team whose simulator shows its state in training.

    What breaks it:
        As `a2c`; and a state that tells nothing of the single agent, as for `mappo`.
    """
    return A2C(**{"critic": "global", **overrides})


def a3c(**overrides: Any) -> A2C:
    """A2C as workers and a server run it: see `shoal.distributed.server`. `overrides` are fields of
    `A2C`.

    When to use it:
        Many processes or machines: workers send gradients to a server of parameters, and `--server`
        says whether it waits for them.

    What breaks it:
        Gradients of old parameters: the more workers, the older. Without `--workers` it is `a2c`.
    """
    return A2C(**overrides)
