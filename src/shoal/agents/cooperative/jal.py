r"""Joint-action learners: each agent has a value of what all do at once, and a model of the others.

$$
\begin{aligned}
Q_i(s, a) &\leftarrow Q_i(s, a) + \alpha\, (r_i + \gamma \max_b EV_i(s', b) - Q_i(s, a)),
  \quad a = (a_1, \dots, a_N) \\
EV_i(s, a_i) &= \sum_{a_{-i}} Q_i(s, a_i, a_{-i}) \prod_{j \ne i} Pr_j(a_j|s) \\
Pr_j(a_j|s) &= C_i(s, j, a_j) / \sum_b C_i(s, j, b),
  \quad C \text{: how often } i \text{ saw } j \text{ do so}
\end{aligned}
$$

Actions are drawn from a softmax of EV, at a temperature that falls. That comes to rest at an
equilibrium, which need not be the best one. Optimistic exploration goes by MaxQ, what an action is
worth if the others answer it best.
Tables, no networks: a state is what the agent itself sees, met again to the last digit. In training
all see what all did; acting needs an agent's own observation alone.
Claus and Boutilier 1998, "The dynamics of reinforcement learning in cooperative multiagent
systems", on games of one state; several states, with a discount, are added here.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.agents.cooperative.iql import check_choices, unit_steps
from shoal.agents.experience import Experience
from shoal.agents.tables import Boltzmann, Distinct
from shoal.core.algorithm import Algorithm, Carry, Extras, Metrics, Trajectory
from shoal.core.descend import Optimizers, Params, apply_gradient, init_optimizer, skip_counts
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.limits import Count, Fraction, Positive, PositiveFraction
from shoal.core.parallel import all_gather, num_shards, pmean, weighted_mean
from shoal.core.spaces import Discrete
from shoal.math.td import double_q_value, settled_returns
from shoal.nn.mixers import NoMixer

MOST = 2**22  # values in the tables of all agents
_TIES = 1e-3  # deviation of values at first: else the best of untried actions is always action 0


class Others(NamedTuple):
    """The J = N - 1 others of each agent, and their M = A^J joint actions."""

    agents: np.ndarray  # int [N, J]
    joint: np.ndarray  # int [J, M]: what each does in each joint action
    real: np.ndarray  # bool [N, J, A]: which actions each has

    @staticmethod
    def of(spec: EnvSpec) -> "Others":
        n, size = spec.num_agents, spec.action.size
        agents = np.array([[j for j in range(n) if j != i] for i in range(n)], int)
        joint = np.indices((size,) * (n - 1)).reshape(n - 1, size ** (n - 1))
        return Others(agents, joint, spec.action.mask[agents])

    def each(self, x: Any) -> Any:
        """What holds of each other's actions, `[..., J, A]`, in joint actions: `[..., J, M]`."""
        return x[..., np.arange(len(self.joint))[:, None], self.joint]


class JALState(eqx.Module):
    """What training changes."""

    params: Params  # q [N, S, A, M]: by an agent's own action, and the others' joint one
    optimizers: Optimizers
    counts: Float[Array, "N S J A"]
    met: Distinct
    progress: Float[Array, ""]
    spec: EnvSpec


