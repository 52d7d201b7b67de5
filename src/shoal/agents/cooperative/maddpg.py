r"""Multi-agent deterministic policy gradient: central critics in training, and actors that see what
their own agent sees.

$$
\begin{aligned}
\text{critic:} \quad & \min\ E\Big[\sum_k (Q_{i,k}(s, a_1, \dots, a_N) - y_i)^2\Big] \\
& y_i = r_i + \gamma \min_k Q'_{i,k}(s', a'_1, \dots, a'_N), \quad a'_j = \mu'_j(o'_j) \\
\text{actor:} \quad & \min\ E[-Q_{i,1}(s, a_1, \dots, \mu_i(o_i), \dots, a_N)]
\end{aligned}
$$

from a replay that the actors have filled, with slow copies Q' and mu'. Each agent has a value of
its own reward, so that interests may differ. Everyone's next action is of the slow actors, and what
is not learned now is as it was done: the gradient of an actor passes through its own action alone.

In a box mu is the point that DDPG's is. Of discrete actions it is a one-hot draw of a softmax, with
a Gumbel's noise and the softmax's gradient; a' is its best legal action, without noise. Who does
not act counts as zeros.

MATD3 has TD3's twin critics, delayed actors and, in a box, smoothed targets. IDDPG's critics read
what the agent itself sees and does: DDPG for each agent alone.
Lowe et al. 2017, arXiv:1706.02275; Ackermann et al. 2019, arXiv:1910.01465.
"""

from typing import Any

from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.agents.off_policy import OffPolicyState
from shoal.agents.policies import NoisyPolicy, SoftActor
from shoal.agents.policy_gradient.ddpg import DDPG, TD3
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.limits import Positive
from shoal.core.spaces import Box, Discrete, Factored
from shoal.math.gumbel import straight_through_gumbel
from shoal.math.td import greedy_action


class MADDPG(DDPG):
    """DDPG for teams, for box actions and for discrete ones. Noise and smoothing are of a box:
    among discrete actions the policy is drawn from."""

    temperature: Positive = 1.0
    """Of the softmax whose gradient stands for that of a discrete action; low for less bias and
    more variance. What is drawn is the same at any."""

    def action(
        self, space: Any, out: Float[Array, "*B A"], legal: Bool[Array, "*B A"], key: PRNGKeyArray
    ) -> Float[Array, "*B A"]:
        if isinstance(space, Discrete):
            return straight_through_gumbel(key, out, legal, self.temperature)
        return super().action(space, out, legal, key)

    def next_action(
        self, space: Any, out: Float[Array, "*B A"], legal: Bool[Array, "*B A"], key: PRNGKeyArray
    ) -> Array:
        if isinstance(space, Discrete):
            return greedy_action(out, legal)
        return super().next_action(space, out, legal, key)

    # Networks and acting.

    def space_of(self, spec: EnvSpec) -> Box | Discrete:
        if isinstance(spec.action, Factored):
            raise UserError(
                f"maddpg and its kin choose one action or a point in a box and {spec.name} wants "
                "several choices at once: use ippo or mappo"
            )
        return spec.action

    def learned_policy(self, state: OffPolicyState) -> NoisyPolicy | SoftActor:
        space = state.learned.params["critic"].space
        if isinstance(space, Discrete):
            return SoftActor(state.learned.params["actor"], space)
        return super().learned_policy(state)


def maddpg(**overrides: Any) -> MADDPG:
    """Critics of the state and of everyone's actions. `overrides` are fields of `MADDPG`.

    When to use it:
        Mixed interests or a team, and a simulator that shows its state in training: each agent has
        a value of its own reward. `--algo.sharing independent` is the paper's.

    What breaks it:
        One critic promises too much and the actor climbs it; see `matd3`. Critics read everyone's
        action, so that their input grows with N.
    """
    return MADDPG(**{"critic": "global", **overrides})


def matd3(**overrides: Any) -> MADDPG:
    """MADDPG with what TD3 adds to DDPG. `overrides` are fields of `MADDPG`.

    When to use it:
        As `maddpg`, where one critic promises too much.

    What breaks it:
        The lower of two values can promise too little; the actor takes every second step only.
    """
    return MADDPG(**{"critic": "global", **TD3, **overrides})


def iddpg(**overrides: Any) -> MADDPG:
    """Critics of what the agent sees and does itself. `overrides` are fields of `MADDPG`.

    When to use it:
        A reference for what central critics add; DDPG for discrete actions.

    What breaks it:
        The others learn too, so that the replay of what the environment answered grows stale.
    """
    return MADDPG(**{"critic": "local", **overrides})
