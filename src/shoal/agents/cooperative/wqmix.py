r"""Weighted QMIX: fit the monotonic value best where the action is good, by a value that is free.

$$
\begin{aligned}
\min\ & E[w(s, a)\, l(Q_{tot}(s, a) - y)] + E[l(Q^*(s, a) - y)] \\
& y = r + \gamma\, Q^{*\prime}(s', \arg\max_a Q_{tot}(s', a)) \\
\text{optimistic:} \quad & w = 1 \text{ where } Q_{tot}(s, a) < y, \text{ otherwise } \alpha \\
\text{central:} \quad & w = 1 \text{ where } y > Q^*(s, u) \text{ or } a = u,
  \text{ otherwise } \alpha, \quad u = \arg\max_a Q_{tot}(s, a)
\end{aligned}
$$

Q_tot is QMIX's; agents act on its utilities. Q* mixes utilities of its own by a network of any
sign, so that it can say what a monotonic value cannot, and is needed in training alone.
Rashid et al. 2020, arXiv:2006.10800.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.agents.cooperative.iql import LOSSES
from shoal.agents.cooperative.qmix import QMIX
from shoal.agents.experience import Experience
from shoal.agents.off_policy import Learned
from shoal.core.algorithm import Metrics
from shoal.core.descend import Params
from shoal.core.env import EnvSpec
from shoal.core.limits import Fraction, Positive
from shoal.core.parallel import weighted_mean
from shoal.core.spaces import Discrete
from shoal.math.td import greedy_action
from shoal.nn.critics import QCritic, state_inputs
from shoal.nn.mixers import Choice, NetworkMixer
from shoal.nn.mlp import FeedForward


class CentralMix(eqx.Module):
    """Q* of one team of n agents: f(s, utilities) + v(s), without a sign that it must keep."""

    f: FeedForward
    v: FeedForward

    def __init__(self, n: int, size_state: int, hidden: tuple[int, ...], *, key: PRNGKeyArray):
        key_f, key_v = jax.random.split(key)
        self.f = FeedForward(size_state + n, hidden, 1, key=key_f)
        self.v = FeedForward(size_state, hidden[:1], 1, key=key_v)

    def __call__(self, choice: Choice, state: Float[Array, "M S"]) -> Float[Array, "M"]:
        both = jnp.concatenate([state, choice.chosen], -1)
        return (self.f(both) + self.v(state))[:, 0]


class WQMIX(QMIX):
    """QMIX, whose errors weigh less where they tell little of good actions."""

    weighting: Literal["optimistic", "central"] = eqx.field(static=True, default="optimistic")
    """Whose errors weigh 1: those of values that are too low, or those of the greedy action and of
    what is worth more."""
    alpha: Fraction = 0.5
    """Weight of the other errors."""
    hypernet_gain: Positive = 1.0
    """Scale of the mixing weights at the start."""
    central_hidden: tuple[int, ...] = eqx.field(static=True, default=(256, 256, 256))
    """Widths of the layers that mix the central utilities."""

    with_target = ("q", "central", "central_mixer")

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> Params:
        key_q, key_central, key_mixer = jax.random.split(key, 3)
        groups, shape, size = self.groups(spec), self.architecture, state_inputs(spec)[0]
        space = spec.action
        assert isinstance(space, Discrete)
        central = QCritic.of(spec, space, groups, "local", keys=key_central[None], **shape)
        make = lambda n, key: CentralMix(n, size, self.central_hidden, key=key)  # noqa: E731
        mixer = NetworkMixer.of(spec, make, key_mixer)
        return super().start(spec, key_q) | {"central": central, "central_mixer": mixer}

    def groups_of(self, spec: EnvSpec, name: str) -> int:
        return super().groups_of(spec, "q" if name == "central" else name)

    def remembering_critic(self, params: Params) -> QCritic | None:
        return params["central"] if self.recurrent else None

    def value_after(self, learned: Learned, batch: Experience) -> Float[Array, "L M K"]:
        """Q* of the greedy action of Q_tot."""
        choice = self.choice_after(learned, batch)
        now, then = batch.now(batch.action), batch.then(choice.action)
        carry = batch.first_carry[1]
        utilities = learned.target["central"].after(now, then, carry, batch.starts)[0]
        choice = Choice.of(
            utilities, choice.action, batch.next_legal, batch.present, batch.next_state
        )
        return learned.target["central_mixer"](choice)

    def error(
        self,
        params: Params,
        batch: Experience,
        returns: Float[Array, "L M K"],
        weight: Float[Array, "L M K"],
    ) -> tuple[Float[Array, ""], Metrics]:
        carry, pair = batch.first_carry, batch.now(batch.action)
        step = (batch.legal, batch.active, batch.state)
        q = params["q"].unroll(batch.obs, carry[0], batch.starts)
        utilities = params["central"].unroll(pair, carry[1], batch.starts)[0]
        greedy = greedy_action(q, batch.legal)
        total = params["mixer"](Choice.of(q, batch.action, *step))
        central = params["central_mixer"](Choice.of(utilities, batch.action, *step))
        best = params["central_mixer"](Choice.of(utilities, greedy, *step))
        is_greedy = params["mixer"].all((batch.action == greedy) | ~batch.active)
        w = self.weights(total, returns, best, is_greedy)
        monotonic = weighted_mean(w * self.cost(total, returns), weight)
        free = weighted_mean(LOSSES[self.loss](central - returns), weight)
        metrics = {
            "q_mean": weighted_mean(total, weight),
            "central_q_mean": weighted_mean(central, weight),
            "monotonic_loss": monotonic,
            "central_loss": free,
            "mean_weight": weighted_mean(w, weight),
            "errors": (total - returns) * (weight > 0),
        }
        return monotonic + free, metrics

    def weights(
        self,
        total: Float[Array, "*M K"],
        y: Float[Array, "*M K"],
        best: Float[Array, "*M K"],
        is_greedy: Bool[Array, "*M K"],
    ) -> Float[Array, "*M K"]:
        """The paper's w, of Q_tot, targets, Q* of the greedy action, and whether it was taken."""
        full = total < y if self.weighting == "optimistic" else (y > best) | is_greedy
        return jnp.where(full, 1.0, self.alpha)


def wqmix(**overrides: Any) -> WQMIX:
    """Weighted QMIX. `overrides` are fields of `WQMIX`.

    When to use it:
        A team that is punished where one agent alone does the right thing; in simple_spread it was
        ahead of `qmix` after as many steps.

    What breaks it:
        Weights that are low let it look away from what is bad: a value of those actions is not
        learned well. It learns two mixtures, which takes longer than one.
    """
    return WQMIX(**overrides)
