"""The engine of evolution: a population plays, and a few numbers of each member make the update.

A generation is a function of the state alone (`members`), and an update a function of the state and
of what the members earned (`tell`). So whoever knows the state can play any members, and whoever
has all numbers can make the same update, to the bit. Noise is drawn when it is needed and never
kept. A strategy says how far noise puts its members from the mean (`spread`), and what it makes of
their ranks (`step`). Groups of agents that share parameters are searches of their own.
"""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.agents.evolution.evolved_policy import EvolvedPolicy
from shoal.agents.fields import Networks
from shoal.agents.scales import ScaledPolicy, Scales
from shoal.core.algorithm import Algorithm, Carry, Extras, Metrics, Policy, Trajectory
from shoal.core.descend import (
    Optimizers,
    Params,
    apply_gradient,
    from_rows,
    init_optimizer,
    rows_of,
    skip_counts,
)
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.limits import Positive, Several
from shoal.core.parallel import all_gather, num_shards, shard_index
from shoal.core.running_statistics import Moments
from shoal.nn.sharing import Groups

Seen = tuple[Moments, Moments | None]


class EvolutionState(eqx.Module):
    """What an update changes. All of it is the same on every device."""

    params: Params  # "mean": the policy in the middle of the search
    optimizers: Optimizers
    search: Any  # what else a strategy knows; leaves have a leading axis G
    scales: Scales | None
    generation: Int[Array, ""]
    key: PRNGKeyArray  # the root of all noise


class Acting(eqx.Module):
    """The members that play, whose arrays have a leading axis, and the scales they see through."""

    members: EvolvedPolicy
    scales: Scales | None


