"""Common-payoff games: all agents act at once, and each is paid the cell that they chose.

    r_1[t] = ... = r_N[t] = U(a_1[t], ..., a_N[t]),    optimum = rounds * max_a U(a)

Nothing that happens in a round changes the next one, so that a constant policy is best. What agents
see, and the global state, is the share of rounds that is left: with it the return that is to come
is a function of what is seen, though the game ends.
"""

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.picture import Picture, Text
from shoal.core.spaces import Discrete
from shoal.envs.payoff_table import payoff_table


class RoundState(eqx.Module):
    """The actions of the last round, -1 before the first one; rounds played; what all paid."""

    last: Int[Array, "N"]
    time: Int[Array, ""]
    total: Float[Array, ""]


class CommonPayoffGame(Env):
    """A payoff tensor with an axis for each agent, played for some rounds; the end is a true one.

    Observation:
        The share of rounds that is left, one number, for every agent.

    Actions:
        One of the agent's own, as many as its axis of the payoffs is long.

    Reward:
        The cell that all chose, for every agent.

    Metrics:
        share_of_optimum: The return as a share of the best one.
    """

    name: eqx.AbstractClassVar[str]

    @property
    @abc.abstractmethod
    def payoffs(self) -> Float[Array, "*A"]:
        """What each cell pays every agent, `[A1, ..., AN]`."""

    @property
    @abc.abstractmethod
    def rounds(self) -> int:
        """How often the game is played in an episode."""

    @property
    def optimum(self) -> Float[Array, ""]:
        """The best return of an episode."""
        return self.rounds * self.payoffs.max()

    @property
    def best_actions(self) -> Int[Array, "N"]:
        """The actions of the best cell, the first one of several."""
        cell = jnp.unravel_index(self.payoffs.argmax(), self.payoffs.shape)
        return jnp.stack(cell).astype(jnp.int32)

    @property
    def spec(self) -> EnvSpec:
        sizes = self.payoffs.shape
        return EnvSpec(
            name=self.name,
            agents=tuple(f"agent_{i + 1}" for i in range(len(sizes))),
            roles=tuple(sorted(set(sizes)).index(size) for size in sizes),
            obs_sizes=(1,) * len(sizes),
            action=Discrete(sizes),
            state_size=1,
            horizon=self.rounds,
            metrics=(("share_of_optimum", "last"),),
        )

    def reset(self, key: PRNGKeyArray) -> tuple[RoundState, TimeStep]:
        del key  # every episode starts alike
        none = jnp.full(self.payoffs.ndim, -1, jnp.int32)
        state = RoundState(none, jnp.int32(0), jnp.float32(0))
        return state, self._show(state, jnp.float32(0))

    def step(
        self, key: PRNGKeyArray, state: RoundState, action: Action
    ) -> tuple[RoundState, TimeStep]:
        del key
        reward = self.payoffs[tuple(action)]
        state = RoundState(action.astype(jnp.int32), state.time + 1, state.total + reward)
        return state, self._show(state, reward)

    def _show(self, state: RoundState, reward: Float[Array, ""]) -> TimeStep:
        sizes = self.payoffs.shape
        left = 1.0 - state.time[None] / self.rounds
        return TimeStep.of(
            jnp.broadcast_to(left, (len(sizes), 1)),
            reward=reward,
            terminated=state.time >= self.rounds,
            action_mask=jnp.asarray(Discrete(sizes).mask) if len(set(sizes)) > 1 else None,
            global_state=left,
            metrics={"share_of_optimum": share(state.total, self.optimum)},
        )

    def scripted(self, state: RoundState) -> Action:
        """The best cell, in every round."""
        return self.best_actions

    def draw(self, state: RoundState) -> Picture:
        """The table of payoffs, the best cells ringed and the one just chosen marked, and the total
        so far; of more than two agents, their actions beside the best ones."""
        payoffs = np.asarray(self.payoffs)
        last = [int(a) for a in state.last] if int(state.time) else []
        names = [[str(a + 1) for a in range(size)] for size in payoffs.shape]
        agents = self.spec.agents
        if len(names) == 2:
            cells = [[f"{pay:g}" for pay in row] for row in payoffs.tolist()]
            shapes = [Text(-1.05, 0.8, agents[0]), Text(0.1, 0.95, agents[1])]
            best = np.argwhere(payoffs == payoffs.max()).tolist()
            shapes += payoff_table(cells, *names, chosen=last, best=best)
        else:
            chosen = [str(a + 1) for a in last] or ["-"] * len(names)
            rows = zip(agents, chosen, self.best_actions.tolist())
            lines = [f"{agent}: {action} (best {a + 1})" for agent, action, a in rows]
            shapes = [Text(0.0, 0.8 - 0.25 * i, line) for i, line in enumerate(lines)]
        paid = f"paid {payoffs[tuple(last)]:g}, " if last else ""
        return Picture(
            (
                Text(0.0, 1.15, f"round {int(state.time)} of {self.rounds}"),
                *shapes,
                Text(0.0, -1.25, f"{paid}total {state.total:g} of at most {self.optimum:g}"),
            ),
            view=(-1.4, -1.4, 1.3, 1.3),
        )


def share(total: Float[Array, ""], optimum: Float[Array, ""]) -> Float[Array, ""]:
    """What was paid so far as a share of the best return; 0 where that is not positive."""
    return jnp.where(optimum > 0, total / jnp.where(optimum > 0, optimum, 1.0), 0.0)
