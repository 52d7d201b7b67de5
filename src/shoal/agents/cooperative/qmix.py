r"""Monotonic value decomposition: a network mixes the agents' values, with weights from the state.

$$
\begin{aligned}
\min\ & E[l(Q_{tot}(s, Q_1, \dots, Q_N) - y)] \\
& y = r + \gamma\, Q'_{tot}(s', \max_a Q'_1, \dots, \max_a Q'_N),
  \quad \partial Q_{tot} / \partial Q_i \ge 0 \\
Q_{tot} &= |W_2(s)|^\top\, \mathrm{elu}(|W_1(s)|^\top Q + b_1(s)) + v(s)
\end{aligned}
$$

The weights are made from the global state by hypernetworks, and are not negative: what is best for
each agent is then best for the team, whose value is richer than a sum.
Rashid et al. 2018, arXiv:1803.11485.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.cooperative.iql import QLearning
from shoal.core.env import EnvSpec
from shoal.core.limits import Count, Positive
from shoal.nn.critics import state_inputs
from shoal.nn.mixers import Choice, Mixer, NetworkMixer
from shoal.nn.mlp import FeedForward, Linear


class StateMix(eqx.Module):
    """The mixing network of one team of n agents, whose weights the state gives: none is negative,
    unless it need not be `monotonic`."""

    w1: FeedForward
    b1: Linear
    w2: FeedForward
    v: FeedForward
    embed: int = eqx.field(static=True)
    monotonic: bool = eqx.field(static=True)

    def __init__(
        self,
        n: int,
        size_state: int,
        embed: int,
        hidden: int,
        monotonic: bool = True,
        gain: float | Array = 1.0,
        *,
        key: PRNGKeyArray,
    ):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        self.w1 = FeedForward(size_state, (hidden,), n * embed, gain, key=k1)
        self.b1 = Linear(size_state, embed, 1.0, key=k2)
        self.w2 = FeedForward(size_state, (hidden,), embed, gain, key=k3)
        self.v = FeedForward(size_state, (embed,), 1, key=k4)
        self.embed = embed
        self.monotonic = monotonic

    def __call__(self, choice: Choice, state: Float[Array, "M S"]) -> Float[Array, "M"]:
        q, w1, w2 = choice.chosen, self.w1(state), self.w2(state)
        if self.monotonic:
            w1, w2 = jnp.abs(w1), jnp.abs(w2)
        w1 = w1.reshape(*q.shape, self.embed)
        hidden = jax.nn.elu((q[..., None] * w1).sum(1) + self.b1(state))
        return (hidden * w2).sum(1) + self.v(state)[:, 0]


class QMIX(QLearning):
    """Q-learning of a team's value, which rises with the value of each of its agents."""

    embed: Count = eqx.field(static=True, default=32)
    """Width of the mixing network's hidden layer."""
    hypernet: Count = eqx.field(static=True, default=64)
    """Width of the hidden layers that make its weights from the state."""
    hypernet_gain: Positive = 0.1
    """Scale of those weights at the start. Large states make large weights, which slow learning."""

    def mixer(self, spec: EnvSpec, key: PRNGKeyArray) -> Mixer:
        size, embed, hidden = state_inputs(spec)[0], self.embed, self.hypernet
        gain = self.hypernet_gain
        make = lambda n, key: StateMix(n, size, embed, hidden, gain=gain, key=key)  # noqa: E731
        return NetworkMixer.of(spec, make, key)


def qmix(**overrides: Any) -> QMIX:
    """Monotonic value decomposition. `overrides` are fields of `QMIX`.

    When to use it:
        As `vdn`, where a sum is too poor and the environment shows a global state: in coop/two_step
        it learns the 8.

    What breaks it:
        Values that are not monotonic, where an agent's better action depends on another's: of
        QTRAN's matrix it cannot say where the 8 is.
    """
    return QMIX(**overrides)
