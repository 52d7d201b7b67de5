"""Games in extensive form as worlds: players act in turn, each sees its own information set.

An agent that is due to act sees the number of its information set as a one-hot vector, the others
see zeros, may do nothing and are not active; chance moves by itself. Payoffs come at the end. A
policy that was learned in such a world is a policy of the tree: `behaviour` reads it off, and
`shoal.games` says how far from equilibrium it is.
"""

import abc
import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.algorithm import Policy
from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.picture import Picture, Text
from shoal.core.spaces import Discrete
from shoal.envs.game.behaviour import TablePolicy, probabilities
from shoal.envs.game.card_table import Play
from shoal.games.extensive.policy_values import nash_conv
from shoal.games.extensive.tree import CHANCE, ExtensiveForm, check_policy

EXACT = 30_000_000  # numbers in what a policy is shown to read all of it off


class TreeState(eqx.Module):
    """Where in the tree play is: never at a node of chance."""

    node: Int[Array, ""]


class Tables(NamedTuple):
    """A tree as a world reads it; structure is that of `ExtensiveForm`."""

    number: Int[np.ndarray, "K"]
    """The information set at each node, counted among its player's own."""
    count: Int[np.ndarray, "K"]
    """How many moves each node has."""
    first: Int[np.ndarray, "K"]
    """The first child of each node."""
    probs: Float[np.ndarray, "K W"]
    """At a node of chance, the probabilities that its move is among the first."""
    payoffs: Float[np.ndarray, "K N"]
    """What each player gains at a terminal node; 0 elsewhere."""
    own: tuple[Int[np.ndarray, "I_i"], ...]
    """The information sets of each player."""
    turns: int
    """The most decisions on a path."""
    chances: int
    """The most moves of chance in a row."""


