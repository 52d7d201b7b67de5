r"""QPLEX: duelling networks within a duelling network, for any value of the same best actions.

$$
\begin{aligned}
\min\ & E[l(Q_{tot}(s, a) - y)] \\
& y = r + \gamma\, Q'_{tot}(s', \arg\max_a Q_1, \dots, \arg\max_a Q_N) \\
V_i &= w_i(s) \max_a Q_i + b_i(s),
  \quad A_i = w_i(s)\, (Q_i(a_i) - \max_a Q_i) \le 0, \quad w_i(s) > 0 \\
Q_{tot}(s, a) &= \sum_i V_i + \sum_i \lambda_i(s, a)\, A_i \\
&= \sum_i (V_i + A_i) + \sum_i (\lambda_i(s, a) - 1)\, A_i \\
\lambda_i(s, a) &= \sum_k \upsilon_k(s)\, \phi_{ik}(s)\, \lambda_{ik}(s, a) > 0
\end{aligned}
$$

All advantages are 0 where each agent's action is its best, and below elsewhere: what is best for
each agent is best for the team, whatever the weights, which read the joint action. The second sum
has the advantages as they are, without a gradient, so that utilities learn as in a weighted sum.
Without `weighted`, w_i is 1. Nothing that can be said is lost by it, since lambda weighs as well;
with it values may grow without end, for w and Q_i make each other's gradients larger.
Wang et al. 2021, arXiv:2008.01062.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.cooperative.iql import QLearning
from shoal.core.env import EnvSpec
from shoal.core.limits import Count
from shoal.nn.critics import state_inputs
from shoal.nn.mixers import Choice, Mixer, NetworkMixer
from shoal.nn.mlp import FeedForward

SMALLEST = 1e-10  # of what must be positive


class DuplexMix(eqx.Module):
    """The transformation and the duelling mixture of one team of n agents."""

    w: FeedForward | None
    b: FeedForward
    upsilon: FeedForward  # how much each head counts
    phi: FeedForward  # which agents a head looks at
    actions: FeedForward  # and at which joint actions
    num_actions: int = eqx.field(static=True)
    heads: int = eqx.field(static=True)

    def __init__(
        self,
        n: int,
        num_actions: int,
        size_state: int,
        heads: int,
        hidden: int,
        advantage_hidden: tuple[int, ...],
        weighted: bool,
        *,
        key: PRNGKeyArray,
    ):
        k1, k2, k3, k4, k5 = jax.random.split(key, 5)
        size_pair = size_state + n * num_actions
        self.w = FeedForward(size_state, (hidden,), n, key=k1) if weighted else None
        self.b = FeedForward(size_state, (hidden,), n, 0.1, key=k2)  # starts near none
        self.upsilon = FeedForward(size_state, advantage_hidden, heads, key=k3)
        self.phi = FeedForward(size_state, advantage_hidden, heads * n, key=k4)
        self.actions = FeedForward(size_pair, advantage_hidden, heads * n, key=k5)
        self.num_actions = num_actions
        self.heads = heads

    def __call__(self, choice: Choice, state: Float[Array, "M S"]) -> Float[Array, "M"]:
        w = 1.0 if self.w is None else jnp.abs(self.w(state)) + SMALLEST
        value = (w * choice.chosen + self.b(state)).sum(1)
        advantage = jax.lax.stop_gradient(w * (choice.chosen - choice.best))
        weights = self.weights(state, choice.one_hot(self.num_actions))
        return value + ((weights - 1) * advantage).sum(1)

    def weights(
        self, state: Float[Array, "M S"], joint: Float[Array, "M nA"]
    ) -> Float[Array, "M n"]:
        """How much each agent's advantage counts in a joint action: lambda."""
        by_head = lambda x: x.reshape(len(x), self.heads, -1)  # noqa: E731
        upsilon = jnp.abs(self.upsilon(state)) + SMALLEST
        phi = jax.nn.sigmoid(by_head(self.phi(state)))
        of_action = jax.nn.sigmoid(by_head(self.actions(jnp.concatenate([state, joint], 1))))
        return (upsilon[..., None] * phi * of_action).sum(1)


class QPLEX(QLearning):
    """Q-learning of a team's value, best where each of its agents' values is."""

    heads: Count = eqx.field(static=True, default=10)
    """Sums of which the weights of advantages are made (K)."""
    hypernet: Count = eqx.field(static=True, default=64)
    """Width of the hidden layers that make offsets and weights of values from the state (b, w)."""
    advantage_hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    """Widths of the layers that weigh advantages (lambda)."""
    weighted: bool = eqx.field(static=True, default=False)
    """Whether values are weighted by the state first (w), as in the paper."""

    def mixer(self, spec: EnvSpec, key: PRNGKeyArray) -> Mixer:
        size, actions = state_inputs(spec)[0], spec.action.size
        shape = (self.heads, self.hypernet, self.advantage_hidden, self.weighted)
        make = lambda n, key: DuplexMix(n, actions, size, *shape, key=key)  # noqa: E731
        return NetworkMixer.of(spec, make, key)


def qplex(**overrides: Any) -> QPLEX:
    """Duplex duelling value decomposition. `overrides` are fields of `QPLEX`.

    When to use it:
        As `wqmix`: any joint value whose best action is each agent's best can be said.

    What breaks it:
        More to learn than a sum, so that where a sum is enough `vdn` is faster.
    """
    return QPLEX(**overrides)
