"""The two-step game: what the first agent does decides which matrix both then play.

    state A pays 7 whatever they do,        state B pays  0  1
                                                          1  8

The best return is 8. A sum of agents' values cannot tell B's 8 from its 1s and settles for 7; a
monotonic mixture whose weights depend on the state can.
Rashid et al. 2018, arXiv:1803.11485, section 5.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.picture import Picture, Shape, Text
from shoal.core.spaces import Discrete
from shoal.envs.cooperative.common_payoff import share
from shoal.envs.payoff_table import payoff_table

START, A, B = 0, 1, 2
LEFTS = (-1.25, 0.25)  # of the tables of A and B in a picture


class TwoStepState(eqx.Module):
    """Which of the three states the game is in, how many steps were made, the actions of the last
    one (-1 before it), and what was paid."""

    place: Int[Array, ""]
    time: Int[Array, ""]
    last: Int[Array, "2"]
    total: Float[Array, ""]


class TwoStepGame(Env):
    """Two agents of one team, two steps.

    Observation:
        For both which of three states the game is in, one-hot (3): the start, A, B.

    Actions:
        One of 2. In the first step the first agent's chooses A or B, and the second agent's does
        nothing; in the second step both choose a cell.

    Reward:
        Nothing in the first step; in the second the cell of A's or B's matrix, for both.

    Metrics:
        share_of_optimum: The return as a share of the best one.
    """

    safe: float = 7.0
    """What state A pays."""
    best: float = 8.0
    """What state B pays where both choose the second action."""

    @property
    def payoffs(self) -> Float[Array, "2 2 2"]:
        """What each cell of A and of B pays, `[2, A1, A2]`."""
        in_b = [[0.0, 1.0], [1.0, self.best]]
        return jnp.array([[[self.safe] * 2] * 2, in_b], jnp.float32)

    @property
    def optimum(self) -> Float[Array, ""]:
        """The best return of an episode."""
        return self.payoffs.max()

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            name="coop/two_step",
            agents=("first", "second"),
            obs_sizes=(3, 3),
            action=Discrete((2, 2)),
            horizon=2,
            state_size=3,
            metrics=(("share_of_optimum", "last"),),
        )

    def reset(self, key: PRNGKeyArray) -> tuple[TwoStepState, TimeStep]:
        del key
        none = jnp.full(2, -1, jnp.int32)
        state = TwoStepState(jnp.int32(START), jnp.int32(0), none, jnp.float32(0))
        return state, self._show(state, jnp.float32(0))

    def step(
        self, key: PRNGKeyArray, state: TwoStepState, action: Action
    ) -> tuple[TwoStepState, TimeStep]:
        del key
        starts = state.place == START
        reward = jnp.where(starts, 0.0, self.payoffs[state.place - A, action[0], action[1]])
        place = jnp.where(starts, A + action[0], state.place).astype(jnp.int32)
        total = state.total + reward
        state = TwoStepState(place, state.time + 1, action.astype(jnp.int32), total)
        return state, self._show(state, reward)

    def _show(self, state: TwoStepState, reward: Float[Array, ""]) -> TimeStep:
        seen = jax.nn.one_hot(state.place, 3)
        return TimeStep.of(
            jnp.broadcast_to(seen, (2, 3)),
            reward=reward,
            terminated=state.time >= 2,
            global_state=seen,
            metrics={"share_of_optimum": share(state.total, self.optimum)},
        )

    def scripted(self, state: TwoStepState) -> Action:
        """To the state with the best cell, and that cell."""
        richest = self.payoffs.max((1, 2)).argmax()
        here = self.payoffs[jnp.maximum(state.place - A, 0)]
        best = jnp.stack(jnp.unravel_index(here.argmax(), here.shape))
        return jnp.where(state.place == START, richest, best).astype(jnp.int32)

    def draw(self, state: TwoStepState) -> Picture:
        """Both tables, the best cells ringed, the table that is played named, the cell that was
        chosen marked, and the total so far."""
        place, time, payoffs = int(state.place), int(state.time), np.asarray(self.payoffs)
        said = {START: "first chooses A or B", A: "in A", B: "in B"}[place]
        shapes: list[Shape] = [Text(0.0, 1.0, f"step {time} of 2: {said}")]
        for i, left in enumerate(LEFTS):
            here = place == A + i
            chosen = [int(a) for a in state.last] if here and time == 2 else []
            shapes.append(Text(left + 0.5, 0.75, "AB"[i] + (", played" if here else "")))
            cells = [[f"{pay:g}" for pay in row] for row in payoffs[i]]
            best = np.argwhere(payoffs[i] == payoffs.max()).tolist()
            shapes += payoff_table(
                cells, "12", "12", chosen=chosen, best=best, left=left, top=0.5, side=1.0
            )
        shapes.append(Text(0.0, -0.8, f"total {state.total:g} of at most {self.optimum:g}"))
        return Picture(tuple(shapes), view=(-1.5, -1.4, 1.4, 1.4))
