r"""QFIX: a thin correction makes a value that is a sum, or monotonic, any of the same best actions.

$$
\begin{aligned}
\min\ & E[l(Q_{tot}(s, a) - y)] \\
& y = r + \gamma\, Q'_{tot}(s', \arg\max_a Q_1, \dots, \arg\max_a Q_N) \\
A(s, a) &= F(s, Q_1(a_1), \dots, Q_N(a_N)) - F(s, \max Q_1, \dots, \max Q_N) \le 0 \\
Q_{tot}(s, a) &= F(s, Q_1(a_1), \dots, Q_N(a_N)) + w(s, a)\, A(s, a) + b(s), \quad w > -1
\end{aligned}
$$

F is the fixee: VDN's sum or QMIX's network. Where each agent's action is its best, A is 0 and the
correction with it; elsewhere w, which reads the joint action, makes it as far below as it must be.
So what is best for each agent is best for the team, and any such value can be said, with one number
for a joint action where QPLEX has many. The correction has the advantage as it is, without a
gradient.
Baisero et al. 2025, arXiv:2505.10484, there with a plus: Q+FIX.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.cooperative.qmix import QMIX, StateMix
from shoal.core.env import EnvSpec
from shoal.nn.critics import state_inputs
from shoal.nn.mixers import Choice, Mix, Mixer, NetworkMixer
from shoal.nn.mlp import FeedForward

SHORT = 1e-6  # of the bound


class SumMix(eqx.Module):
    """VDN's sum, of one team."""

    def __call__(self, choice: Choice, state: Float[Array, "M S"]) -> Float[Array, "M"]:
        del state
        return choice.chosen.sum(1)


class FixedMix(eqx.Module):
    """The fixee of one team of n agents, and its correction."""

    fixee: Mix
    w: FeedForward
    b: FeedForward
    num_actions: int = eqx.field(static=True)

    def __call__(self, choice: Choice, state: Float[Array, "M S"]) -> Float[Array, "M"]:
        value = self.fixee(choice, state)
        best = self.fixee(eqx.tree_at(lambda c: c.chosen, choice, choice.best), state)
        advantage = jax.lax.stop_gradient(value - best)
        return value + self.weight(choice, state) * advantage + self.b(state)[:, 0]

    def weight(self, choice: Choice, state: Float[Array, "M S"]) -> Float[Array, "M"]:
        """By how much more than once the advantage counts, above -1."""
        pair = jnp.concatenate([state, choice.one_hot(self.num_actions)], 1)
        return (1 - SHORT) * jax.nn.elu(self.w(pair)[:, 0])


class QFIX(QMIX):
    """Q-learning of a team's value, a corrected sum or a corrected mixture."""

    fixee: Literal["sum", "monotonic"] = eqx.field(static=True, default="sum")
    """What is corrected: VDN's sum, or QMIX's network with `embed` and `hypernet`."""
    fix_hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    """Widths of the layers that weigh advantages (w)."""

    def mixer(self, spec: EnvSpec, key: PRNGKeyArray) -> Mixer:
        size, actions = state_inputs(spec)[0], spec.action.size

        def make(n: int, key: PRNGKeyArray) -> FixedMix:
            keys = jax.random.split(key, 3)
            monotonic = self.fixee == "monotonic"
            gain = self.hypernet_gain
            fixee = StateMix(n, size, self.embed, self.hypernet, gain=gain, key=keys[0])
            pair = size + n * actions
            w = FeedForward(pair, self.fix_hidden, 1, key=keys[1])
            b = FeedForward(size, (self.hypernet,), 1, key=keys[2])
            return FixedMix(fixee if monotonic else SumMix(), w, b, actions)

        return NetworkMixer.of(spec, make, key)


def qfix(**overrides: Any) -> QFIX:
    """A value decomposition made complete. `overrides` are fields of `QFIX`.

    When to use it:
        As `qplex`, with one number for a joint action in place of many. `fixee` says whether VDN's
        sum or QMIX's network is corrected.

    What breaks it:
        The correction reads the joint action, which grows with the number of agents, and where
        their actions are seldom tried it is a guess.
    """
    return QFIX(**overrides)
