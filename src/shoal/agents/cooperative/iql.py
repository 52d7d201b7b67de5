r"""Independent Q-learning: every agent learns its own values and treats the others as part of the
environment.

$$
\begin{aligned}
\min\ & E[l(Q_i(o_i, a_i) - y_i)] \\
& y_i = r_i + \gamma\, Q'_i(o'_i, \arg\max_a Q_i(o'_i, a))
\end{aligned}
$$

from a replay, with a slow copy Q' of the network (Mnih et al. 2015) and double Q-learning (van
Hasselt et al. 2016, arXiv:1509.06461). VDN and QMIX put a mixer around the values on both sides.
With `hysteresis` an error that would lower a value weighs less than one that would raise it, so
that agents forgive those who still explore (Matignon et al. 2007; with deep networks Omidshafiei et
al. 2017, arXiv:1703.06182).
Tan 1993, "Multi-agent reinforcement learning: independent versus cooperative agents"; with deep
networks Tampuu et al. 2017, arXiv:1511.08779.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.experience import Experience
from shoal.agents.fields import Exploring
from shoal.agents.off_policy import Learned, OffPolicy, OffPolicyState
from shoal.agents.policies import QPolicy
from shoal.core.algorithm import Metrics
from shoal.core.descend import Params
from shoal.core.env import EnvSpec
from shoal.core.errors import require
from shoal.core.limits import Fraction, Positive, PositiveFraction
from shoal.core.parallel import weighted_mean
from shoal.core.spaces import Discrete
from shoal.math.td import greedy_action, settled_n_step_returns, settled_returns
from shoal.nn.mixers import Choice, Mixer, NoMixer
from shoal.nn.mlp import Activation

LOSSES = {"huber": optax.huber_loss, "squared": optax.l2_loss}


class QLearning(Exploring, OffPolicy):
    """Q-learning from replay; a mixer makes the agents' values those of units: agents or teams."""

    learning_rate: Positive = 2e-3
    """Adam's step size."""
    max_grad_norm: Positive = 10.0
    """Largest norm of a gradient, of each network and each group that shares parameters."""
    discount: Fraction = 0.95
    """Weight of a reward one step later."""
    target_rate: PositiveFraction = 0.01
    """Polyak's tau: the share of the network that the target takes on at a time, 1 for a copy."""
    td_lambda: Fraction = 0.0
    """Mixing of horizons in targets: 0 looks one step ahead, 1 to the end of the sequence. It is
    not corrected for actions that the policy would no longer take (Peng and Williams 1996)."""
    loss: Literal["huber", "squared"] = eqx.field(static=True, default="huber")
    """What an error costs."""
    hysteresis: Fraction = 1.0
    """Weight of an error that would lower a value, where one that would raise it weighs 1."""
    double: bool = eqx.field(static=True, default=True)
    """Whether the network, not its target, picks the action that values a successor."""
    activation: Activation = eqx.field(static=True, default="relu")
    """Non-linearity of the layers."""

    with_target = ("q", "mixer")

    def mixer(self, spec: EnvSpec, key: PRNGKeyArray) -> Mixer:
        """How the values of agents become those of their units."""
        return NoMixer()

    def step(
        self,
        learned: Learned,
        batch: Experience,
        key: PRNGKeyArray,
        learning_rate: Float[Array, ""] | float,
    ) -> tuple[Learned, Metrics]:
        returns, weight = self.targets(learned, batch)
        return learned.descend(
            lambda params: self.error(params, batch, returns, weight),
            *learned.params,
            learning_rate=learning_rate,
            max_grad_norm=self.max_grad_norm,
        )

    def targets(
        self, learned: Learned, batch: Experience
    ) -> tuple[Float[Array, "L M K"], Float[Array, "L M K"]]:
        """What the values of units should be, and the weight of each."""
        mixer, value_after = learned.params["mixer"], self.value_after(learned, batch)
        steps = unit_steps(mixer, batch, value_after, self.discount)
        if self.n_step > 1:
            returns, settled = settled_n_step_returns(*steps, self.n_step)
        else:
            returns, settled = settled_returns(*steps, self.td_lambda)
        weight = settled & mixer.any(self.weight_of(batch) > 0)
        importance = 1.0 if batch.importance is None else batch.importance[:, None]
        return jax.lax.stop_gradient(returns), weight * importance

    def value_after(self, learned: Learned, batch: Experience) -> Float[Array, "L M K"]:
        """What the successors are worth to units."""
        return learned.target["mixer"](self.choice_after(learned, batch))

    def choice_after(self, learned: Learned, batch: Experience) -> Choice:
        """The greedy choice in the successors. An agent without one adds nothing to its unit's."""
        steps = (batch.obs, batch.next_obs, batch.first_carry[0], batch.starts)
        q_t = learned.target["q"].after(*steps)
        selector = learned.params["q"].after(*steps) if self.double else q_t
        action = greedy_action(selector, batch.next_legal)
        return Choice.of(q_t, action, batch.next_legal, batch.present, batch.next_state)

    def error(
        self,
        params: Params,
        batch: Experience,
        returns: Float[Array, "L M K"],
        weight: Float[Array, "L M K"],
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss: how far the units' values are from their targets."""
        q = params["q"].unroll(batch.obs, batch.first_carry[0], batch.starts)
        choice = Choice.of(q, batch.action, batch.legal, batch.active, batch.state)
        value = params["mixer"](choice)
        loss = weighted_mean(self.cost(value, returns), weight)
        errors = (value - returns) * (weight > 0)
        return loss, {"q_mean": weighted_mean(value, weight), "errors": errors}

    def cost(
        self, value: Float[Array, "L M K"], target: Float[Array, "L M K"]
    ) -> Float[Array, "L M K"]:
        """What each error costs."""
        falls = value > target
        return LOSSES[self.loss](value - target) * jnp.where(falls, self.hysteresis, 1.0)

    # Networks, acting and exploring.

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        require(
            self.n_step == 1 or self.td_lambda == 0,
            f"n_step is {self.n_step} and td_lambda {self.td_lambda}, expected one of them",
        )
        require(
            self.td_lambda == 0 or self.recurrent > 0 or self.sequence_length > 1,
            f"td_lambda is {self.td_lambda}, which does nothing in sequences of one step: give a "
            "sequence_length too",
        )
        check_choices(spec)

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> Params:
        key_network, key_mixer = jax.random.split(key)
        network = self.network(spec, spec.action.size, key=key_network)
        return {"q": network, "mixer": self.mixer(spec, key_mixer)}

    def groups_of(self, spec: EnvSpec, name: str) -> int:
        return self.groups(spec).count if name == "q" else 1

    def reads_state(self, params: Params) -> bool:
        return params["mixer"].needs_state

    def learned_policy(self, state: OffPolicyState) -> QPolicy:
        """Samples explore as little as they will in the end, whatever `act` still explores."""
        return QPolicy(state.learned.params["q"], state.spec.action, jnp.float32(self.epsilon_end))

    def explorer(self, state: OffPolicyState) -> QPolicy:
        return QPolicy(state.learned.params["q"], state.spec.action, self.epsilon(state.progress))


def unit_steps(
    mixer: Mixer,
    batch: Experience,
    value_after: Float[Array, "L M K"],
    discount: Float[Array, ""] | float,
) -> tuple[Array, Array, Array, Array, Array]:
    """What returns of units are made of, as `settled_returns` takes it: rewards, discounts, values
    of the successors, which of these mean something, and where what follows is of something else.

    Args:
        mixer: which agents make up a unit.
        batch: the steps, in order.
        value_after: what their successors are worth to each unit.
        discount: weight of what comes a step later.
    """
    ended = mixer.all(batch.gone)
    return (
        mixer.mean(batch.reward),
        discount * (1.0 - ended),
        value_after,
        mixer.any(batch.present) | ended,
        # What follows the cut of a member does not hold what it would have been worth.
        batch.done[..., None] | mixer.any(batch.cut),
    )


def check_choices(spec: EnvSpec) -> None:
    """Raises `UserError` where actions are not discrete."""
    require(
        isinstance(spec.action, Discrete),
        f"Q-learning chooses among discrete actions and {spec.name} has others: "
        "use ippo or mappo, or the environment's discrete actions",
    )


def iql(**overrides: Any) -> QLearning:
    """Q-learning of each agent from its own reward. `overrides` are fields of `QLearning`.

    When to use it:
        Few discrete actions, samples that are dearer than computation, and no need of a global
        state or a common reward.

    What breaks it:
        The others learn too, so that what the replay remembers is no longer true. Agents that must
        act together settle for what is safe alone: in coop/two_step it learns 7 of 8. Greedy values
        have no mixed strategies, so that games of matching pennies' kind make it cycle.
    """
    return QLearning(**overrides)
