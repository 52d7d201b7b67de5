"""The game that trained policies play: who gains what when each player brings one of its policies.

    payoffs[i, k_1, ..., k_N] = E[ return of player i | player j follows its policy k_j ]

Empirical game-theoretic analysis (Wellman, Methods for empirical game-theoretic analysis, 2006):
the estimated table goes to the solvers like any other game.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy.stats import t as student

from shoal.core.algorithm import Policy, require_decentralised
from shoal.core.env import Env, TimeStep
from shoal.core.errors import require
from shoal.games.normal_form import NormalForm, Profile, regret
from shoal.training.evaluation import play

LARGEST = 100_000
"""Cells that are played at most."""


@dataclass(frozen=True)
class EmpiricalGame:
    """Mean returns as a game, and how sure they are."""

    game: NormalForm
    """Mean returns: what the solvers take."""
    low: Float[np.ndarray, "N *K"]
    """The lower end of the 95 % interval of each mean."""
    high: Float[np.ndarray, "N *K"]
    """The upper end."""
    episodes: int
    """Episodes of each action profile."""
    members: tuple[tuple[int, ...], ...]
    """The agents that each player stands for."""

    def regret(self, profile: Profile) -> tuple[float, float]:
        """The estimated regret of a profile, and a bound that holds wherever all the means lie in
        their intervals."""
        off = [h - m for h, m in zip(self.high, self.game.payoffs)]
        return regret(self.game, profile), regret(self.game, profile) + 2 * float(np.max(off))


def empirical_game(
    policies: Sequence[Policy] | Sequence[Sequence[Policy]],
    env: Env,
    *,
    episodes: int = 200,
    seed: int = 0,
    greedy: bool = False,
    names: Sequence[Sequence[str]] | None = None,
) -> EmpiricalGame:
    """Plays every combination of policies and tabulates the mean returns.

    Players are the teams of `env`, or its agents where all are of one team; a player's payoff is
    the return of an episode, undiscounted, averaged over its agents. Each agent acts by the policy
    that its player has chosen, so that a policy is one for all agents of which a part is used. All
    action profiles meet the same random numbers, which makes their differences surer than the
    intervals say.

    Args:
        policies: of every player alike, or a list for each player.
        env: what is played.
        episodes: of each action profile.
        seed: of the episodes.
        greedy: take the likeliest actions; else draw them, as mixed strategies are meant.
        names: of each player's policies.

    Raises:
        UserError: no policies, lists that do not fit the players, fewer than 2 episodes, more
            action profiles than can be played, or centralised policies of players of one agent.
    """
    members = players_of(env)
    lists = _lists(policies, len(members))
    shape = tuple(map(len, lists))
    require(episodes >= 2, f"episodes is {episodes}, expected at least 2 for an interval")
    if len(members) == env.spec.num_agents:
        for policy in itertools.chain(*lists):
            require_decentralised(policy, "a player of one agent")
    require(
        float(np.prod([float(n) for n in shape])) <= LARGEST,
        f"{' x '.join(map(str, shape))} policies make more than {LARGEST:,} action profiles: "
        "take fewer",
    )
    share = np.zeros((len(members), env.spec.num_agents))
    for row, agents in zip(share, members):
        row[list(agents)] = 1 / len(agents)
    mean, error = np.zeros((len(members), *shape)), np.zeros((len(members), *shape))
    for actions in np.ndindex(*shape):
        chosen = [strategies[k] for strategies, k in zip(lists, actions)]
        joint = _Joint(tuple(chosen), members, greedy)
        returns = np.asarray(_play(joint, env, jax.random.key(seed), episodes)) @ share.T
        at = (slice(None), *actions)
        mean[at] = returns.mean(0)
        error[at] = returns.std(0, ddof=1) / np.sqrt(episodes)
    width = student.ppf(0.975, episodes - 1) * error
    spec = env.spec
    game = NormalForm(
        mean,
        actions=names or [[f"policy {k + 1}" for k in range(n)] for n in shape],
        players=[" and ".join(spec.agents[a] for a in agents) for agents in members],
        title=f"empirical game of {spec.name}",
    )
    return EmpiricalGame(game, mean - width, mean + width, episodes, members)


def players_of(env: Env) -> tuple[tuple[int, ...], ...]:
    """The agents of each player: the teams, or where all are one team, the agents."""
    teams = env.spec.teams
    if len(set(teams)) == 1:
        return tuple((i,) for i in range(len(teams)))
    return tuple(
        tuple(i for i, t in enumerate(teams) if t == team) for team in dict.fromkeys(teams)
    )


def _lists(policies: Any, num_players: int) -> list[list[Policy]]:
    require(len(policies) > 0, "there are no policies")
    if isinstance(policies[0], Policy):
        return [list(policies)] * num_players
    lists = [list(p) for p in policies]
    require(
        len(lists) == num_players and min(map(len, lists)) > 0,
        f"there are {len(lists)} lists of policies, expected {num_players}, none of them empty",
    )
    return lists


class _Joint(eqx.Module):
    """Each player's agents act by its own policy."""

    policies: tuple[Policy, ...]
    members: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    greedy: bool = eqx.field(static=True)

    def __call__(self, _: Any, timestep: TimeStep, carries: Any, key: PRNGKeyArray) -> Any:
        actions, after = [], []
        for policy, carry, k in zip(
            self.policies, carries, jax.random.split(key, len(self.policies))
        ):
            key_policy, key_sample = jax.random.split(k)
            found, carry = policy(timestep, carry, key_policy)
            actions.append(found.mode() if self.greedy else found.sample(key_sample))
            after.append(carry)
        action = actions[0]
        for agents, chosen in zip(self.members[1:], actions[1:]):
            action = action.at[:, jnp.array(agents)].set(chosen[:, jnp.array(agents)])
        return action, after


@eqx.filter_jit
def _play(joint: _Joint, env: Env, key: PRNGKeyArray, episodes: int) -> Any:
    """The return of every episode for every agent, `[E, N]`."""
    carries = [
        jax.tree.map(lambda x: jnp.broadcast_to(x, (episodes, *x.shape)), p.initial_carry())
        for p in joint.policies
    ]
    return play(env, joint, carries, key, episodes).per_agent
