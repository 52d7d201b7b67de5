"""The engine of off-policy learning: remember what happened, and learn from it again and again.

An algorithm says which networks there are (`start`) and what one gradient step does (`step`); the
replay, its sequences, the wait before the first step, target networks and schedules are here.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.agents.experience import Experience
from shoal.agents.fields import Networks, Optimising
from shoal.agents.scales import ScaledPolicy, Scales
from shoal.core.algorithm import Algorithm, Carry, Extras, Metrics, Policy, Trajectory
from shoal.core.descend import Optimizers, Params, descend, init_optimizer, skip_counts
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.errors import UserError, require
from shoal.core.limits import Count, Fraction, Natural, Positive, PositiveFraction
from shoal.core.parallel import cond, num_shards
from shoal.core.replay import Replay
from shoal.core.target import follow
from shoal.nn.critics import StateAction, global_state, pixels_of


class Learned(eqx.Module):
    """What a gradient step changes: networks by name, slow copies of some, and their optimizers."""

    params: Params
    target: Params
    optimizers: Optimizers
    updates: Int[Array, ""]  # gradient steps so far

    def descend(
        self,
        loss_fn: Callable[[Params], tuple[Float[Array, ""], Metrics]],
        *names: str,
        learning_rate: Float[Array, ""] | float,
        max_grad_norm: Float[Array, ""] | float,
    ) -> tuple["Learned", Metrics]:
        """Takes one step of the named networks down a loss of them; the metrics begin with their
        name where there are others."""
        own = {name: self.optimizers[name] for name in names if name in self.optimizers}
        prefix = "" if len(own) == len(self.optimizers) else f"{'_'.join(names)}_"
        params, optimizers, metrics = descend(
            loss_fn,
            {name: self.params[name] for name in names},
            own,
            learning_rate=learning_rate,
            max_grad_norm=max_grad_norm,
            name=prefix,
        )
        moved = (self.params | params, self.optimizers | optimizers)
        return eqx.tree_at(lambda x: (x.params, x.optimizers), self, moved), metrics


class Acting(eqx.Module):
    """What acting reads."""

    policy: Policy
    critic: Any  # only a recurrent one, of actions
    scales: Scales | None
    pixels: int = eqx.field(static=True)  # of the images of one observation


class OffPolicyState(eqx.Module):
    """Everything that acting and learning go on from. The replay is missing only while it is
    made."""

    learned: Learned
    replay: Replay | None
    scales: Scales | None
    progress: Float[Array, ""]
    spec: EnvSpec


class OffPolicy(Networks, Optimising, Algorithm):
    """Learning from replay. Fields that are numbers can be swept."""

    discount: Fraction = 0.99
    """Weight of a reward one step later."""
    learning_starts: Natural = 10_000
    """Environment steps to collect before the first gradient step."""
    target_rate: PositiveFraction = 0.005
    """Polyak's tau: the share of a network that its target takes on at a time, 1 for a copy."""
    target_interval: Count = 1
    """Gradient steps from one change of the targets to the next."""
    capacity: Count = eqx.field(static=True, default=2**17)
    """Environment steps that the replay holds, all devices together."""
    batch_size: Count = eqx.field(static=True, default=256)
    """Environment steps in a gradient step, all devices together. With `n_step` those of which
    targets are made; each target takes so many."""
    sequence_length: Natural = eqx.field(static=True, default=0)
    """Steps in a row that are sampled together; 0 for one step, or with a GRU a whole rollout."""
    burn_in: Natural = eqx.field(static=True, default=0)
    """Steps before each sequence from which the recurrent state is worked out anew, and nothing is
    learned (R2D2, Kapturowski et al. 2019)."""
    update_ratio: Positive = eqx.field(static=True, default=0.01)
    """Gradient steps for each environment step, whatever the size of a rollout, after which they
    are made."""
    n_step: Count = eqx.field(static=True, default=1)
    """Rewards in a target (n), fewer where the episode ends before. More are not corrected for what
    the policy would do now."""
    prioritised: bool = eqx.field(static=True, default=False)
    """Whether sequences are drawn the more often, the larger their errors were (Schaul et al. 2016,
    arXiv:1511.05952)."""
    priority_exponent: Fraction = 0.6
    """How much errors decide what is drawn: not at all at 0, in proportion at 1."""
    importance_exponent: Fraction = 0.4
    """How much of the bias of that weights take back, at first; in the end all of it."""

    with_target: ClassVar[tuple[str, ...]]
    """Which networks have a slow copy."""

    @property
    def slow_copies(self) -> tuple[str, ...]:
        """Which networks have a slow copy under these settings."""
        return self.with_target

    @property
    def shortest(self) -> int:
        """Steps in a row that a gradient step needs."""
        return self.n_step

    # What an algorithm says.

    @abc.abstractmethod
    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> Params:
        """The networks, by name."""

    @abc.abstractmethod
    def step(
        self,
        learned: Learned,
        batch: Experience,
        key: PRNGKeyArray,
        learning_rate: Float[Array, ""] | float,
    ) -> tuple[Learned, Metrics]:
        """One gradient step, from M sequences `[L, M, ...]`. The targets follow by themselves.
        Among the metrics, `errors` `[L, M, ...]` are what priorities are made of."""

    @abc.abstractmethod
    def learned_policy(self, state: OffPolicyState) -> Policy:
        """What is evaluated, as it acts on what networks see."""

    @abc.abstractmethod
    def explorer(self, state: OffPolicyState) -> Policy:
        """What collects, as it acts on what networks see."""

    def reads_state(self, params: Params) -> bool:
        """Whether some network reads the global state."""
        return False

    def groups_of(self, spec: EnvSpec, name: str) -> int:
        """How many groups of agents share the parameters of a network."""
        return self.groups(spec).count

    def schedules(self, progress: Float[Array, ""]) -> Metrics:
        """What to report of schedules after that share of training."""
        return {}

    # What follows from it.

    def check(self, spec: EnvSpec) -> None:
        require(
            self.learning_starts <= self.capacity,
            f"learning_starts is {self.learning_starts}, expected at most the capacity, "
            f"{self.capacity}",
        )
        require(
            self.batch_size <= self.capacity,
            f"batch_size is {self.batch_size}, expected at most the capacity, {self.capacity}",
        )
        length = self.sequence_length or self.n_step
        require(
            self.n_step <= length,
            f"n_step is {self.n_step}, expected at most the sequence_length, {length}",
        )

    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> OffPolicyState:
        params = self.start(spec, key)
        optimizers = {
            name: init_optimizer(network, self.groups_of(spec, name))
            for name, network in params.items()
            if jax.tree.leaves(network)
        }
        target = {name: jax.tree.map(jnp.copy, params[name]) for name in self.slow_copies}
        learned = Learned(params, target, optimizers, jnp.int32(0))
        start = OffPolicyState(learned, None, self.scales(spec), jnp.float32(0), spec)
        carry = self.initial_carry(self.acting(start))
        record = Experience.empty(spec, carry, self.reads_state(params))
        replay = Replay.empty(record, self.capacity // num_shards(), self.prioritised)
        return dataclasses.replace(start, replay=replay)

    def policy(self, state: OffPolicyState) -> Policy:
        policy = self.learned_policy(state)
        return policy if state.scales is None else ScaledPolicy(policy, state.scales)

    def acting(self, state: OffPolicyState) -> Acting:
        critic = self.remembering_critic(state.learned.params)
        return Acting(self.explorer(state), critic, state.scales, pixels_of(state.spec))

    def initial_carry(self, acting: Acting) -> Carry:
        critic = None if acting.critic is None else acting.critic.initial_carry()
        return acting.policy.initial_carry(), critic

    def act(
        self, acting: Acting, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        seen = timestep if acting.scales is None else acting.scales.apply(timestep)
        key_policy, key_sample = jax.random.split(key)
        distribution, after = acting.policy(seen, carry[0], key_policy)
        action, critic_after = distribution.sample(key_sample), None
        if acting.critic is not None:
            pair = StateAction(seen.obs, global_state(seen, acting.pixels), action, seen.active)
            critic_after = acting.critic.step(pair, carry[1])[1]
        return action, (after, critic_after), carry

    def learn(
        self, state: OffPolicyState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[OffPolicyState, Metrics]:
        steps = trajectory.transitions
        rollout, num_envs = steps.successor.done.shape
        reads_state = self.reads_state(state.learned.params)
        assert state.replay is not None
        replay = state.replay.add(Experience.of(trajectory, state.spec, reads_state))
        length = self._length(rollout)
        count = max(1, self.batch_size // ((length - self.burn_in) * num_shards()))
        stride = 1 if length - self.burn_in < rollout or not self.recurrent else length
        updates = self._gradient_steps(rollout * num_envs * num_shards())
        rate = self.rate(trajectory.progress)
        pixels = pixels_of(state.spec)

        # Of the replay only priorities change, if there are any.
        def update(loop: tuple[Learned, Array | None], key: PRNGKeyArray):
            (learned, priority), (key_sample, key_step) = loop, jax.random.split(key)
            memory = dataclasses.replace(replay, priority=priority)
            batch, first, odds = memory.sample(
                key_sample, count, chunk=(rollout, num_envs), length=length, stride=stride
            )
            if self.prioritised:
                importance = odds ** -self._importance(trajectory.progress)
                batch = dataclasses.replace(batch, importance=importance)
            batch = batch.under(state.scales, pixels)
            learned, metrics = self.step(learned, batch, key_step, rate)
            errors = metrics.pop("errors", None)
            if self.prioritised:
                if errors is None:
                    raise UserError(f"prioritised: {type(self).__name__} reports no errors")
                memory = memory.prioritise(first, self._priority(errors))
            updates = learned.updates + 1
            target = {
                name: follow(
                    old, learned.params[name], self.target_rate, self.target_interval, updates
                )
                for name, old in learned.target.items()
            }
            learned = Learned(learned.params, target, learned.optimizers, updates)
            return (learned, memory.priority), metrics

        def train(loop: tuple[Learned, Array | None]):
            keys = jax.random.split(key, updates)
            loop, metrics = jax.lax.scan(update, loop, keys)
            return loop, jax.tree.map(jnp.mean, metrics)

        def wait(loop: tuple[Learned, Array | None]):
            shapes = jax.eval_shape(train, loop)[1]
            return loop, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        # In chunks, of which there are fewer than an integer can count.
        wanted = -(-self.learning_starts // (rollout * num_envs * num_shards()))
        ready = (replay.chunks >= wanted) & (replay.chunks >= -(-length // rollout))
        (learned, priority), metrics = cond(ready, train, wait, (state.learned, replay.priority))
        replay = dataclasses.replace(replay, priority=priority)
        scales = state.scales and state.scales.update(steps.timestep)
        # Of a plain type: what an update gives must fit the program that it came from.
        progress = jnp.asarray(trajectory.progress, jnp.float32)
        after = OffPolicyState(learned, replay, scales, progress, state.spec)
        return after, metrics | skip_counts(learned.optimizers) | self.schedules(state.progress)

    def _gradient_steps(self, collected: int) -> int:
        """After a rollout of that many environment steps, of all devices."""
        wanted = self.update_ratio * collected
        require(
            wanted >= 0.5,
            f"update_ratio is {self.update_ratio}: {wanted:.3g} gradient steps after the "
            f"{collected} environment steps of a rollout, expected at least 1/2",
        )
        return int(wanted + 0.5)

    def _length(self, rollout: int) -> int:
        """Steps that are sampled in a row."""
        whole = rollout - self.burn_in if self.recurrent else self.shortest
        learned = self.sequence_length or whole
        require(
            learned >= 1,
            f"burn_in is {self.burn_in}, expected less than the {rollout} steps of a rollout",
        )
        require(
            self.n_step <= min(learned, rollout),
            f"n_step is {self.n_step}, expected at most the {min(learned, rollout)} steps in a row "
            f"that are learned from rollouts of {rollout}",
        )
        return learned + self.burn_in

    def _priority(self, errors: Float[Array, "L M *K"]) -> Float[Array, "M"]:
        """Of sequences, nine parts their largest error and one part the mean one (R2D2)."""
        size = jnp.abs(jnp.moveaxis(errors, 1, 0)).reshape(errors.shape[1], -1)
        return (0.9 * size.max(1) + 0.1 * size.mean(1) + 1e-6) ** self.priority_exponent

    def _importance(self, progress: Float[Array, ""]) -> Float[Array, ""]:
        """The exponent of the weights after that share of training."""
        return self.importance_exponent + (1 - self.importance_exponent) * progress

    def td_weight(self, batch: Experience) -> Float[Array, "L M N"]:
        """`weight_of`, times what drawing by priority asks for: the weight of a target."""
        weight = self.weight_of(batch)
        return weight if batch.importance is None else weight * batch.importance[:, None]

    def weight_of(self, batch: Experience) -> Float[Array, "L M N"]:
        """1 where an agent acted, but 0 throughout the burn-in."""
        learned = jnp.arange(batch.done.shape[0]) >= self.burn_in
        return batch.active.astype(jnp.float32) * learned[:, None, None]

    def remembering_critic(self, params: Params) -> Any:
        """A recurrent critic of actions, which must be there when acting: sequences that are
        learned from later begin with what it remembered then. `None` if there is none."""
        return None
