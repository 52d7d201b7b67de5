r"""QTRAN: learn the joint value freely, and the agents' values so that they are best where it is.

$$
\begin{aligned}
L_{td} &= l(Q(s, a) - y), \quad y = r + \gamma\, Q'(s', u'),
  \quad u = (\arg\max_a Q_1, \dots, \arg\max_a Q_N) \\
L_{opt} &= l\Big(\sum_i Q_i(u_i) - Q(s, u) + V(s)\Big) \\
L_{nopt} &= l\Big(\min\Big(\sum_i Q_i(a_i) - Q(s, a) + V(s),\ 0\Big)\Big) \\
\min\ & E[L_{td} + \lambda_{opt} L_{opt} + \lambda_{nopt} L_{nopt}]
\end{aligned}
$$

The sum of the agents' values, shifted by V(s), is to be the joint value Q at their own best
actions u, and nowhere below it: then u is best for the team. The last two losses take Q as it is.
Agents act on their own values; Q and V are needed in training alone. This is QTRAN-base.
Son et al. 2019, arXiv:1905.05408.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.cooperative.iql import LOSSES
from shoal.agents.cooperative.vdn import VDN
from shoal.agents.experience import Experience
from shoal.agents.off_policy import Learned
from shoal.core.algorithm import Metrics
from shoal.core.descend import Params
from shoal.core.env import EnvSpec
from shoal.core.limits import NonNegative
from shoal.core.parallel import weighted_mean
from shoal.math.td import greedy_action
from shoal.nn.critics import state_inputs
from shoal.nn.mixers import Choice, NetworkMixer
from shoal.nn.mlp import FeedForward


class JointValue(eqx.Module):
    """Q of the state and of the actions of one team."""

    network: FeedForward
    num_actions: int = eqx.field(static=True)

    def __call__(self, choice: Choice, state: Float[Array, "M S"]) -> Float[Array, "M"]:
        pair = jnp.concatenate([state, choice.one_hot(self.num_actions)], -1)
        return self.network(pair)[:, 0]


class StateValue(eqx.Module):
    """V of the state, for one team."""

    network: FeedForward

    def __call__(self, choice: Choice, state: Float[Array, "M S"]) -> Float[Array, "M"]:
        del choice
        return self.network(state)[:, 0]


class QTRAN(VDN):
    """Q-learning of a joint value, of which a team's summed values keep the best actions."""

    opt_weight: NonNegative = 1.0
    """Weight of the loss at the agents' best actions (lambda_opt)."""
    nopt_weight: NonNegative = 0.1
    """Weight of the loss at all other actions (lambda_nopt), PyMARL's."""
    joint_hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    """Widths of the layers of the joint value and of the state's."""

    with_target = ("q", "joint")

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> Params:
        key_q, key_joint, key_v = jax.random.split(key, 3)
        size, actions = state_inputs(spec)[0], spec.action.size

        def joint(n: int, key: PRNGKeyArray) -> JointValue:
            network = FeedForward(size + n * actions, self.joint_hidden, 1, key=key)
            return JointValue(network, actions)

        def v(n: int, key: PRNGKeyArray) -> StateValue:
            return StateValue(FeedForward(size, self.joint_hidden, 1, key=key))

        return super().start(spec, key_q) | {
            "joint": NetworkMixer.of(spec, joint, key_joint),
            "v": NetworkMixer.of(spec, v, key_v),
        }

    def reads_state(self, params: Params) -> bool:
        return True

    def value_after(self, learned: Learned, batch: Experience) -> Float[Array, "L M K"]:
        """Q of the agents' best actions."""
        return learned.target["joint"](self.choice_after(learned, batch))

    def error(
        self,
        params: Params,
        batch: Experience,
        returns: Float[Array, "L M K"],
        weight: Float[Array, "L M K"],
    ) -> tuple[Float[Array, ""], Metrics]:
        q = params["q"].unroll(batch.obs, batch.first_carry[0], batch.starts)
        step = (batch.legal, batch.active, batch.state)
        taken = Choice.of(q, batch.action, *step)
        best = Choice.of(q, greedy_action(q, batch.legal), *step)
        joint, v = params["joint"](taken), params["v"](taken)

        def above(choice: Choice) -> Float[Array, "L M K"]:
            """How far the sum, shifted by V, is above the joint value."""
            joint = jax.lax.stop_gradient(params["joint"](choice))
            return params["mixer"](choice) - joint + v

        cost = LOSSES[self.loss]
        td = weighted_mean(self.cost(joint, returns), weight)
        opt = weighted_mean(cost(above(best)), weight)
        nopt = weighted_mean(cost(jnp.minimum(above(taken), 0.0)), weight)
        metrics = {
            "q_mean": weighted_mean(joint, weight),
            "td_loss": td,
            "opt_loss": opt,
            "nopt_loss": nopt,
            "errors": (joint - returns) * (weight > 0),
        }
        return td + self.opt_weight * opt + self.nopt_weight * nopt, metrics


def qtran(**overrides: Any) -> QTRAN:
    """QTRAN-base. `overrides` are fields of `QTRAN`.

    When to use it:
        As `qplex`, in small games: the joint value is free of any form.

    What breaks it:
        Large teams, since the joint value must be learned of all joint actions, and the agents'
        values follow only as well as it is known.
    """
    return QTRAN(**overrides)
