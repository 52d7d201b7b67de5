r"""MAAC: soft actor-critic whose central critic attends to the other agents.

$$
\begin{aligned}
\text{critic:} \quad & \min\ E[(Q_i(o, a) - y_i)^2] \\
& y_i = r_i + \gamma\, E[Q'_i(o', a') - \alpha \log \pi_i(a'_i|o'_i)] \\
\text{actor:} \quad & \text{climb } E[\nabla \log \pi_i(a_i|o_i)\,
  (Q_i(o, a) - b_i - \alpha \log \pi_i(a_i|o_i))] \\
& b_i = \sum_c \pi_i(c|o_i)\, Q_i(o, (a_{-i}, c))
\end{aligned}
$$

with observations and, in the critic's loss, actions from a replay; all other actions are drawn from
the policies. The critic values all of agent i's own actions at once, given those of the others: so
the mean over a_i is summed here and not sampled, as the gradient of

$$\sum_c \pi_i(c|o_i)\, (Q_i(o, (a_{-i}, c)) - \alpha \log \pi_i(c|o_i)).$$

The baseline b_i makes samples of a_i less noisy; in the sum it changes nothing, for it is the same
for all c. With attention what is read of the others does not grow with their number; without it
this is discrete MASAC with one critic.

The temperature is learned, group by group, as in `sac`; the paper's is fixed.
Iqbal and Sha 2019, arXiv:1810.02912.
"""

from typing import Any, Literal

import equinox as eqx
from jaxtyping import Array, Key

from shoal.agents.policy_gradient.sac import SAC
from shoal.core.env import EnvSpec
from shoal.core.errors import require
from shoal.core.limits import Count
from shoal.core.spaces import Box, Discrete
from shoal.nn.attention_critic import AttentionCritic
from shoal.nn.critics import ActionCritic


class MAAC(SAC):
    """Soft actor-critic of discrete actions with attention over agents."""

    critic: Literal["attention", "global"] = eqx.field(static=True, default="attention")  # pyright: ignore[reportIncompatibleVariableOverride]
    """What critics read besides the agent's own action: attention over what the others see and do,
    or the global state and everyone's action at once."""
    heads: Count = eqx.field(static=True, default=4)
    """How many heads attend."""
    head_size: Count = eqx.field(static=True, default=32)
    """Numbers that a head reads of each other agent; an embedding has `heads` times as many."""
    critics: Count = eqx.field(static=True, default=1)
    """How many critics there are; the lowest counts in targets."""

    def check(self, spec: EnvSpec) -> None:
        require(
            isinstance(spec.action, Discrete),
            f"maac chooses among discrete actions and {spec.name} has others: use masac or mappo, "
            "or the environment's discrete actions",
        )
        super().check(spec)
        require(
            not (self.crossq and self.critic == "attention"),
            "crossq is of plain critics, and critic is attention: use critic global",
        )

    def make_critic(
        self, spec: EnvSpec, space: Box | Discrete, keys: Key[Array, "K"]
    ) -> ActionCritic:
        if self.critic == "global":
            return super().make_critic(spec, space, keys)
        assert isinstance(space, Discrete)
        shape = {**self.architecture, "hidden": self.critic_hidden or self.hidden}
        sizes = {"heads": self.heads, "head_size": self.head_size}
        return AttentionCritic.of(spec, space, self.groups(spec), keys=keys, **sizes, **shape)

    def groups_of(self, spec: EnvSpec, name: str) -> int:
        """All agents share the attention, so that their critics are one network."""
        if name == "critic" and self.critic == "attention":
            return 1
        return super().groups_of(spec, name)


def maac(**overrides: Any) -> MAAC:
    """MAAC. `overrides` are fields of `MAAC`.

    When to use it:
        A team, or mixed interests, of many agents with discrete actions and no global state: what a
        critic reads of the others does not grow with their number.

    What breaks it:
        Attention must be learned: few samples, or two agents, for which `--algo.critic global`
        reads the same with less.
    """
    return MAAC(**overrides)