class Evolution(Networks, Algorithm):
    """A population of policies around a mean. The environments are shared out among the members, in
    order. Whole episodes make the cleanest fitness: choose an unroll that is a multiple of the
    horizon."""

    learning_rate: Positive = 1.0
    """How far the mean moves along the step that members suggest."""
    sigma: Positive = 0.1
    """Standard deviation of the noise on parameters, at first where a strategy adapts it."""
    population: Several = eqx.field(static=True, default=128)
    """Members of a generation, which divide the number of environments."""
    stochastic: bool = eqx.field(static=True, default=False)
    """Whether discrete actions are drawn from a softmax, for games that need mixed strategies."""
    agent_id: bool = eqx.field(static=True, default=False)
    """Whether an agent's number is an input of networks that several agents share."""
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64,))
    """Widths of the layers."""

    # What a strategy says.

    mirrored: ClassVar[bool] = False
    """Whether members come in pairs of opposite noise."""
    rule: ClassVar[optax.GradientTransformation] = optax.identity()
    """What makes a step of a descent."""

    def start(self, spec: EnvSpec, mean: Float[Array, "G D"]) -> Any:
        """What the strategy knows at first besides the mean; leaves have a leading axis G."""
        return None

    @abc.abstractmethod
    def spread(self, search: Any, noise: Float[Array, "M G D"]) -> Float[Array, "M G D"]:
        """How far standard normal noise puts members from the mean."""

    @abc.abstractmethod
    def step(
        self,
        state: EvolutionState,
        noise: Float[Array, "P G D"],
        fitness: Float[Array, "P G"],
        behaviours: Float[Array, "P G K"] | None,
    ) -> tuple[Float[Array, "G D"], Any, Metrics]:
        """The direction in which the mean descends, what the strategy then knows, and what to
        report. A fitness that is not a number counts as the worst."""

    def behaviours(
        self, state: EvolutionState, trajectory: Trajectory, members: int
    ) -> Float[Array, "M G K"] | None:
        """How each of the members that played behaved, for strategies that ask."""
        return None

    # What follows from it.

    def check(self, spec: EnvSpec) -> None:
        require(
            not self.mirrored or self.population % 2 == 0,
            f"population is {self.population}, expected an even number",
        )

    def check_devices(self, num_envs: int, devices: int) -> None:
        require(
            num_envs % self.population == 0 and self.population % devices == 0,
            f"num_envs is {num_envs}, expected a multiple of population, which is "
            f"{self.population}",
        )

    def start_mean(self, spec: EnvSpec, key: PRNGKeyArray) -> EvolvedPolicy:
        """The policy that the search begins with."""
        network = self.network(spec, spec.action.size, head_gain=0.01, key=key)
        return EvolvedPolicy(network, spec.action, self.stochastic)

    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> EvolutionState:
        key_network, key_noise = jax.random.split(key)
        mean = self.start_mean(spec, key_network)
        groups = mean.network.groups.count
        return EvolutionState(
            {"mean": mean},
            {"mean": init_optimizer(mean, groups, self.rule)},
            self.start(spec, rows_of(mean, groups)),
            self.scales(spec),
            jnp.int32(0),
            key_noise,
        )

    def policy(self, state: EvolutionState) -> Policy:
        mean = state.params["mean"]
        return mean if state.scales is None else ScaledPolicy(mean, state.scales)

    def members(self, state: EvolutionState, ids: Int[Array, "M"]) -> EvolvedPolicy:
        """The policies of those members of this generation, with a leading axis M."""
        if not self.mirrored:
            return self._policies(state, self._draw(state, ids))
        sign = 1.0 - 2.0 * (ids % 2)
        return self._policies(state, sign[:, None, None] * self._draw(state, ids // 2))

    def noise(
        self, state: EvolutionState, first: Int[Array, ""] | int, count: int
    ) -> Float[Array, "M G D"]:
        """The standard normal noise of `count` members in a row; each pair is drawn once."""
        if not self.mirrored:
            return self._draw(state, first + jnp.arange(count))
        pairs = self._draw(state, first // 2 + jnp.arange(count // 2 + 1))
        both = jnp.stack([pairs, -pairs], 1).reshape(-1, *pairs.shape[1:])
        return jax.lax.dynamic_slice_in_dim(both, first % 2, count)

    def _draw(self, state: EvolutionState, numbers: Int[Array, "M"]) -> Float[Array, "M G D"]:
        """Noise that depends on the generation and a number alone, so that a larger population has
        the same first members."""
        leaves, groups = jax.tree.leaves(state.params["mean"]), _groups(state).count
        key = jax.random.fold_in(state.key, state.generation)

        def one(number: Int[Array, ""]) -> Float[Array, "G D"]:
            keys = jax.random.split(jax.random.fold_in(key, number), len(leaves))
            parts = [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)]
            return rows_of(parts, groups)

        return jax.vmap(one)(numbers)

    def _policies(self, state: EvolutionState, noise: Float[Array, "M G D"]) -> EvolvedPolicy:
        """Those that noise makes."""
        mean = state.params["mean"]
        rows = rows_of(mean, _groups(state).count) + self.spread(state.search, noise)
        return jax.vmap(lambda row: from_rows(row, mean))(rows)

    def acting(self, state: EvolutionState) -> Acting:
        """The members that this device plays for, one after the other."""
        here = self._here
        members = self._policies(state, self.noise(state, shard_index() * here, here))
        return Acting(members, state.scales)

    @property
    def _here(self) -> int:
        """How many members this device plays for."""
        require(
            self.population % num_shards() == 0,
            f"population is {self.population}, expected a multiple of {num_shards()} devices",
        )
        return self.population // num_shards()

    def initial_carry(self, acting: Acting) -> Carry:
        return acting.members.initial_carry()

    def act(
        self, acting: Acting, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        """Each environment is played by its member."""
        members = jax.tree.leaves(acting.members)[0].shape[0]
        seen = timestep if acting.scales is None else acting.scales.apply(timestep)

        def play(policy, key, timestep, carry):
            distribution, carry = policy(timestep, carry)
            action = distribution.sample(key) if self.stochastic else distribution.mode()
            return action, carry

        inputs = jax.tree.map(lambda x: _by_member(x, members), (seen, carry))
        outputs = jax.vmap(play)(acting.members, jax.random.split(key, members), *inputs)
        action, carry = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), outputs)
        return action, carry, None

    def fitness(
        self, state: EvolutionState, trajectory: Trajectory, members: int
    ) -> Float[Array, "M G"]:
        """What the agents of each group earned, for each of the `members` that played.

        In an environment: the sum of rewards over the number of episodes that ended, if any did.
        """
        after = trajectory.transitions.successor
        returns = after.reward.sum(0) / jnp.maximum(after.done.sum(0), 1)[:, None]
        return of_members(returns, _groups(state), members)

    def learn(
        self, state: EvolutionState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[EvolutionState, Metrics]:
        del key  # the noise is drawn from the state's own key, which no device has altered
        told = [f(state, trajectory, self._here) for f in (self.fitness, self.behaviours)]
        fitness, behaviours = jax.tree.map(all_gather, told)
        steps = trajectory.transitions.timestep
        seen = None if state.scales is None else state.scales.moments(steps)
        return self.tell(state, fitness, behaviours, seen)

    def tell(
        self,
        state: EvolutionState,
        fitness: Float[Array, "P G"],
        behaviours: Float[Array, "P G K"] | None = None,
        seen: Seen | None = None,
    ) -> tuple[EvolutionState, Metrics]:
        """The next generation, a function of these numbers and of nothing else.

        Args:
            fitness: of every member, in order; NaN, which is the worst, for one that was lost.
            behaviours: of every member, for strategies that ask for them.
            seen: what all members together have seen, for the scales of observations.
        """
        noise, mean = self.noise(state, 0, self.population), state.params["mean"]
        descent, search, metrics = self.step(state, noise, fitness, behaviours)
        params, optimizers, norms = apply_gradient(
            state.params,
            {"mean": from_rows(descent, mean)},
            state.optimizers,
            learning_rate=self.learning_rate,
        )
        scales = state.scales
        if scales is not None and seen is not None:
            scales = scales.join(seen)
        state = EvolutionState(params, optimizers, search, scales, state.generation + 1, state.key)
        return state, metrics | norms | skip_counts(optimizers) | {
            "fitness_mean": jnp.nanmean(fitness),
            "fitness_max": jnp.nanmax(fitness, 0).mean(),
            "fitness_std": jnp.nanstd(fitness, 0).mean(),
        }


def of_members(x: Float[Array, "B N *K"], groups: Groups, members: int) -> Float[Array, "M G *K"]:
    """The mean over the agents of each group and over each member's environments."""
    of_agent = np.array(groups.of_agent)
    each = jnp.stack([x[:, of_agent == g].mean(1) for g in range(groups.count)], 1)
    return _by_member(each, members).mean(1)


def _by_member(x: Array, members: int) -> Array:
    """The environments of each member, `[M, B / M, ...]`."""
    require(
        x.shape[0] % members == 0,
        f"{x.shape[0]} environments cannot be shared out evenly among {members} members",
    )
    return x.reshape(members, -1, *x.shape[1:])


def _groups(state: EvolutionState) -> Groups:
    """Which agents share parameters."""
    return state.params["mean"].network.groups
