r"""PQN: Q-learning without a replay and without target networks, from many environments at once.

$$
\begin{aligned}
\min\ & E[(Q(o_t, a_t) - G_t)^2] / 2 \\
& G_t = r_t + \gamma\, ((1 - \lambda) \max_a Q(o_{t+1}, a) + \lambda\, G_{t+1})
\end{aligned}
$$

over each rollout, a few times, and then the rollout is forgotten. Layer norm does what a target
network does for others: it bounds how far values can run away. For a team Q is the sum of its
agents' values and r the mean of their rewards, as in VDN. Peng's Q(lambda) is not corrected for
actions that were taken at random.
Gallici et al. 2024, arXiv:2407.04811.
"""

from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.agents.cooperative.iql import check_choices, unit_steps
from shoal.agents.cooperative.vdn import SumMixer
from shoal.agents.experience import Experience
from shoal.agents.fields import Exploring
from shoal.agents.on_policy import Acting, OnPolicyState, Rollouts
from shoal.agents.policies import QPolicy
from shoal.core.algorithm import Carry, Extras, Metrics, Trajectory
from shoal.core.descend import Params
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.limits import Count, Fraction, Positive
from shoal.core.parallel import weighted_mean
from shoal.math.td import greedy_action, settled_returns
from shoal.nn.mixers import Choice, Mixer, NoMixer, agents_of_team
from shoal.nn.mlp import Activation


class Kept(eqx.Module):
    """What a rollout leaves behind: how much of training was done, on which exploring depends."""

    progress: Float[Array, ""]
    spec: EnvSpec


class Valued(eqx.Module):
    """Steps, what they should be worth to each of K units, and the weight of that."""

    obs: Float[Array, "T B N D"]
    action: Int[Array, "T B N"]
    legal: Bool[Array, "T B N A"]
    active: Bool[Array, "T B N"]
    state: Float[Array, "T B S"] | None
    starts: Bool[Array, "T B"]
    target: Float[Array, "T B K"]
    weight: Float[Array, "T B K"]


