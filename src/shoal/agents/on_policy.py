"""The engine of learning from what has just been done: act, then learn in epochs of minibatches.

`Rollouts` is for whatever acts: an algorithm says who does, what a rollout is worth (`targets`) and
what to minimise; everything else, from recurrent state to schedules, is here. `OnPolicy` is for
actors, whose log-probabilities it remembers.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.agents.fields import Networks, Optimising
from shoal.agents.policies import Actor
from shoal.agents.scales import ScaledPolicy, Scales
from shoal.core.algorithm import Algorithm, Carry, Extras, Metrics, Policy, Trajectory
from shoal.core.descend import (
    ADAM,
    Frozen,
    Optimizers,
    Params,
    descend,
    init_optimizer,
    skip_counts,
)
from shoal.core.env import Action, EnvSpec, TimeStep, cut_now
from shoal.core.errors import require
from shoal.core.limits import Count, Fraction, NonNegative
from shoal.core.parallel import num_shards
from shoal.core.sequence import starts_of
from shoal.core.spaces import Box


class Acting(eqx.Module):
    """What acting reads: the networks, and their scales."""

    params: Params
    scales: Scales | None


class OnPolicyState(eqx.Module):
    """What training changes. `kept` is what `targets` carries from one rollout to the next."""

    params: Params
    optimizers: Optimizers
    scales: Scales | None
    kept: Any


class Batch(eqx.Module):
    """What a loss reads of a rollout, `[T, B, ...]`."""

    timestep: TimeStep
    action: Action
    extras: dict[str, Array]
    starts: Bool[Array, "T B"]
    advantage: Float[Array, "T B N"]
    target: Float[Array, "T B N"]
    weight: Float[Array, "T B N"]  # 1 where an agent acted
    alive: Float[Array, "T B N"]  # 1 where an agent had a future, in its turn or not


class Rollouts(Networks, Optimising, Algorithm):
    """Whoever learns from what it has just done, and then forgets it. Fields that are numbers can
    be swept."""

    discount: Fraction = 0.99
    """Weight of a reward one step later."""
    epochs: Count = eqx.field(static=True, default=1)
    """Passes over each rollout."""
    minibatches: Count = eqx.field(static=True, default=1)
    """Parts of a pass."""
    minibatch_of: Literal["auto", "environments", "steps"] = eqx.field(static=True, default="auto")
    """What is shared out among minibatches: environments, with all their steps in order, or single
    steps, which recurrent networks cannot learn from; those that make no whole part are left out of
    a pass. Auto is steps where a minibatch would have fewer than 8 environments and nothing is
    recurrent."""

    # What an algorithm says.

    @abc.abstractmethod
    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> tuple[Params, dict[str, int], Any]:
        """The networks, how many groups of agents share the parameters of each that is learned, and
        what is kept at first."""

    @abc.abstractmethod
    def learned_policy(self, state: OnPolicyState) -> Policy:
        """What is evaluated, as it acts on what networks see."""

    @abc.abstractmethod
    def choose(
        self, params: Params, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        """What is done, the carry after it, and what to remember of the step."""

    @abc.abstractmethod
    def targets(self, state: OnPolicyState, trajectory: Trajectory) -> tuple[Any, Any]:
        """What there is to learn from a rollout, before anything is learned; and what to keep. The
        former has leaves `[T, B, ...]`, and `starts` is one of them."""

    @abc.abstractmethod
    def objective(
        self, params: Params, batch: Any, carry: Carry, progress: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        """What is minimised over a minibatch, which begins with that carry, after that share of
        training; and what to report."""

    rules: ClassVar[Mapping[str, optax.GradientTransformation]] = {}
    """What makes a step of a gradient of those networks for which it is not Adam."""

    @property
    def recomputes(self) -> bool:
        """Whether each pass has targets of its own."""
        return False

    def revalue(self, params: Params, trajectory: Trajectory) -> Trajectory:
        """The rollout as it would have been remembered with these parameters, for new targets."""
        return trajectory

    def freeze(self, frozen: Frozen, params: Params, metrics: Metrics) -> tuple[Frozen, Metrics]:
        """Which groups of which networks move no more in this update, after a gradient step; and
        what of its metrics to report."""
        return frozen, metrics

    # What follows from it.

    def check(self, spec: EnvSpec) -> None:
        require(
            not (self.recurrent and self.minibatch_of == "steps"),
            "minibatch_of is steps, which a recurrent network cannot learn from: use environments",
        )

    def _by_steps(self, num_envs: int) -> bool:
        """Whether single steps are shared out, of that many environments on all devices."""
        if self.minibatch_of == "auto":
            return not self.recurrent and num_envs < 8 * self.minibatches
        return self.minibatch_of == "steps"

    def check_devices(self, num_envs: int, devices: int) -> None:
        if self._by_steps(num_envs):
            return super().check_devices(num_envs, devices)
        require(
            num_envs % (devices * self.minibatches) == 0,
            f"num_envs is {num_envs}, expected a multiple of minibatches, which is "
            f"{self.minibatches}",
        )

    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> OnPolicyState:
        params, groups, kept = self.start(spec, key)
        optimizers = {
            name: init_optimizer(params[name], count, self.rules.get(name, ADAM))
            for name, count in groups.items()
        }
        return OnPolicyState(params, optimizers, self.scales(spec), kept)

    def policy(self, state: OnPolicyState) -> Policy:
        policy = self.learned_policy(state)
        return policy if state.scales is None else ScaledPolicy(policy, state.scales)

    def acting(self, state: OnPolicyState) -> Acting:
        return Acting(state.params, state.scales)

    def act(
        self, acting: Acting, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        seen = timestep if acting.scales is None else acting.scales.apply(timestep)
        return self.choose(acting.params, seen, carry, key)

    def learn(
        self, state: OnPolicyState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[OnPolicyState, Metrics]:
        seen = trajectory if state.scales is None else seen_through(state.scales, trajectory)
        batch, kept = self.targets(state, seen)
        if not self.recomputes:
            state = dataclasses.replace(state, kept=kept)
        state, metrics = self.descend(state, batch, seen, key)
        if state.scales is not None:
            scales = state.scales.update(trajectory.transitions.timestep)
            state = dataclasses.replace(state, scales=scales)
        return state, metrics | skip_counts(state.optimizers)

    def descend(
        self,
        state: OnPolicyState,
        batch: Any,
        trajectory: Trajectory,
        key: PRNGKeyArray,
        frozen: Frozen | None = None,
    ) -> tuple[OnPolicyState, Metrics]:
        """`epochs` passes of a gradient step for each of the minibatches.

        Args:
            batch: the targets of that rollout.
            trajectory: the rollout as networks saw it.
            frozen: which groups do not move from the beginning; by default all do.
        """
        rate = self.rate(trajectory.progress)

        def minibatch(loop, inputs):
            (state, frozen), (part, carry) = loop, inputs
            params, optimizers, metrics = descend(
                lambda params: self.objective(params, part, carry, trajectory.progress),
                state.params,
                state.optimizers,
                learning_rate=rate,
                max_grad_norm=self.max_grad_norm,
                frozen=frozen,
            )
            frozen, metrics = self.freeze(frozen, params, metrics)
            state = dataclasses.replace(state, params=params, optimizers=optimizers)
            return (state, frozen), metrics

        def epoch(loop, key):
            (state, frozen), whole = loop, batch
            if self.recomputes:
                whole, kept = self.targets(state, self.revalue(state.params, trajectory))
                state = dataclasses.replace(state, kept=kept)
            parts = self._parts(whole, trajectory.carry, key)
            return jax.lax.scan(minibatch, (state, frozen), parts)

        still = {name: jnp.zeros(len(o.skipped), bool) for name, o in state.optimizers.items()}
        still.update(frozen or {})
        keys = jax.random.split(key, self.epochs)
        loop, metrics = jax.lax.scan(epoch, (state, still), keys)
        return loop[0], jax.tree.map(jnp.mean, metrics)

    def _parts(self, batch: Any, carry: Carry, key: PRNGKeyArray) -> tuple[Any, Carry]:
        """The minibatches of a pass, with a leading axis. Cut all at once, they lie in memory as
        the loss reads them."""
        (steps, num_envs), count = batch.starts.shape, self.minibatches
        everywhere = num_envs * num_shards()
        self.check_devices(everywhere, num_shards())
        if count == 1:
            return jax.tree.map(lambda x: x[None], (batch, carry))
        if self._by_steps(everywhere):
            size = steps * num_envs
            require(
                count <= size,
                f"minibatches is {count}, expected at most the {size} steps of a rollout",
            )
            # Other steps are left over in each pass.
            rows = jax.random.permutation(key, size)[: size - size % count].reshape(count, 1, -1)
            return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[rows], batch), carry
        rows = jax.random.permutation(key, num_envs).reshape(count, -1)
        cut = jax.tree.map(lambda x: jnp.moveaxis(x[:, rows], 1, 0), batch)
        return cut, jax.tree.map(lambda x: x[rows], carry)


class OnPolicy(Rollouts):
    """An actor that learns from what it has just done."""

    entropy_weight: NonNegative = 0.01
    """Weight of the policy's entropy."""
    anneal_entropy: bool = eqx.field(static=True, default=False)
    """Whether the entropy weight falls linearly to 0."""
    init_log_std: float = -0.5
    """Initial log standard deviation of box actions, in half widths of the box."""
    state_dependent_std: bool = eqx.field(static=True, default=False)
    """Whether the deviation of box actions also depends on what the agent sees."""

    @abc.abstractmethod
    def loss(
        self,
        params: Params,
        batch: Batch,
        carry: Carry,
        entropy_weight: Float[Array, ""] | float,
    ) -> tuple[Float[Array, ""], Metrics]:
        """What is minimised over a minibatch, which begins with that carry; and what to report."""

    def objective(
        self, params: Params, batch: Batch, carry: Carry, progress: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        left = 1.0 - progress if self.anneal_entropy else 1.0
        return self.loss(params, batch, carry, self.entropy_weight * left)

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        require(
            isinstance(spec.action, Box) or not self.state_dependent_std,
            f"state_dependent_std is for actions in a box and {spec.name} has others",
        )

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> tuple[Params, dict[str, int], Any]:
        """An actor alone."""
        actor = self.make_actor(spec, key)
        return {"actor": actor}, {"actor": actor.network.groups.count}, None

    def make_actor(self, spec: EnvSpec, key: PRNGKeyArray) -> Actor:
        """The policy before anything was learned."""
        size = spec.action.size * (2 if self.state_dependent_std else 1)
        network = self.network(spec, size, head_gain=0.01, key=key)
        return Actor.of(network, spec, self.init_log_std)

    def learned_policy(self, state: OnPolicyState) -> Policy:
        return state.params["actor"]

    def initial_carry(self, acting: Acting) -> Carry:
        return acting.params["actor"].initial_carry()

    def choose(
        self, params: Params, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        """Draws an action and remembers its log-probability."""
        key_policy, key_sample = jax.random.split(key)
        distribution, carry = params["actor"](timestep, carry, key_policy)
        action = distribution.sample(key_sample)
        return action, carry, {"log_prob": distribution.log_prob(action)}

    def batch_of(
        self,
        trajectory: Trajectory,
        advantage: Float[Array, "T B N"],
        target: Float[Array, "T B N"],
    ) -> Batch:
        """A rollout with what its actions were worth."""
        steps = trajectory.transitions
        return Batch(
            timestep=steps.timestep,
            action=steps.action,
            extras=steps.extras,
            starts=starts_of(steps.successor.done),
            advantage=advantage,
            target=target,
            weight=steps.timestep.active.astype(jnp.float32),
            alive=(~steps.timestep.ended).astype(jnp.float32),
        )


def seen_through(scales: Scales, trajectory: Trajectory) -> Trajectory:
    """The trajectory as networks saw it, cut agents' last observations included."""
    steps = trajectory.transitions
    visible = steps.successor.active | cut_now(steps.timestep, steps.successor)
    return eqx.tree_at(
        lambda t: (t.transitions.timestep, t.transitions.successor, t.last),
        trajectory,
        (
            scales.apply(steps.timestep),
            scales.apply(steps.successor, visible),
            scales.apply(trajectory.last),
        ),
    )
