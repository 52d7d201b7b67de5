r"""Joint-action learners: each agent has a value of what all do at once, and a model of the others.

    Q_i(s, a)   <-  Q_i(s, a) + alpha (r_i + gamma max_b EV_i(s', b) - Q_i(s, a)),    a = a_1 .. a_N
    Pr_j(a_j | s) = C_i(s, j, a_j) / sum_b C_i(s, j, b),    C: how often j was seen to do so
    EV_i(s, a_i)  = sum_{a_-i} Q_i(s, a_i, a_-i) prod_{j != i} Pr_j(a_j | s)

An agent draws its actions from a softmax of EV, at a temperature that falls. That comes to rest at
an equilibrium, which need not be the best one. Optimistic exploration draws by what an action is
worth where the others answer it best, MaxQ_i(s, a_i) = max_{a_-i} Q_i(s, a_i, a_-i); weighted by
how likely that answer is; or mixed with EV.
Tables, no networks: a state is an observation of the agent's own, met again to the last digit. All
see what all did in training; acting needs an agent's own observation alone.
Claus and Boutilier 1998, "The dynamics of reinforcement learning in cooperative multiagent
systems", which has one state; several states, and their discount, are added here.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.cooperative.iql import check_choices, unit_steps
from shoal.agents.distinct import Distinct
from shoal.agents.experience import Experience
from shoal.core.algorithm import Algorithm, Carry, Extras, Metrics, Policy, Trajectory
from shoal.core.descend import Optimizers, Params, apply_gradient, init_optimizer, skip_counts
from shoal.core.distributions import Categorical
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.limits import Count, Fraction, Positive, PositiveFraction
from shoal.core.parallel import all_gather, num_shards, pmean, weighted_mean
from shoal.core.spaces import Discrete, legal_actions
from shoal.math.td import double_q_value, settled_returns
from shoal.nn.mixers import NoMixer

MOST = 2**22  # values in the tables of all agents
_TIES = 1e-3  # deviation of values at first: else the best action of the unknown is always action 0


class Boltzmann(Policy):
    """A softmax of tabled values over the legal actions, uniform where an agent sees what the table
    does not have. Its mode is the action of highest value."""

    met: Distinct
    values: Float[Array, "N S A"]
    temperature: Float[Array, ""]
    space: Discrete

    def initial_carry(self) -> Carry:
        return None

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray | None = None
    ) -> tuple[Categorical, Carry]:
        values = self.met.read(self.values, timestep.obs)
        legal = legal_actions(self.space, timestep.action_mask, timestep.reward.shape)
        return Categorical(values / self.temperature, legal), carry


class JALState(eqx.Module):
    """What training changes: J = N - 1 others, whose joint actions are M = A^J."""

    params: Params  # q [N, S, A, M]: an agent's own action, then those of the others in order
    optimizers: Optimizers
    counts: Float[Array, "N S J A"]
    met: Distinct
    progress: Float[Array, ""]
    spec: EnvSpec


class Others(eqx.Module):
    """The other agents of each agent, and their joint actions as numbers."""

    agents: np.ndarray  # int [N, J]
    actions: np.ndarray  # int [J, M]: what each does in each joint action
    real: np.ndarray  # bool [N, J, A]: which actions each has

    @staticmethod
    def of(spec: EnvSpec) -> "Others":
        n, size = spec.num_agents, spec.action.size
        agents = np.array([[j for j in range(n) if j != i] for i in range(n)], int)
        actions = np.indices((size,) * (n - 1)).reshape(n - 1, size ** (n - 1))
        return Others(agents, actions, spec.action.mask[agents])

    def each(self, x: Array | np.ndarray) -> Any:
        """What holds of each other's action, `[..., J, A]`, by joint actions: `[..., J, M]`."""
        return x[..., np.arange(len(self.actions))[:, None], self.actions]