class TreeGame(Env):
    """A world made of a game tree. Subclasses say which.

    Observation:
        Who is due to act sees the number of its information set as a one-hot vector, as long as it
        has information sets; the others see zeros.

    Actions:
        One of the moves that the rules allow there, which a mask shows; as many numbers as the
        most moves that the player ever has.

    Reward:
        The payoffs at the end; nothing before it.
    """

    name: eqx.AbstractClassVar[str]

    @property
    @abc.abstractmethod
    def form(self) -> ExtensiveForm:
        """The tree: the same object for equal fields."""

    @property
    def spec(self) -> EnvSpec:
        form, tables = self.form, _tables(self.form)
        most = [int(form.num_actions[own].max(initial=1)) for own in tables.own]
        return EnvSpec(
            name=self.name,
            agents=tuple(player.replace(" ", "_") for player in form.players),
            teams=tuple(range(form.num_players)),
            roles=tuple(range(form.num_players)),
            obs_sizes=tuple(max(1, len(own)) for own in tables.own),
            action=Discrete(tuple(most)),
            state_size=0,
            horizon=max(1, tables.turns),
        )

    def reset(self, key: PRNGKeyArray) -> tuple[TreeState, TimeStep]:
        state = TreeState(self._after_chance(key, jnp.int32(0)))
        return state, self._show(state, jnp.zeros(self.form.num_players))

    def step(
        self, key: PRNGKeyArray, state: TreeState, action: Action
    ) -> tuple[TreeState, TimeStep]:
        tables, actor = _tables(self.form), jnp.asarray(self.form.actor)[state.node]
        move = jnp.clip(action[actor], 0, jnp.asarray(tables.count)[state.node] - 1)
        node = jnp.where(actor >= 0, jnp.asarray(tables.first)[state.node] + move, state.node)
        state = TreeState(self._after_chance(key, node))
        return state, self._show(state, jnp.asarray(tables.payoffs, jnp.float32)[state.node])

    def _after_chance(self, key: PRNGKeyArray, node: Int[Array, ""]) -> Int[Array, ""]:
        """The node after all moves that chance makes there."""
        tables, actor = _tables(self.form), jnp.asarray(self.form.actor)
        draws = jax.random.uniform(key, (tables.chances,))
        for draw in draws:
            move = (draw >= jnp.asarray(tables.probs, jnp.float32)[node]).sum()
            node = jnp.where(actor[node] == CHANCE, jnp.asarray(tables.first)[node] + move, node)
        return node.astype(jnp.int32)

    def _show(self, state: TreeState, reward: Float[Array, "N"]) -> TimeStep:
        form, tables, spec = self.form, _tables(self.form), self.spec
        actor = jnp.asarray(form.actor)[state.node]
        active = actor == jnp.arange(form.num_players)
        seen = jax.nn.one_hot(jnp.asarray(tables.number)[state.node], spec.obs_size)
        legal = jnp.arange(spec.action.size) < jnp.asarray(tables.count)[state.node]
        return TimeStep(
            obs=jnp.where(active[:, None], seen, 0.0),
            reward=reward,
            terminated=jnp.full(form.num_players, actor < 0),
            truncated=jnp.zeros(form.num_players, bool),
            active=active,
            action_mask=jnp.where(active[:, None], legal, jnp.arange(spec.action.size) == 0),
            global_state=None,
            metrics={},
        )

    def behaviour(self, policy: Policy) -> Float[np.ndarray, "I A"]:
        """What a policy of this world does at each information set of the tree.

        Raises:
            UserError: the policy remembers; then it is no function of the information set.
        """
        require(
            policy.initial_carry() is None,
            "a recurrent policy is not a policy of the tree: train one with recurrent 0",
        )
        form, spec, place = self.form, self.spec, self._places()
        shape = (form.num_infosets, form.num_players)
        each = np.arange(form.num_infosets)
        obs, mask = np.zeros((*shape, spec.obs_size)), np.zeros((*shape, spec.action.size), bool)
        obs[each, form.owner, place], mask[..., 0] = 1.0, True
        mask[each, form.owner] = np.arange(spec.action.size) < form.num_actions[:, None]
        found = probabilities(policy, jnp.asarray(obs, jnp.float32), jnp.asarray(mask))
        out = np.asarray(found, np.float64)
        chosen = np.where(form.legal, out[each, form.owner][:, : form.legal.shape[1]], 0.0)
        return chosen / chosen.sum(1, keepdims=True)

    def assess(self, policy: Policy) -> dict[str, float]:
        """`nash_conv`: what the players could gain by best responses, each alone, in sum; 0 at an
        equilibrium. Only of a policy that does not remember, and where the tree is small enough to
        tell in about a second."""
        shown = self.form.num_infosets * self.form.num_players * self.spec.obs_size
        if policy.initial_carry() is not None or shown > EXACT:
            return {}
        return {"nash_conv": float(nash_conv(self.form, self.behaviour(policy)))}

    def as_policy(self, policy: Float[np.ndarray, "I A"]) -> TablePolicy:
        """A policy of the tree, as a solver gives it, as one that acts in this world."""
        form, spec = self.form, self.spec
        table = np.zeros((form.num_players, spec.obs_size, spec.action.size), np.float32)
        width = min(table.shape[2], form.legal.shape[1])
        table[form.owner, self._places(), :width] = check_policy(form, policy)[:, :width]
        return TablePolicy(jnp.asarray(table))

    def _places(self) -> Int[np.ndarray, "I"]:
        """The number of each information set among its player's own."""
        place = np.zeros(self.form.num_infosets, np.int64)
        for sets in _tables(self.form).own:
            place[sets] = np.arange(len(sets))
        return place

    def play(self, state: TreeState) -> Play:
        """The moves from the root to a state, with who made them, and how it stands."""
        form, node, moves = self.form, int(state.node), []
        actor = int(form.actor[node])
        payoffs = _tables(form).payoffs[node].tolist() if actor < 0 else None
        while node > 0:
            up = int(form.parent[node])
            moves.append((int(form.actor[up]), form.moves[node]))
            node = up
        return Play(moves[::-1], actor, payoffs)

    def draw(self, state: TreeState) -> Picture:
        """The moves so far, and the payoffs at the end."""
        form, play = self.form, self.play(state)
        names = {CHANCE: "chance"} | dict(enumerate(form.players))
        said = [f"{names[who]}: {move}" for who, move in play.moves]
        if play.payoffs is not None:
            said.append("payoffs " + ", ".join(f"{x:g}" for x in play.payoffs))
        lines = said or [form.title]
        high = min(0.2, 1.8 / len(lines))
        shapes = [
            Text(0.0, 0.9 - high * (i + 0.5), line, size=0.5 * high) for i, line in enumerate(lines)
        ]
        return Picture(tuple(shapes))


@functools.lru_cache(maxsize=16)
def _tables(form: ExtensiveForm) -> Tables:
    nodes = form.num_nodes
    count = np.bincount(form.parent[1:], minlength=nodes)
    own = tuple(np.flatnonzero(form.owner == i) for i in range(form.num_players))
    place = np.zeros(form.num_infosets + 1, np.int64)  # one more, for nodes without: number -1
    for sets in own:
        place[sets] = np.arange(len(sets))
    payoffs = np.zeros((nodes, form.num_players))
    payoffs[form.terminals] = form.payoffs
    turns, row = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    for lo, hi in zip(form.depths[1:-1], form.depths[2:]):
        up = form.parent[lo:hi]
        by_chance = form.actor[up] == CHANCE
        turns[lo:hi] = turns[up] + ~by_chance
        row[lo:hi] = np.where(by_chance, row[up] + 1, 0)
    return Tables(
        number=place[form.infoset],
        count=count,
        first=form.first_child,
        probs=_probs(form, count),
        payoffs=payoffs,
        own=own,
        turns=int(turns.max()),
        chances=int(row.max()),
    )


def _probs(form: ExtensiveForm, count: Int[np.ndarray, "K"]) -> Float[np.ndarray, "K W"]:
    """For each node of chance the probability of its first moves, of its first two, ...; but the
    last, which takes what rounding leaves over."""
    nodes = np.flatnonzero(form.actor == CHANCE)
    width = int(count[nodes].max(initial=1)) - 1
    probs = np.full((form.num_nodes, width), 2.0)
    for node in nodes:
        first = form.first_child[node]
        sums = np.cumsum(form.chance[first : first + count[node] - 1])
        probs[node, : len(sums)] = sums
    return probs
