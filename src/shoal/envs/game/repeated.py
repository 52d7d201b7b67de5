"""Games in normal form as worlds: all act at once, for some rounds, and may remember.

    r_i[t] = u_i(a_1[t], ..., a_N[t])

With memory m each agent sees the last m rounds, its own action first, so that tit-for-tat and its
kin are policies to be learned (Axelrod, The Evolution of Cooperation, 1984).
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.algorithm import Policy
from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.limits import Count, Natural
from shoal.core.picture import Picture, Text
from shoal.core.spaces import Discrete
from shoal.envs.game.behaviour import TablePolicy, probabilities
from shoal.envs.payoff_table import payoff_table
from shoal.games.normal_form import NormalForm, Profile, check_profile, gains

MOST_RATES = 16
"""Games with more actions than this in all do not report how often each is taken."""


class RepeatedState(eqx.Module):
    """What has been played: M remembered rounds, the last one first; -1 where there was none."""

    history: Int[Array, "M N"]
    last: Int[Array, "N"]
    time: Int[Array, ""]


def _nested(values: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, values))


class RepeatedGame(Env):
    """A normal-form game that is played `rounds` times; the end is a true one.

    Observation:
        Without memory a constant 1. With memory, for each remembered round, an agent's own action
        and then the others', as one-hot vectors; zeros where there was no round yet.

    Actions:
        One of the player's own; all choose at once.

    Reward:
        What the payoffs say of the cell that all chose, in each round.

    Metrics:
        <player>/<action>: Share of rounds in which the player took the action; left out where there
            are many.
    """

    payoffs: Float[Array, "N *A"] = eqx.field(
        default=(((3.0, 0.0), (5.0, 1.0)), ((3.0, 5.0), (0.0, 1.0))),
        converter=lambda payoffs: jnp.asarray(NormalForm(payoffs).payoffs, jnp.float32),
    )
    """What each player gains, `[N, A1, ..., AN]`, at the prompt also as `shoal solve` takes it; a
    prisoner's dilemma unless given."""
    rounds: Count = eqx.field(static=True, default=1)
    """How often the game is played in an episode."""
    memory: Natural = eqx.field(static=True, default=0)
    """How many past rounds the players see."""
    name: str = eqx.field(static=True, default="game/matrix")
    """What the world is called."""
    actions: tuple[tuple[str, ...], ...] = eqx.field(static=True, default=(), converter=_nested)
    """The names of each player's actions; numbers if not given."""
    players: tuple[str, ...] = eqx.field(static=True, default=(), converter=tuple)
    """The names of the players; numbers if not given."""

    @property
    def game(self) -> NormalForm:
        """One round, for the solvers."""
        payoffs = np.asarray(self.payoffs, np.float64)
        return NormalForm(
            payoffs, actions=self.actions or None, players=self.players or None, title=self.name
        )

    @property
    def num_actions(self) -> tuple[int, ...]:
        """How many actions each player has."""
        return self.payoffs.shape[1:]

    @property
    def spec(self) -> EnvSpec:
        num_agents, seen = len(self.num_actions), self.memory * sum(self.num_actions)
        each = range(num_agents)
        return EnvSpec(
            name=self.name,
            agents=self.players or tuple(f"player_{i + 1}" for i in each),
            teams=tuple(each),
            roles=tuple(each),
            obs_sizes=(max(1, seen),) * num_agents,
            action=Discrete(self.num_actions),
            state_size=seen,
            horizon=self.rounds,
            metrics=tuple((name, "mean") for name in self._rate_names()),
        )

    def reset(self, key: PRNGKeyArray) -> tuple[RepeatedState, TimeStep]:
        del key  # every episode starts alike
        num_agents = len(self.num_actions)
        none = jnp.full((self.memory, num_agents), -1, jnp.int32)
        state = RepeatedState(none, jnp.full(num_agents, -1, jnp.int32), jnp.int32(0))
        return state, self._show(state, jnp.zeros(num_agents))

    def step(
        self, key: PRNGKeyArray, state: RepeatedState, action: Action
    ) -> tuple[RepeatedState, TimeStep]:
        del key
        reward = self.payoffs[(slice(None), *action)]
        history = jnp.concatenate([action[None], state.history])[: self.memory]
        state = RepeatedState(history.astype(jnp.int32), action.astype(jnp.int32), state.time + 1)
        return state, self._show(state, reward)

    def _show(self, state: RepeatedState, reward: Float[Array, "N"]) -> TimeStep:
        counts = self.num_actions
        over = jnp.full(len(counts), state.time >= self.rounds)
        taken = [jax.nn.one_hot(state.history[:, j], n) for j, n in enumerate(counts)]  # [M, A_j]
        obs = [_flat([taken[i], *taken[:i], *taken[i + 1 :]]) for i in range(len(counts))]
        mask = jnp.asarray(self.spec.action.mask) if len(set(counts)) > 1 else None
        return TimeStep(
            obs=jnp.stack(obs) if self.memory else jnp.ones((len(counts), 1)),
            reward=reward,
            terminated=over,
            truncated=jnp.zeros(self.spec.num_agents, bool),
            active=~over,
            action_mask=mask,
            global_state=_flat(taken) if self.memory else None,
            metrics=dict(zip(self._rate_names(), self._rates(state.last))),
        )

    def _rate_names(self) -> list[str]:
        if sum(self.num_actions) > MOST_RATES:
            return []
        game = self.game_names()
        return [f"{player}/{name}" for player, names in game for name in names]

    def game_names(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each player's name, and those of its actions."""
        players = self.players or tuple(f"player_{i + 1}" for i in range(len(self.num_actions)))
        numbers = tuple(tuple(str(a + 1) for a in range(n)) for n in self.num_actions)
        return list(zip(players, self.actions or numbers))

    def _rates(self, last: Int[Array, "N"]) -> list[Float[Array, ""]]:
        taken = [jax.nn.one_hot(last[i], n) for i, n in enumerate(self.num_actions)]
        return list(jnp.concatenate(taken))

    def behaviour(self, policy: Policy) -> list[Float[np.ndarray, "_"]]:
        """What a policy of this world does in a game without memory: a profile for the solvers.

        Raises:
            UserError: the players remember, so that what they do is more than a profile.
        """
        require(
            self.memory == 0 and policy.initial_carry() is None,
            "players who remember have no mixed strategy: set memory to 0, and no recurrent policy",
        )
        obs, mask = jnp.ones((len(self.num_actions), 1)), jnp.asarray(self.spec.action.mask)
        rows = np.asarray(probabilities(policy, obs, mask), np.float64)
        return [row[:n] / row[:n].sum() for row, n in zip(rows, self.num_actions)]

    def assess(self, policy: Policy) -> dict[str, float]:
        """`nash_conv`: what the players could gain in one round by best responses, each alone, in
        sum; 0 at an equilibrium. Only without memory, of a policy that is not recurrent."""
        if self.memory or policy.initial_carry() is not None:
            return {}
        found = gains(self.game, self.behaviour(policy))
        return {"nash_conv": float(np.maximum(found, 0.0).sum())}

    def as_policy(self, profile: Profile) -> TablePolicy:
        """A mixed strategy for each player as a policy that acts in a game without memory."""
        require(self.memory == 0, "a profile says nothing of players who remember: set memory to 0")
        table = np.zeros((len(self.num_actions), 1, max(self.num_actions)), np.float32)
        for row, strategy in zip(table, check_profile(self.game, profile)):
            row[0, : len(strategy)] = strategy
        return TablePolicy(jnp.asarray(table))

    def draw(self, state: RepeatedState) -> Picture:
        """The table of payoffs, the cell just played marked; of more players, their actions."""
        names = self.game_names()
        last = [int(a) for a in state.last]
        heading = Text(0.0, 1.1, f"round {int(state.time)} of {self.rounds}")
        if len(names) == 2:
            pairs = np.moveaxis(np.asarray(self.payoffs), 0, -1)
            cells = [[f"{row:g}, {column:g}" for row, column in line] for line in pairs]
            shapes = payoff_table(
                cells, names[0][1], names[1][1], chosen=last if min(last) >= 0 else ()
            )
        else:
            said = [n[a] if a >= 0 else "-" for (_, n), a in zip(names, last)]
            lines = [f"{player}: {what}" for (player, _), what in zip(names, said)]
            shapes = [Text(0.0, 0.8 - 0.2 * i, line) for i, line in enumerate(lines)]
        return Picture((heading, *shapes), view=(-1.3, -1.2, 1.3, 1.3))


def repeated(game: NormalForm, rounds: int = 1, memory: int = 0, name: str = "") -> RepeatedGame:
    """A game as a world.

    Args:
        game: what is played in each round.
        rounds: how often it is played in an episode.
        memory: how many past rounds the players see.
        name: what the world is called; `game/matrix` if not given.
    """
    return RepeatedGame(
        payoffs=game.payoffs,
        rounds=rounds,
        memory=memory,
        name=name or "game/matrix",
        actions=game.actions,
        players=tuple(player.replace(" ", "_") for player in game.players),
    )


def _flat(parts: list[Float[Array, "M _"]]) -> Float[Array, "S"]:
    """Round by round, one player after the other."""
    return jnp.concatenate(parts, axis=1).ravel()