class PQN(Exploring, Rollouts):
    """Q-learning from the newest rollout; a mixer makes the agents' values those of units."""

    learning_rate: Positive = 1e-2
    """RAdam's step size (Liu et al. 2019)."""
    max_grad_norm: Positive = 10.0
    """Largest norm of a gradient, of each network and each group that shares parameters."""
    discount: Fraction = 0.9
    """Weight of a reward one step later."""
    td_lambda: Fraction = 0.7
    """Mixing of horizons in targets: 0 looks one step ahead, 1 to the end of the rollout."""
    epochs: Count = eqx.field(static=True, default=2)
    """Passes over each rollout."""
    minibatches: Count = eqx.field(static=True, default=16)
    """Parts of a pass."""
    minibatch_of: Literal["auto", "environments", "steps"] = eqx.field(static=True, default="auto")
    """What is shared out among minibatches: environments, with all their steps in order, or single
    steps, which recurrent networks cannot learn from. Auto is steps where nothing is recurrent."""
    activation: Activation = eqx.field(static=True, default="relu")
    """Non-linearity of the layers."""
    layer_norm: bool = eqx.field(static=True, default=True)
    """Whether the sums of each layer are normalised before its non-linearity (layer norm).
    Residual blocks are normalised anyway."""
    mix: Literal["none", "sum"] = eqx.field(static=True, default="sum")
    """Whose value is learned: each agent's own (none), or its team's as the sum of its agents'."""

    rules: ClassVar = {"q": optax.scale_by_radam(eps=1e-5, eps_root=1e-16)}

    def mixer(self, spec: EnvSpec, key: PRNGKeyArray) -> Mixer:
        """How the values of agents become those of their units."""
        return NoMixer() if self.mix == "none" else SumMixer(agents_of_team(spec))

    def targets(self, state: OnPolicyState, trajectory: Trajectory) -> tuple[Valued, Kept]:
        network, mixer, spec = state.params["q"], state.params["mixer"], state.kept.spec
        steps = Experience.of(trajectory, spec, mixer.needs_state)
        q_t = network.after(steps.obs, steps.next_obs, trajectory.carry, steps.starts)
        best = greedy_action(q_t, steps.next_legal)
        choice = Choice.of(q_t, best, steps.next_legal, steps.present, steps.next_state)
        units = unit_steps(mixer, steps, mixer(choice), self.discount)
        returns, settled = settled_returns(*units, self.td_lambda)
        valued = Valued(
            obs=steps.obs,
            action=steps.action,
            legal=steps.legal,
            active=steps.active,
            state=steps.state,
            starts=steps.starts,
            target=jax.lax.stop_gradient(returns),
            weight=(settled & mixer.any(steps.active)).astype(jnp.float32),
        )
        return valued, Kept(jnp.asarray(trajectory.progress, jnp.float32), spec)

    def objective(
        self, params: Params, batch: Valued, carry: Carry, progress: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        q = params["q"].unroll(batch.obs, carry, batch.starts)
        choice = Choice.of(q, batch.action, batch.legal, batch.active, batch.state)
        value = params["mixer"](choice)
        loss = weighted_mean(optax.l2_loss(value, batch.target), batch.weight)
        return loss, {"q_mean": weighted_mean(value, batch.weight)}

    # Networks, acting and exploring.

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        check_choices(spec)

    def _by_steps(self, num_envs: int) -> bool:
        return not self.recurrent if self.minibatch_of == "auto" else super()._by_steps(num_envs)

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> tuple[Params, dict[str, int], Kept]:
        key_network, key_mixer = jax.random.split(key)
        params = {
            "q": self.network(spec, spec.action.size, key=key_network),
            "mixer": self.mixer(spec, key_mixer),
        }
        groups = {"q": params["q"].groups.count, "mixer": 1}
        learned = {name: groups[name] for name in params if jax.tree.leaves(params[name])}
        return params, learned, Kept(jnp.float32(0), spec)

    def acting(self, state: OnPolicyState) -> Acting:
        return Acting({"q": self._policy(state, self.epsilon(state.kept.progress))}, state.scales)

    def initial_carry(self, acting: Acting) -> Carry:
        return acting.params["q"].initial_carry()

    def choose(
        self, params: Params, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        distribution, carry = params["q"](timestep, carry)
        return distribution.sample(key), carry, {}

    def learned_policy(self, state: OnPolicyState) -> QPolicy:
        """Samples explore as little as they will in the end, whatever `act` still explores."""
        return self._policy(state, jnp.float32(self.epsilon_end))

    def _policy(self, state: OnPolicyState, epsilon: Float[Array, ""]) -> QPolicy:
        return QPolicy(state.params["q"], state.kept.spec.action, epsilon)

    def learn(
        self, state: OnPolicyState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[OnPolicyState, Metrics]:
        after, metrics = super().learn(state, trajectory, key)
        return after, metrics | self.schedules(state.kept.progress)


def pqn_vdn(**overrides: Any) -> PQN:
    """PQN of the sum of a team's values. `overrides` are fields of `PQN`.

    When to use it:
        The same for a team with a common reward: in simple_spread it was ahead of `vdn` after as
        many steps.

    What breaks it:
        Few environments at once; and, as in `vdn`, values that no sum is.
    """
    return PQN(**{"mix": "sum", **overrides})


def pqn_iql(**overrides: Any) -> PQN:
    """PQN of each agent from its own reward. `overrides` are fields of `PQN`.

    When to use it:
        Few discrete actions, and a fast simulator with many environments: no replay to keep, no
        target network that lags behind.

    What breaks it:
        Few environments at once, whose rollouts are too much alike; and, as in `iql`, agents that
        must act together.
    """
    return PQN(**{"mix": "none", **overrides})
