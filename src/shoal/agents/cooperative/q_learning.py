"""The engine of value-based learning, independent (IQL) or with values that add up (VDN).

    minimise  E[ l( mix_i Q_i(o_i, a_i) - G ) ]
    with      G = r + gamma mix_i Q'_i(o'_i, argmax_a Q_i(o'_i, a))

from a replay of what happened, with a slow copy Q' of the network (Mnih et al. 2015; van Hasselt et
al. 2016, arXiv:1509.06461). Members of the family differ by an argument: how values are mixed.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.agents.cooperative.experience import Experience, empty_record, experience_of
from shoal.agents.cooperative.q_policy import QNetwork, QPolicy
from shoal.core.algorithm import Algorithm, Carry, Extras, Metrics, Trajectory
from shoal.core.descend import Optimizer, descend, init_optimizer
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.errors import UserError, require
from shoal.core.limits import Count, Fraction, Natural, Positive, PositiveFraction
from shoal.core.parallel import num_shards, weighted_mean
from shoal.core.replay import Replay
from shoal.core.spaces import ActionSpace, Discrete
from shoal.math.td import action_value, double_q_value, settled_returns
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.mixers import MIXERS, Mixer
from shoal.nn.mlp import Activation
from shoal.nn.sharing import Groups, Sharing

LOSSES = {"huber": optax.huber_loss, "squared": optax.l2_loss}


class Params(eqx.Module):
    """What is learned."""

    q: QNetwork
    mixer: Mixer


class QLearner(eqx.Module):
    """What a gradient step changes."""

    params: Params
    target: Params
    optimizer: Optimizer
    updates: Int[Array, ""]  # gradient steps so far


class QState(eqx.Module):
    """Everything that acting and learning go on from."""

    learner: QLearner
    space: ActionSpace
    epsilon: Float[Array, ""]
    replay: Replay


class QLearning(Algorithm):
    """Q-learning from replay with a chosen mixer. Fields that are numbers can be swept."""

    learning_rate: Positive = 2e-3
    """Adam's step size."""
    discount: Fraction = 0.95
    """Weight of a reward one step later."""
    td_lambda: Fraction = 0.0
    """Mixing of horizons in targets: 0 looks one step ahead, 1 to the end of the window."""
    epsilon_start: Fraction = 1.0
    """Share of random actions at first."""
    epsilon_end: Fraction = 0.05
    """Share of random actions in the end."""
    exploration_fraction: PositiveFraction = 0.2
    """Share of training over which random actions become rare."""
    learning_starts: Natural = 10_000
    """Environment steps to collect before the first gradient step."""
    target_rate: PositiveFraction = 0.01
    """Share of the network that the target network takes on at a time, 1 for a plain copy."""
    target_interval: Count = 1
    """Gradient steps from one change of the target network to the next."""
    max_grad_norm: Positive = 10.0
    """Largest global norm of a gradient."""
    mixer: Literal["none", "sum"] = eqx.field(static=True, default="none")
    """What makes up a team's value: none (every agent learns its own) or sum."""
    loss: Literal["huber", "squared"] = eqx.field(static=True, default="huber")
    """What is done to an error: huber or squared."""
    double: bool = eqx.field(static=True, default=True)
    """Whether the network, not the target network, picks the action that values a successor."""
    sharing: Sharing = eqx.field(static=True, default="auto")
    """Who shares parameters; auto is by role."""
    agent_id: bool = eqx.field(static=True, default=True)
    """Whether an agent's number is an input of its network."""
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    """Widths of the layers."""
    recurrent: Natural = eqx.field(static=True, default=0)
    """Size of a GRU behind the layers, 0 for none."""
    activation: Activation = eqx.field(static=True, default="relu")
    """Non-linearity of the layers."""
    capacity: Count = eqx.field(static=True, default=2**17)
    """Environment steps that the replay holds, all devices together."""
    batch_size: Count = eqx.field(static=True, default=256)
    """Environment steps in a gradient step, all devices together."""
    window: Count = eqx.field(static=True, default=1)
    """Steps in a row that are sampled together. More than 1 where `td_lambda` is not 0 or agents
    take turns: enough to reach an agent's next turn. A GRU takes all that were collected."""
    updates_per_learn: Count = eqx.field(static=True, default=32)
    """Gradient steps each time that data arrives; tuned with 3200 steps at a time."""
    anneal_learning_rate: bool = eqx.field(static=True, default=True)
    """Whether the learning rate falls linearly to 0."""

    def check(self, spec: EnvSpec) -> None:
        if not isinstance(spec.action, Discrete):
            raise UserError(
                f"Q-learning chooses among discrete actions and {spec.name} has continuous ones: "
                "use ippo or mappo, or the environment's discrete actions"
            )
        require(
            self.learning_starts <= self.capacity,
            f"learning_starts is {self.learning_starts}, expected at most the capacity, "
            f"{self.capacity}",
        )

    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> QState:
        key_network, key_mixer = jax.random.split(key)
        network = AgentNetwork(
            spec.obs_size + spec.num_agents * self.agent_id,
            spec.action.size,
            Groups.of(spec, self.sharing),
            hidden=self.hidden,
            recurrent=self.recurrent,
            activation=self.activation,
            images=spec.images,
            key=key_network,
        )
        mixer = MIXERS[self.mixer](spec, key_mixer)
        params = Params(QNetwork(network, self.agent_id), mixer)
        record = empty_record(spec, mixer.needs_state)
        target = jax.tree.map(jnp.copy, params)
        learner = QLearner(params, target, init_optimizer(params), jnp.int32(0))
        return QState(
            learner=learner,
            space=spec.action,
            epsilon=jnp.float32(self.epsilon_start),
            replay=Replay.empty(record, self.capacity // num_shards()),
        )

    def policy(self, state: QState) -> QPolicy:
        """Samples explore as little as they will in the end, whatever `act` still explores."""
        return QPolicy(state.learner.params.q, state.space, jnp.float32(self.epsilon_end))

    def acting(self, state):
        return state

    def initial_carry(self, acting):
        return acting.learner.params.q.initial_carry()

    def act(
        self, state: QState, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        policy = QPolicy(state.learner.params.q, state.space, state.epsilon)
        distribution, carry = policy(timestep, carry)
        return distribution.sample(key), carry, None

    def epsilon(self, progress: Float[Array, ""] | float) -> Float[Array, ""]:
        """The share of random actions after that share of training."""
        left = jnp.maximum(1 - progress / self.exploration_fraction, 0)
        share = self.epsilon_end + (self.epsilon_start - self.epsilon_end) * left
        return jnp.asarray(share, jnp.float32)

    def learn(
        self, state: QState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[QState, Metrics]:
        steps, num_envs = trajectory.transitions.successor.done.shape
        keep_state = state.learner.params.mixer.needs_state
        replay = state.replay.add(experience_of(trajectory, state.space, keep_state))
        length = steps if self.recurrent else self.window
        stride = length if self.recurrent else 1
        count = max(1, self.batch_size // (length * num_shards()))
        remaining = 1.0 - trajectory.progress
        rate = self.learning_rate * (remaining if self.anneal_learning_rate else 1.0)

        def update(learner, key):
            batch = replay.sample(key, count, chunk=(steps, num_envs), length=length, stride=stride)
            return self._descend(learner, batch, rate)

        def train(learner):
            keys = jax.random.split(key, self.updates_per_learn)
            learner, metrics = jax.lax.scan(update, learner, keys)
            return learner, jax.tree.map(jnp.mean, metrics)

        def wait(learner):
            return learner, dict.fromkeys(("loss", "grad_norm", "q_mean"), jnp.zeros(()))

        ready = replay.chunks >= self.learning_starts / (steps * num_envs * num_shards())
        learner, metrics = jax.lax.cond(ready, train, wait, state.learner)
        metrics["epsilon"] = state.epsilon
        metrics["skipped_updates"] = learner.optimizer.skipped.astype(jnp.float32)
        metrics["skipped_in_a_row"] = learner.optimizer.skipped_in_a_row.astype(jnp.float32)
        return QState(learner, state.space, self.epsilon(trajectory.progress), replay), metrics

    def _descend(
        self, learner: QLearner, batch: Experience, learning_rate: Float[Array, ""] | float
    ) -> tuple[QLearner, Metrics]:
        """One gradient step, and the target network follows."""
        returns, weight = self._targets(learner, batch)
        params, optimizer, metrics = descend(
            lambda params: self._loss(params, batch, returns, weight),
            learner.params,
            learner.optimizer,
            learning_rate=learning_rate,
            max_grad_norm=self.max_grad_norm,
        )
        updates = learner.updates + 1
        share = jnp.where(updates % self.target_interval == 0, self.target_rate, 0.0)
        target = jax.tree.map(lambda p, q: share * p + (1 - share) * q, params, learner.target)
        return QLearner(params, target, optimizer, updates), metrics

    def _targets(
        self, learner: QLearner, batch: Experience
    ) -> tuple[Float[Array, "L M K"], Float[Array, "L M K"]]:
        """What the values of units should be, and the weight of each, for M sequences of L steps.

        An agent that has terminated, or does not act next, adds nothing to its unit's successor.
        """
        mixer = learner.target.mixer
        q_t = _after(learner.target.q, batch)
        selector = _after(learner.params.q, batch) if self.double else q_t
        value = double_q_value(q_t, selector, batch.next_legal)
        present = batch.next_active & ~batch.terminated
        ended = mixer.all(batch.terminated)
        returns, settled = settled_returns(
            mixer.mean(batch.reward),
            self.discount * (1.0 - ended),
            mixer(jnp.where(present, value, 0.0), batch.next_state),
            mixer.any(present) | ended,
            jnp.broadcast_to(batch.ends[..., None], ended.shape),
            self.td_lambda,
        )
        weight = (settled & mixer.any(batch.active)).astype(jnp.float32)
        return jax.lax.stop_gradient(returns), weight

    def _loss(
        self,
        params: Params,
        batch: Experience,
        returns: Float[Array, "L M K"],
        weight: Float[Array, "L M K"],
    ) -> tuple[Float[Array, ""], Metrics]:
        q = params.q.unroll(batch.obs, _fresh_carry(params.q, batch), batch.starts)
        chosen = jnp.where(batch.active, action_value(q, batch.action), 0.0)
        value = params.mixer(chosen, batch.state)
        loss = weighted_mean(LOSSES[self.loss](value - returns), weight)
        return loss, {"q_mean": weighted_mean(value, weight)}


def _fresh_carry(q: QNetwork, batch: Experience) -> Carry:
    """The carry that sampled sequences begin with: that of an episode's start."""
    carry = q.initial_carry()
    return None if carry is None else jnp.broadcast_to(carry, (batch.ends.shape[1], *carry.shape))


def _after(q: QNetwork, batch: Experience) -> Float[Array, "L M N A"]:
    """Values of all actions at the true successors."""
    return q.after(batch.obs, batch.next_obs, _fresh_carry(q, batch), batch.starts)
