r"""Evolution strategies: try random changes of all parameters, step towards those that paid more.

    theta  <-  theta + Adam( 1 / (P sigma) sum_j w_j eps_j  -  lambda theta ),    eps_j ~ N(0, I)

where member j plays with theta + sigma eps_j and w_j is the rank of its return, centred: from -1/2
for the worst to 1/2 for the best. Members come in pairs, eps and -eps.
Salimans et al. 2017, arXiv:1703.03864.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.agents.policies import NetworkPolicy
from shoal.core.algorithm import Algorithm, Carry, Extras, Metrics, Trajectory
from shoal.core.descend import Optimizers, Params, apply_gradient, init_optimizer, skip_counts
from shoal.core.distributions import (
    Categorical,
    Distribution,
    FactoredCategorical,
    action_distribution,
)
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.limits import Count, Natural, NonNegative, Positive
from shoal.core.parallel import all_gather, num_shards, shard_index
from shoal.core.spaces import ActionSpace, Box
from shoal.math.ranks import centered_ranks
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.mlp import Activation
from shoal.nn.sharing import Groups, Sharing

_NO_WIDTH = -20.0  # log standard deviation of an action that is meant to be exact


class EvolvedPolicy(NetworkPolicy):
    """Takes the best legal action, or with `stochastic` draws one from a softmax. A box action is
    the network's output around the middle of the box."""

    network: AgentNetwork
    space: ActionSpace
    stochastic: bool = eqx.field(static=True)

    def distribution(self, out: Float[Array, "*B N A"], timestep: TimeStep) -> Distribution:
        no_width = jnp.full(out.shape[-2:], _NO_WIDTH)
        found = action_distribution(self.space, out, timestep.action_mask, no_width)
        if self.stochastic or isinstance(self.space, Box):
            return found
        if isinstance(found, FactoredCategorical):
            return eqx.tree_at(lambda f: f.choice, found, _certain(found.choice))
        assert isinstance(found, Categorical)
        return _certain(found)


def _certain(choice: Categorical) -> Categorical:
    """The likeliest action, always."""
    actions = jnp.arange(choice.log_probs.shape[-1])
    return Categorical(choice.log_probs, choice.mode()[..., None] == actions)


class ESState(eqx.Module):
    """The mean of the search, and the members that play now. All of it is the same on every device:
    a device plays for its own share of the members."""

    params: Params  # the mean of the search
    members: EvolvedPolicy  # every array has a leading axis P
    optimizers: Optimizers
    generation: Int[Array, ""]
    key: PRNGKeyArray  # the root of all noise