class JAL(Algorithm):
    """Joint-action learning in tables, for few agents, few discrete actions and few distinct
    observations. Tables grow with the actions to the power of the agents. An agent that is not due
    counts as doing its first action."""

    learning_rate: PositiveFraction = 0.5
    """Alpha: how far a value moves, once a rollout, towards the mean of its targets there."""
    discount: Fraction = 0.99
    """Weight of a reward one step later."""
    temperature_start: Positive = 16.0
    """Temperature of the softmax at first, in units of returns."""
    temperature_end: Positive = 0.1
    """Temperature of the softmax in the end."""
    exploration_fraction: PositiveFraction = 1.0
    """Share of training over which the temperature falls, geometrically."""
    count_decay: Fraction = 1.0
    """What old counts of a state weigh after each rollout that met it: 1 counts all that was ever
    seen alike, 0 the newest rollout alone."""
    exploration: Literal["boltzmann", "optimistic", "weighted", "combined"] = eqx.field(
        static=True, default="boltzmann"
    )
    """What actions are drawn by: EV, MaxQ, MaxQ times the probability of the others' best answer,
    or rho MaxQ + (1 - rho) EV. What is evaluated goes by EV."""
    rho: Fraction = 0.5
    """Weight of MaxQ in combined exploration."""
    states: Count = eqx.field(static=True, default=64)
    """Distinct observations that the table of each agent holds. What comes when it is full is acted
    on at random and not learned from; the metric unknown_states is its share."""

    def check(self, spec: EnvSpec) -> None:
        check_choices(spec)
        n, size = spec.num_agents, spec.action.size
        require(
            n * self.states * size**n <= MOST,
            f"jal has a table of {self.states} states x {size}^{n} joint actions for each of {n} "
            f"agents in {spec.name}, expected at most {MOST:,} values in all: use vdn or ippo, or "
            "fewer states",
        )

    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> JALState:
        others, n, size = Others.of(spec), spec.num_agents, spec.action.size
        q = _TIES * jax.random.normal(key, (n, self.states, size, others.actions.shape[1]))
        real = jnp.asarray(others.real, jnp.float32)[:, None]  # each action counts once at first
        return JALState(
            params={"q": q},
            optimizers={"q": init_optimizer(q, n, optax.identity())},
            counts=jnp.broadcast_to(real, (n, self.states, *real.shape[2:])),
            met=Distinct.empty(n, self.states, spec.obs_size),
            progress=jnp.float32(0),
            spec=spec,
        )

    def expected(self, state: JALState) -> Float[Array, "N S A"]:
        """EV: the value of each agent's own actions, by its model of the others."""
        return (state.params["q"] * _likely(state)[:, :, None]).sum(-1)

    def appeal(self, state: JALState) -> Float[Array, "N S A"]:
        """What actions are drawn by in training."""
        if self.exploration == "boltzmann":
            return self.expected(state)
        others = Others.of(state.spec)
        real = others.each(others.real).all(1)[:, None, None]
        q = jnp.where(real, state.params["q"], -jnp.inf)
        best = q.max(-1)
        if self.exploration == "optimistic":
            return best
        if self.exploration == "weighted":
            return best * jnp.take_along_axis(_likely(state), q.argmax(-1), -1)
        return self.rho * best + (1 - self.rho) * self.expected(state)

    def learn(
        self, state: JALState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[JALState, Metrics]:
        del key  # nothing is drawn
        steps, others = Experience.of(trajectory, state.spec, False), Others.of(state.spec)
        together = [all_gather(x.reshape(-1, *x.shape[2:])) for x in (steps.obs, steps.active)]
        met = state.met.add(*together)
        found, q = met.find(steps.obs), state.params["q"]
        after = met.read(self.expected(state), steps.next_obs)
        value_after = double_q_value(after, after, steps.next_legal)
        units = unit_steps(NoMixer(), steps, value_after, self.discount)
        target, settled = settled_returns(*units, 0.0)

        # Where in the tables each step of each agent belongs.
        agent, row = np.arange(q.shape[0]), found.argmax(-1)
        action = jnp.where(steps.active, steps.action, 0)
        theirs = action[..., others.agents]  # [T, B, N, J]
        places = q.shape[2] ** np.arange(theirs.shape[-1])[::-1]
        cell = agent, row, action, (theirs * places).sum(-1)
        known = steps.active & found.any(-1)

        error = jnp.where(known & settled, target - q[cell], 0.0)
        weight = (known & settled).astype(jnp.float32)
        table = jnp.zeros_like(q)
        total, visits = pmean((table.at[cell].add(error), table.at[cell].add(weight)))
        params, optimizers, metrics = apply_gradient(
            state.params,
            {"q": -total / jnp.maximum(visits, 1e-8)},
            state.optimizers,
            learning_rate=self.learning_rate,
        )
        whose = agent[:, None], row[..., None], np.arange(theirs.shape[-1]), theirs
        once = jnp.broadcast_to(known[..., None], theirs.shape).astype(jnp.float32)
        seen = num_shards() * pmean(jnp.zeros_like(state.counts).at[whose].add(once))
        counts = jnp.where(
            seen.sum(-1, keepdims=True) > 0, self.count_decay * state.counts + seen, state.counts
        )
        progress = jnp.asarray(trajectory.progress, jnp.float32)
        metrics = skip_counts(optimizers) | {
            "error": weighted_mean(jnp.abs(error), weight),
            "temperature": self.temperature(state.progress),
            "states": met.count.max().astype(jnp.float32),
            "unknown_states": weighted_mean(1.0 - known, steps.active.astype(jnp.float32)),
        }
        return JALState(params, optimizers, counts, met, progress, state.spec), metrics

    # Acting.

    def temperature(self, progress: Float[Array, ""]) -> Float[Array, ""]:
        """The temperature after that share of training."""
        share = jnp.minimum(progress / self.exploration_fraction, 1.0)
        fall = self.temperature_end / self.temperature_start
        return jnp.asarray(self.temperature_start * fall**share, jnp.float32)

    def acting(self, state: JALState) -> Boltzmann:
        return self._policy(state, self.appeal(state), self.temperature(state.progress))

    def act(
        self, acting: Boltzmann, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        distribution, carry = acting(timestep, carry)
        return distribution.sample(key), carry, None

    def policy(self, state: JALState) -> Boltzmann:
        """By EV; samples explore as little as they will in the end, whatever `act` still does."""
        return self._policy(state, self.expected(state), jnp.float32(self.temperature_end))

    def _policy(
        self, state: JALState, values: Float[Array, "N S A"], temperature: Float[Array, ""]
    ) -> Boltzmann:
        space = state.spec.action
        assert isinstance(space, Discrete)
        return Boltzmann(state.met, values, temperature, space)


def _likely(state: JALState) -> Float[Array, "N S M"]:
    """How likely each joint action of the others is, by what was counted."""
    share = state.counts / state.counts.sum(-1, keepdims=True)
    return Others.of(state.spec).each(share).prod(-2)


def jal(**overrides: Any) -> JAL:
    """Joint-action learners. `overrides` are fields of `JAL`."""
    return JAL(**overrides)
