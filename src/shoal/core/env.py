"""Environments: pure, unbatched, and pytrees. `jax.vmap` makes a batch of them.

N agents, A actions (or action dimensions), S numbers of global state.
"""

import abc
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.limits import check_fields
from shoal.core.picture import Picture
from shoal.core.spaces import ActionSpace

EnvState = Any
Action = Array


class EnvSpec(eqx.Module):
    """What is known of an environment before it runs. Everything here is static.

    Agents of one *team* share an interest; agents of one *role* see and do the same kind of
    thing, so that they can share parameters. Where none are given, all are of one. Observations
    are padded to `obs_size` with zeros; they begin with `images`, (height, width, channels) each,
    flattened.
    `metrics` names each metric of a step and how an episode reduces it: `sum`, `mean`, `last` or
    `max`. Where neither the world nor its settings say how long an episode may last, it is
    `endless`, and cut at `horizon` all the same.
    """

    name: str = eqx.field(static=True)
    agents: tuple[str, ...] = eqx.field(static=True)
    obs_sizes: tuple[int, ...] = eqx.field(static=True)
    action: ActionSpace
    horizon: int = eqx.field(static=True)
    teams: tuple[int, ...] = eqx.field(static=True, kw_only=True, default=())
    roles: tuple[int, ...] = eqx.field(static=True, kw_only=True, default=())
    state_size: int = eqx.field(static=True, kw_only=True, default=0)
    metrics: tuple[tuple[str, str], ...] = eqx.field(static=True, kw_only=True, default=())
    images: tuple[tuple[int, int, int], ...] = eqx.field(static=True, kw_only=True, default=())
    endless: bool = eqx.field(static=True, kw_only=True, default=False)

    def __post_init__(self):
        self.teams = self.teams or (0,) * len(self.agents)
        self.roles = self.roles or (0,) * len(self.agents)

    @property
    def num_agents(self) -> int:
        return len(self.agents)

    @property
    def obs_size(self) -> int:
        return max(self.obs_sizes)


class TimeStep(eqx.Module):
    """What an environment shows after a reset or a step, for each of N agents.

    `terminated[i]` says that agent `i`'s own future is worth nothing from here: do not bootstrap.
    `truncated[i]` says that it was cut, by a time limit or because it was taken out: bootstrap from
    its own last observation. Both stay true until the episode ends, which is when each agent has
    one of them. An agent that never appeared counts as terminated.

    `active[i]` says that agent `i` is alive and due to act: what it does otherwise changes nothing
    and weighs nothing in a loss. An agent that leaves while its team plays on for a reward that it
    shares is inactive, not terminated.
    """

    obs: Float[Array, "*B N D"]
    reward: Float[Array, "*B N"]
    terminated: Bool[Array, "*B N"]
    truncated: Bool[Array, "*B N"]
    active: Bool[Array, "*B N"]
    action_mask: Bool[Array, "*B N A"] | None
    global_state: Float[Array, "*B S"] | None
    metrics: dict[str, Float[Array, "*B"]]

    @staticmethod
    def of(
        obs: Float[Array, "*B N D"],
        *,
        reward: Any = 0.0,
        terminated: Any = False,
        truncated: Any = False,
        active: Any = True,
        action_mask: Bool[Array, "*B N A"] | None = None,
        global_state: Float[Array, "*B S"] | None = None,
        metrics: dict[str, Any] | None = None,
    ) -> "TimeStep":
        """A time step of which only what differs from the defaults is given. One number or truth
        value means every agent; who has terminated is not active."""

        def for_everyone(x: Any, dtype: Any) -> Array:
            return jnp.broadcast_to(jnp.asarray(x, dtype), obs.shape[:-1])

        gone = for_everyone(terminated, bool)
        return TimeStep(
            obs=obs,
            reward=for_everyone(reward, jnp.float32),
            terminated=gone,
            truncated=for_everyone(truncated, bool),
            active=for_everyone(active, bool) & ~gone,
            action_mask=action_mask,
            global_state=global_state,
            metrics={name: jnp.asarray(x, jnp.float32) for name, x in (metrics or {}).items()},
        )

    @property
    def ended(self) -> Bool[Array, "*B N"]:
        """Whose part of the episode is over."""
        return self.terminated | self.truncated

    @property
    def done(self) -> Bool[Array, "*B"]:
        """Whether the episode ended with this step: everyone has terminated or was cut."""
        return self.ended.all(-1)


