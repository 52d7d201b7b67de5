r"""Who in a trained team does how much: what is lost without an agent, and its Shapley value.

    v(S)  = E[ return of the team | the agents in S act by the policy, the others at random ]
    D_i   = v(N) - v(N \ {i})
    phi_i = sum over S without i of  |S|! (N - |S| - 1)! / N!  (v(S + i) - v(S))

Difference rewards: Wolpert and Tumer 2001, "Optimal payoff functions for members of collectives".
The Shapley value (Shapley 1953) shares v(N) - v(no one) among all, also where two agents can each
stand in for the other and neither is missed alone.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.algorithm import Policy, require_decentralised
from shoal.core.env import Env, TimeStep
from shoal.core.errors import UserError, require
from shoal.envs.host.world import World
from shoal.games.cooperative.characteristic import CharacteristicFunction, memberships
from shoal.games.cooperative.values import shapley_weights
from shoal.math.statistics import student_interval
from shoal.training.evaluation import play, random_action

MOST = 10
"""Agents of whom every coalition is played."""


@dataclass(frozen=True)
class Share:
    """Means over episodes, such as one for each agent, and their 95 % intervals."""

    mean: Float[np.ndarray, "*n"]
    low: Float[np.ndarray, "*n"]
    high: Float[np.ndarray, "*n"]

    @staticmethod
    def of(x: Float[np.ndarray, "*n E"]) -> "Share":
        low, high = student_interval(x)
        return Share(x.mean(-1), np.asarray(low), np.asarray(high))


@dataclass(frozen=True)
class Contributions:
    """What the agents of a team contribute to its mean return."""

    agents: tuple[str, ...]
    difference: Share
    """What is lost when the agent alone acts at random."""
    shapley: Share
    """Its Shapley value."""
    game: CharacteristicFunction
    """What each coalition adds to a team of which all act at random, for the solvers."""
    at_random: float
    """The return of that team."""
    episodes: int


def contributions(
    policy: Policy,
    env: World,
    *,
    team: int = 0,
    episodes: int = 200,
    seed: int = 0,
    greedy: bool = True,
) -> Contributions:
    """Plays every coalition of a team: its members act by the policy, the rest of the team draws
    legal actions at random, and other teams act by the policy throughout.

    All coalitions meet the same random numbers, and intervals are of differences within episodes.

    Args:
        policy: of all agents.
        env: what is played.
        team: whose return it is, a number of `env.spec.teams`.
        episodes: of each coalition.
        seed: of the episodes.
        greedy: whether the policy's agents take the likeliest action.

    Raises:
        UserError: the environment is one of Python's, the policy is centralised, there is no such
            team, it has more than 10 agents, or there are fewer than 2 episodes.
    """
    if not isinstance(env, Env):
        raise UserError(f"{env.spec.name} is not compiled: coalitions are played in one program")
    require_decentralised(policy, "a contribution")
    spec = env.spec
    agents = np.flatnonzero(np.array(spec.teams) == team)
    require(len(agents) > 0, f"team is {team}, expected one of {sorted(set(spec.teams))}")
    require(
        len(agents) <= MOST,
        f"the team has {len(agents)} agents, expected at most {MOST}: {2 ** len(agents):,} "
        "coalitions would have to be played",
    )
    require(episodes >= 2, f"episodes is {episodes}, expected at least 2 for an interval")
    members = memberships(len(agents))
    acts = np.ones((len(members), spec.num_agents), bool)
    acts[:, agents] = members
    key = jax.random.key(seed)
    returns = np.asarray(_play(policy, env, jnp.asarray(acts), key, episodes, greedy))
    worth = returns[..., agents].mean(-1)  # [coalitions, episodes]

    weights, count = shapley_weights(len(agents)), members.sum(1)
    marginal = np.stack([worth[members[:, i]] - worth[~members[:, i]] for i in range(len(agents))])
    others = np.stack([weights[count[~members[:, i]]] for i in range(len(agents))])
    values = worth.mean(1)
    return Contributions(
        agents=tuple(spec.agents[i] for i in agents),
        difference=Share.of(marginal[:, -1]),
        shapley=Share.of((others[..., None] * marginal).sum(1)),
        game=CharacteristicFunction(
            values - values[0], players=[spec.agents[i] for i in agents], title=spec.name
        ),
        at_random=float(values[0]),
        episodes=episodes,
    )


@eqx.filter_jit
def _play(
    policy: Policy,
    env: Env,
    acts: Bool[Array, "P N"],
    key: PRNGKeyArray,
    episodes: int,
    greedy: bool,
) -> Float[Array, "P E N"]:
    """The returns of each coalition."""
    space = env.spec.action
    carry = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (episodes, *x.shape)), policy.initial_carry()
    )

    def of(acts: Bool[Array, "N"]) -> Float[Array, "E N"]:
        def act(_: Any, timestep: TimeStep, carry: Any, key: PRNGKeyArray) -> tuple[Array, Any]:
            key_policy, key_sample, key_random = jax.random.split(key, 3)
            distribution, carry = policy(timestep, carry, key_policy)
            action = distribution.mode() if greedy else distribution.sample(key_sample)
            shape = (episodes, env.spec.num_agents)
            drawn = random_action(space, shape, timestep.action_mask, key_random)
            own = jnp.expand_dims(acts, tuple(range(1, action.ndim - 1)))
            return jnp.where(own, action, drawn), carry

        return jnp.asarray(play(env, act, carry, key, episodes).per_agent)

    return jax.lax.map(of, acts)
