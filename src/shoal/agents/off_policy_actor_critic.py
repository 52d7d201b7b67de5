"""The engine of actor-critics that learn from replay: critics of actions, and their targets.

    y = r_1 + gamma r_2 + .. + gamma^(n-1) r_n + gamma^n V(o_n)

An algorithm says what a successor is worth, V, and climbs the critics. Values of successors are of
slow copies of the critics, or, with CrossQ, of the critics themselves: one pass over (o, a) and
(o', a') at once gives both, normalised by one batch, and y has no gradient. Only critics are
normalised; an actor climbs them by their running statistics.
"""

import abc
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from shoal.agents.experience import Experience
from shoal.agents.off_policy import Learned, OffPolicy, OffPolicyState
from shoal.agents.policies import Explorer, NoisyPolicy, SoftActor
from shoal.core.algorithm import Policy
from shoal.core.descend import Params
from shoal.core.env import EnvSpec
from shoal.core.errors import require
from shoal.core.limits import Count, Positive
from shoal.core.spaces import Box, Discrete
from shoal.math.td import settled_n_step_returns
from shoal.nn.batch_norm import BatchNormMLP
from shoal.nn.critics import ActionCritic, QCritic
from shoal.nn.mlp import Activation


class OffPolicyActorCritic(OffPolicy):
    """Networks `actor` and `critic`, and the fields that they have in common."""

    learning_rate: Positive = 3e-4
    """Adam's step size, of all networks."""
    max_grad_norm: Positive = 1e3
    """Largest norm of a gradient, of each network and each group that shares parameters."""
    hidden: tuple[int, ...] = eqx.field(static=True, default=(256, 256))
    """Widths of the layers."""
    critic_hidden: tuple[int, ...] = eqx.field(static=True, default=())
    """Widths of the critics' layers; those of `hidden` if there are none."""
    activation: Activation = eqx.field(static=True, default="relu")
    """Non-linearity of the layers."""
    anneal_learning_rate: bool = eqx.field(static=True, default=False)
    """Whether the learning rate falls linearly to 0."""
    critics: Count = eqx.field(static=True, default=2)
    """How many critics there are; the lowest counts in targets."""
    critic: Literal["local", "global"] = eqx.field(static=True, default="local")
    """What critics read besides the agent's own action: what it sees, or the global state and what
    the others do."""
    crossq: bool = eqx.field(static=True, default=False)
    """Whether critics are batch-normalised, over what was done and what followed at once, and there
    are no target networks (CrossQ, Bhatt et al. 2024, arXiv:1902.05605); its critics are wide."""

    @property
    def slow_copies(self) -> tuple[str, ...]:
        return () if self.crossq else self.with_target

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        unlike = {
            "recurrent": self.recurrent,
            "residual": self.residual,
            "layer_norm": self.layer_norm,
            "torso": self.torso,
            "images": spec.images,
        }
        found = [name for name, value in unlike.items() if value]
        names = ", ".join(found)
        require(not self.crossq or not found, f"crossq needs plain layers, and there is {names}")

    def rates(self, learning_rate: Float[Array, ""] | float) -> dict[str, Any]:
        """How far a gradient moves a network, for `Learned.descend`."""
        return {"learning_rate": learning_rate, "max_grad_norm": self.max_grad_norm}

    def make_critic(
        self,
        spec: EnvSpec,
        space: Box | Discrete,
        keys: Key[Array, "K"],
        reads_own: bool = False,
    ) -> ActionCritic:
        """An ensemble of critics, one for each key; with `reads_own` of discrete actions, too, they
        read what the agent itself does."""
        shape = {**self.architecture, "hidden": self.critic_hidden or self.hidden}
        shape |= {"layers": BatchNormMLP} if self.crossq else {}
        shape |= {"reads_own": reads_own, "keys": keys}
        return QCritic.of(spec, space, self.groups(spec), self.critic, **shape)

    @abc.abstractmethod
    def learned_policy(self, state: OffPolicyState) -> NoisyPolicy | SoftActor: ...

    def explorer(self, state: OffPolicyState) -> Policy:
        """Any point of the box until the first gradient step, then what is learned."""
        policy = self.learned_policy(state)
        if not isinstance(policy.space, Box):
            return policy
        return Explorer(policy, state.learned.updates == 0)

    def reads_state(self, params: Params) -> bool:
        return self.critic == "global"

    def remembering_critic(self, params: Params) -> ActionCritic | None:
        return params["critic"] if self.recurrent else None

    def critic_values(
        self, params: Params, target: Params, batch: Experience, next_action: Array
    ) -> tuple[Float[Array, "K L M N"], Float[Array, "K L M N C"], Any]:
        """Values of what was done, and of what followed with that next action (where it is not
        read, of all discrete ones); and what batch norms have then seen, for `remember`."""
        now, then = batch.now(batch.action), batch.then(next_action)
        if self.crossq:
            return params["critic"].jointly(now, then)
        steps = (batch.first_carry[1], batch.starts)
        next_q = target["critic"].after(now, then, *steps)
        return params["critic"].taken(now, *steps), next_q, None

    def remember(self, learned: Learned, seen: Any) -> Learned:
        """The critics' batch norms have seen that, if there are any."""
        if seen is None:
            return learned
        critic = learned.params["critic"].remember(seen)
        return eqx.tree_at(lambda x: x.params["critic"], learned, critic)

    def td_targets(
        self, batch: Experience, value: Float[Array, "L M N"]
    ) -> tuple[Float[Array, "L M N"], Float[Array, "L M N"]]:
        """What each agent's action was worth, y, and the weight of it; `value` is that of the
        successors. Out of turn a return runs on to the agent's next one."""
        known = batch.present | batch.gone
        # What follows an agent's cut does not hold what it would have been worth.
        ends = batch.done[..., None] | batch.cut
        value = jnp.where(batch.present, value, 0.0)
        discount = self.discount * (1.0 - batch.gone)
        y, settled = settled_n_step_returns(batch.reward, discount, value, known, ends, self.n_step)
        return jax.lax.stop_gradient(y), self.td_weight(batch) * settled