class JAL(Algorithm):
    """Joint-action learning in tables, for few agents, few discrete actions and few distinct
    observations. An agent that is not due counts as doing its first action."""

    learning_rate: PositiveFraction = 0.5
    """Alpha: how far a value moves, once a rollout, towards the mean of its targets there."""
    discount: Fraction = 0.99
    """Weight of a reward one step later."""
    temperature_start: Positive = 16.0
    """Temperature of the softmax at first, in units of returns."""
    temperature_end: Positive = 0.1
    """Temperature of the softmax in the end."""
    exploration_fraction: PositiveFraction = 1.0
    """Share of training over which the temperature falls, by the same factor in each update."""
    count_decay: Fraction = 1.0
    """What old counts of a state weigh after each rollout that met it: 1 counts all that was ever
    seen alike, 0 the newest rollout alone."""
    exploration: Literal["boltzmann", "optimistic", "weighted", "combined"] = eqx.field(
        static=True, default="boltzmann"
    )
    """What actions are drawn by in training: EV, MaxQ, MaxQ times the probability of that best
    answer, or rho MaxQ + (1 - rho) EV. What is evaluated goes by EV."""
    rho: Fraction = 0.5
    """Weight of MaxQ in combined exploration."""
    states: Count = eqx.field(static=True, default=128)
    """Distinct observations that the table of each agent holds. What comes when it is full is acted
    on at random and not learned from: the metric unknown_states is its share."""

    def expected(self, state: JALState) -> Float[Array, "N S A"]:
        """EV: the value of each agent's own actions, by its model of the others."""
        return (state.params["q"] * likely(state)[:, :, None]).sum(-1)

    def appeal(self, state: JALState) -> Float[Array, "N S A"]:
        """What actions are drawn by in training."""
        expected, others = self.expected(state), Others.of(state.spec)
        if self.exploration == "boltzmann":
            return expected
        real = others.each(others.real).all(1)[:, None, None]
        q = jnp.where(real, state.params["q"], -jnp.inf)
        if self.exploration == "weighted":
            return q.max(-1) * jnp.take_along_axis(likely(state), q.argmax(-1), -1)
        rho = 1.0 if self.exploration == "optimistic" else self.rho
        return rho * q.max(-1) + (1 - rho) * expected

    def learn(
        self, state: JALState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[JALState, Metrics]:
        del key  # nothing is drawn
        steps, q = Experience.of(trajectory, state.spec, False), state.params["q"]
        met = state.met.add(_everywhere(steps.obs), _everywhere(steps.active))
        found = met.find(steps.obs)
        known = steps.active & found.any(-1)

        after = met.read(self.expected(state), steps.next_obs)
        value_after = double_q_value(after, after, steps.next_legal)
        units = unit_steps(NoMixer(), steps, value_after, self.discount)
        target, settled = settled_returns(*units, 0.0)

        agent, row = np.arange(q.shape[0]), found.argmax(-1)
        action = jnp.where(steps.active, steps.action, 0)
        theirs = action[..., Others.of(state.spec).agents]  # [T, B, N, J]
        places = q.shape[2] ** np.arange(theirs.shape[-1])[::-1]
        cell = agent, row, action, (theirs * places).sum(-1)
        error = jnp.where(known & settled, target - q[cell], 0.0)
        weight = (known & settled).astype(jnp.float32)
        params, optimizers, _ = apply_gradient(
            state.params,
            {"q": -_mean_by_cell(q, cell, error, weight)},
            state.optimizers,
            learning_rate=self.learning_rate,
        )
        after_all = JALState(
            params,
            optimizers,
            self._count(state.counts, row, theirs, known),
            met,
            jnp.asarray(trajectory.progress, jnp.float32),
            state.spec,
        )
        return after_all, skip_counts(optimizers) | {
            "error": weighted_mean(jnp.abs(error), weight),
            "temperature": self.temperature(state.progress),
            "states": met.count.max().astype(jnp.float32),
            "unknown_states": weighted_mean(1.0 - known, steps.active.astype(jnp.float32)),
        }

    def _count(
        self,
        counts: Float[Array, "N S J A"],
        row: Array,
        theirs: Array,
        known: Bool[Array, "T B N"],
    ) -> Float[Array, "N S J A"]:
        """The counts after a rollout in which the others did `theirs`, `[T, B, N, J]`, while agents
        saw what is in `row`, `[T, B, N]`."""
        agent, other = np.arange(counts.shape[0])[:, None], np.arange(counts.shape[2])
        once = jnp.broadcast_to(known[..., None], theirs.shape).astype(jnp.float32)
        new = jnp.zeros_like(counts).at[agent, row[..., None], other, theirs].add(once)
        new = num_shards() * pmean(new)
        return jnp.where(new.sum(-1, keepdims=True) > 0, self.count_decay * counts + new, counts)

    # Tables and acting.

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
        q = _TIES * jax.random.normal(key, (n, self.states, size, others.joint.shape[1]))
        once = jnp.asarray(others.real, jnp.float32)[:, None]  # nothing is impossible at first
        return JALState(
            params={"q": q},
            optimizers={"q": init_optimizer(q, n, optax.identity())},
            counts=jnp.broadcast_to(once, (n, self.states, n - 1, size)),
            met=Distinct.empty(n, self.states, spec.obs_size),
            progress=jnp.float32(0),
            spec=spec,
        )

    def temperature(self, progress: Float[Array, ""]) -> Float[Array, ""]:
        """The temperature after that share of training."""
        share = jnp.minimum(progress / self.exploration_fraction, 1.0)
        fall = self.temperature_end / self.temperature_start
        return jnp.asarray(self.temperature_start * fall**share, jnp.float32)

    def acting(self, state: JALState) -> Boltzmann:
        return _policy(state, self.appeal(state), self.temperature(state.progress))

    def act(
        self, acting: Boltzmann, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        distribution, carry = acting(timestep, carry)
        return distribution.sample(key), carry, None

    def policy(self, state: JALState) -> Boltzmann:
        """By EV; samples explore as little as they will in the end, whatever `act` still does."""
        return _policy(state, self.expected(state), jnp.float32(self.temperature_end))


def likely(state: JALState) -> Float[Array, "N S M"]:
    """The probability of each joint action of the others, by what was counted."""
    share = state.counts / state.counts.sum(-1, keepdims=True)
    return Others.of(state.spec).each(share).prod(-2)


def _everywhere(x: Array) -> Array:
    """`[T, B, ...]` on all devices as rows `[M, ...]`, in the same order on any number of them."""
    x = all_gather(jnp.swapaxes(x, 0, 1))
    return x.reshape(-1, *x.shape[2:])


def _mean_by_cell(table: Array, cell: tuple, error: Array, weight: Array) -> Array:
    """The mean error of the steps, on all devices, that fall into each cell; 0 where none does."""
    zero = jnp.zeros_like(table)
    total, visits = pmean((zero.at[cell].add(error), zero.at[cell].add(weight)))
    return total / jnp.maximum(visits, 1e-8)


def _policy(state: JALState, values: Array, temperature: Array) -> Boltzmann:
    space = state.spec.action
    assert isinstance(space, Discrete)
    return Boltzmann(state.met, values, temperature, space)


def jal(**overrides: Any) -> JAL:
    """Joint-action learners. `overrides` are fields of `JAL`.

    When to use it:
        A lesson, and a reference, in games of a few agents, actions and distinct observations:
        nothing is approximated.

    What breaks it:
        Observations that never repeat, since a state is met again to the last digit only, and many
        agents or actions: tables of all joint actions that are too large are refused.
    """
    return JAL(**overrides)