class OpenAIES(Algorithm):
    """Evolution strategies for teams: the environments are shared out among the members of a
    population, in order. Whole episodes make the cleanest fitness: choose an unroll that is a
    multiple of the horizon."""

    learning_rate: Positive = 0.02
    """Adam's step size."""
    sigma: Positive = 0.1
    """Standard deviation of the noise on parameters."""
    weight_decay: NonNegative = 0.005
    """Weight of the pull of parameters towards 0."""
    population: Count = eqx.field(static=True, default=128)
    """Members of a generation, an even number that divides the number of environments."""
    sharing: Sharing = eqx.field(static=True, default="auto")
    """Who shares parameters; auto is by role."""
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64,))
    """Widths of the layers."""
    recurrent: Natural = eqx.field(static=True, default=0)
    """Size of a GRU behind the layers, 0 for none."""
    activation: Activation = eqx.field(static=True, default="tanh")
    """Non-linearity of the layers."""
    stochastic: bool = eqx.field(static=True, default=False)
    """Whether discrete actions are drawn from a softmax, for games that need mixed strategies."""

    def check(self, spec: EnvSpec) -> None:
        require(
            self.population % 2 == 0, f"population is {self.population}, expected an even number"
        )

    def check_devices(self, num_envs: int, devices: int) -> None:
        require(
            num_envs % self.population == 0 and self.population % devices == 0,
            f"num_envs is {num_envs}, expected a multiple of population, which is "
            f"{self.population}",
        )

    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> ESState:
        key_network, key_noise = jax.random.split(key)
        network = AgentNetwork(
            spec.obs_size,
            spec.action.size,
            Groups.of(spec, self.sharing),
            hidden=self.hidden,
            recurrent=self.recurrent,
            activation=self.activation,
            head_gain=0.01,
            images=spec.images,
            key=key_network,
        )
        mean = EvolvedPolicy(network, spec.action, self.stochastic)
        generation = jnp.int32(0)
        members = self._perturb(mean, key_noise, generation)
        optimizers = {"mean": init_optimizer(mean, network.groups.count)}
        return ESState({"mean": mean}, members, optimizers, generation, key_noise)

    def policy(self, state: ESState) -> EvolvedPolicy:
        return state.params["mean"]

    def _perturb(
        self, mean: EvolvedPolicy, key: PRNGKeyArray, generation: Int[Array, ""]
    ) -> EvolvedPolicy:
        """P policies around the mean: members 2k and 2k + 1 are opposite. The noise depends on the
        generation and the pair alone, so that a larger population has the same first members."""
        leaves, structure = jax.tree.flatten(mean)
        key = jax.random.fold_in(key, generation)

        def pair(k: Int[Array, ""]) -> list[Array]:
            keys = jax.random.split(jax.random.fold_in(key, k), len(leaves))
            noise = [self.sigma * jax.random.normal(i, x.shape) for i, x in zip(keys, leaves)]
            return [jnp.stack([x + eps, x - eps]) for x, eps in zip(leaves, noise)]

        pairs = jax.vmap(pair)(jnp.arange(self.population // 2))
        return structure.unflatten([x.reshape(-1, *x.shape[2:]) for x in pairs])

    def acting(self, state: ESState) -> EvolvedPolicy:
        """The members, one after the other."""
        return state.members

    def initial_carry(self, acting: EvolvedPolicy) -> Carry:
        return acting.initial_carry()

    def act(
        self, acting: EvolvedPolicy, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        """Each environment is played by its member."""
        here = self._members_here(timestep.reward.shape[0])
        start = shard_index() * here

        def mine(x: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(x, start, here)

        def by_member(x: Array) -> Array:
            return x.reshape(here, -1, *x.shape[1:])

        def play(policy, key, timestep, carry):
            distribution, carry = policy(timestep, carry)
            action = distribution.sample(key) if self.stochastic else distribution.mode()
            return action, carry

        inputs = jax.tree.map(by_member, (timestep, carry))
        members = jax.tree.map(mine, acting)
        outputs = jax.vmap(play)(members, jax.random.split(key, here), *inputs)
        action, carry = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), outputs)
        return action, carry, None

    def _members_here(self, num_envs: int) -> int:
        """How many members this device plays for, with `num_envs` environments of its own."""
        devices = num_shards()
        here = self.population // devices
        require(
            self.population % devices == 0 and num_envs % here == 0,
            f"{num_envs * devices} environments on {devices} devices cannot be shared out evenly "
            f"among a population of {self.population}",
        )
        return here

    def learn(
        self, state: ESState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[ESState, Metrics]:
        del key  # the noise is drawn from the state's own key, which no device has altered
        groups = state.params["mean"].network.groups
        fitness = all_gather(self._fitness(groups, trajectory))
        weights = jax.vmap(centered_ranks, 1, 1)(fitness)

        def gradient(mean: Float[Array, "G *S"], members: Float[Array, "P G *S"]) -> Array:
            noise = (members - mean) / self.sigma
            ascent = jnp.einsum("pg,pg...->g...", weights, noise) / (self.population * self.sigma)
            return self.weight_decay * mean - ascent

        descent = jax.tree.map(gradient, state.params["mean"], state.members)
        params, optimizers, metrics = apply_gradient(
            state.params, {"mean": descent}, state.optimizers, learning_rate=self.learning_rate
        )
        generation = state.generation + 1
        members = self._perturb(params["mean"], state.key, generation)
        metrics |= skip_counts(optimizers) | {
            "fitness_mean": jnp.nanmean(fitness),
            "fitness_max": jnp.nanmax(fitness, 0).mean(),
            "fitness_std": jnp.nanstd(fitness, 0).mean(),
        }
        return ESState(params, members, optimizers, generation, state.key), metrics

    def _fitness(self, groups: Groups, trajectory: Trajectory) -> Float[Array, "P_here G"]:
        """What the agents of each group earned, for each member that played here.

        In an environment: the sum of rewards over the number of episodes that ended, if any did.
        """
        steps = trajectory.transitions
        reward = steps.successor.reward
        episodes = jnp.maximum(steps.successor.done.sum(0), 1)
        returns = reward.sum(0) / episodes[:, None]
        of_agent = np.array(groups.of_agent)
        earned = [returns[:, of_agent == g].mean(-1) for g in range(groups.count)]
        here = self._members_here(returns.shape[0])
        return jnp.stack(earned, -1).reshape(here, -1, groups.count).mean(1)


def openai_es(**overrides: Any) -> OpenAIES:
    """Evolution strategies. `overrides` are fields of `OpenAIES`."""
    return OpenAIES(**overrides)