def cut_now(before: TimeStep, after: TimeStep) -> Bool[Array, "*B N"]:
    """Who was cut by the step from `before` to `after`: its last observation is valued."""
    return after.truncated & ~before.truncated & ~after.terminated


def paid(before: Any, after: Any) -> Any:
    """The rewards of the step from `before` to `after`, arrays of JAX or of NumPy: nothing for who
    had terminated or was cut before it."""
    where = after.reward.__array_namespace__().where
    return where(before.ended, 0.0, after.reward)


def settle(before: TimeStep, after: TimeStep) -> TimeStep:
    """The successor `after` by the rules that hold in every loop, whoever collects or evaluates.

    Who had terminated or was cut before this step is paid nothing. Who is not due to act sees
    zeros, except where the step cut it: that observation is what it is valued from.
    """
    reward = paid(before, after)
    seen = (after.active | cut_now(before, after))[..., None]
    obs = jnp.where(seen, after.obs, 0.0)
    return eqx.tree_at(lambda t: (t.obs, t.reward), after, (obs, reward))


def to_act_on(timestep: TimeStep) -> TimeStep:
    """The time step as policies see it: zeros for who is not due to act, also behind a NaN; and
    nobody is due whose part is over. Without metrics, so that what nothing but a metric needs is
    not computed in training."""
    active = timestep.active & ~timestep.ended
    obs = jnp.where(active[..., None], timestep.obs, 0.0)
    return eqx.tree_at(lambda t: (t.obs, t.active, t.metrics), timestep, (obs, active, {}))


class Places(eqx.Module):
    """Where the agents of one state are, and which of G goals each of them serves there."""

    agents: Float[Array, "*B N 2"]
    """In world units, as in pictures."""
    serves: Bool[Array, "*B N G"] | None = None
    """`None` where there are no goals."""
    goals: Float[Array, "*B G 2"] | None = None
    """Where the goals are, if each is in one place."""
    names: tuple[str, ...] = eqx.field(static=True, default=())
    """Of the goals."""
    counts: Literal["last", "mean"] = eqx.field(static=True, default="last")
    """How an episode reduces `serves`: what holds at its end, or the share of its steps."""


class Env(eqx.Module):
    """An environment. Numbers are leaves (so that a task distribution is a leading axis);
    structure, such as the number of agents, is static."""

    def __check_init__(self):
        check_fields(self)

    @property
    @abc.abstractmethod
    def spec(self) -> EnvSpec: ...

    @abc.abstractmethod
    def reset(self, key: PRNGKeyArray) -> tuple[EnvState, TimeStep]:
        """Starts an episode."""

    @abc.abstractmethod
    def step(self, key: PRNGKeyArray, state: EnvState, action: Action) -> tuple[EnvState, TimeStep]:
        """Advances one step. `action` is Int `[N]`, Float `[N, A]` or Int `[N, F]`. Never
        resets."""

    def scripted(self, state: EnvState) -> Action | None:
        """What a hand-written controller that sees the whole state would do: a known score to put
        beside learned ones. `None` where a world has no such controller."""
        return None

    def assess(self, policy: Any) -> dict[str, float]:
        """Exact measures of a policy by name, such as how far it is from an equilibrium: the lower
        the better, and `best` goes by the first. None unless an environment has some."""
        return {}

    def locate(self, state: EnvState) -> Places | None:
        """Where agents are and which goals they serve, for `shoal.heat_maps`. `None` where agents
        have no places."""
        return None

    def draw(self, state: EnvState) -> Picture:
        """What one (unbatched, concrete) state looks like; nothing unless a world overrides it."""
        return Picture()
