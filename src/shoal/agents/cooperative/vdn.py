r"""Value decomposition: the value of a team is the sum of its agents' values.

$$
\begin{aligned}
\min\ & E\Big[l\Big(\sum_i Q_i(o_i, a_i) - y\Big)\Big] \\
& y = r + \gamma \sum_i Q'_i(o'_i, \arg\max_a Q_i(o'_i, a))
\end{aligned}
$$

and r the mean of the team's rewards, so that credit is shared out among the agents by learning
alone, and each acts on its own values.
Sunehag et al. 2017, arXiv:1706.05296.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.cooperative.iql import QLearning
from shoal.core.env import EnvSpec
from shoal.nn.mixers import Choice, Mixer, TeamMixer, agents_of_team


class SumMixer(TeamMixer):
    r"""$Q_{team} = \sum_i Q_i$."""

    def __call__(self, choice: Choice) -> Float[Array, "*M K"]:
        return jnp.stack([q.sum(-1) for q in self.per_team(choice.chosen)], -1)


class VDN(QLearning):
    """Q-learning of the sum of a team's values from the team's mean reward."""

    def mixer(self, spec: EnvSpec, key: PRNGKeyArray) -> Mixer:
        return SumMixer(agents_of_team(spec))


def vdn(**overrides: Any) -> VDN:
    """Value decomposition by sums. `overrides` are fields of `QLearning`.

    When to use it:
        A team with a common reward and few discrete actions: credit is shared out by learning
        alone, and no state is needed.

    What breaks it:
        Values that no sum of the agents' own is: in coop/two_step it learns 7 of 8, and of QTRAN's
        matrix a sum cannot say where the 8 is.
    """
    return VDN(**overrides)
