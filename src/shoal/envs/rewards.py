r"""Environments with other rewards, which say more of what is good or of what each agent did.

    shaped        r_i + gamma Phi_i(s') - Phi_i(s),             Phi = 0 behind a true end
    difference    G_i(s, a) - G_i(s, (a_-i, c)),                G_i the mean reward of i's team

A potential guides a learner: every return is shifted by Phi of the state that it begins in,
whatever is done (Ng, Harada and Russell 1999, ICML). A difference reward leaves out what the team
would have been paid had the agent done c instead: what raises the agent's reward of a step raises
its team's by as much, with less noise from others (Wolpert and Tumer 2001). That holds of one step:
what later steps owe to this one is not in it, and in games of several steps something else may then
be best.
"""

import abc
import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, Places, TimeStep
from shoal.core.errors import require
from shoal.core.limits import Fraction
from shoal.core.picture import Picture
from shoal.core.spaces import Discrete
from shoal.math.shaping import shaped_reward

PAID = "paid"  # the metric that keeps what the environment itself pays


class Rewarded(Env):
    """Another environment with other rewards. What it pays itself, averaged over agents, is the
    metric `paid`, which an episode sums."""

    env: Env

    @abc.abstractmethod
    def reward(
        self, key: PRNGKeyArray, state: Any, action: Action, after: Any, timestep: TimeStep
    ) -> Float[Array, "N"]:
        """What a step pays, of the states before and after it."""

    @property
    def spec(self) -> EnvSpec:
        spec, kind = self.env.spec, type(self).__name__
        metrics = dict(spec.metrics) | {PAID: "sum"}
        name = f"{spec.name}, {kind}"  # another than that by which the inner one is made
        return dataclasses.replace(spec, name=name, metrics=tuple(metrics.items()))

    def reset(self, key: PRNGKeyArray) -> tuple[Any, TimeStep]:
        state, timestep = self.env.reset(key)
        return state, self._show(timestep, timestep.reward)

    def step(self, key: PRNGKeyArray, state: Any, action: Action) -> tuple[Any, TimeStep]:
        after, timestep = self.env.step(key, state, action)
        return after, self._show(timestep, self.reward(key, state, action, after, timestep))

    def _show(self, timestep: TimeStep, reward: Float[Array, "N"]) -> TimeStep:
        metrics = {PAID: timestep.reward.mean()} | timestep.metrics  # of the innermost
        return dataclasses.replace(timestep, reward=reward, metrics=metrics)

    def scripted(self, state: Any) -> Action | None:
        return self.env.scripted(state)

    def locate(self, state: Any) -> Places | None:
        return self.env.locate(state)

    def draw(self, state: Any) -> Picture:
        return self.env.draw(state)


class Shaped(Rewarded):
    """Potential-based shaping; a subclass says what states are worth."""

    discount: Fraction = 0.99
    """The learner's discount: with another one what is best may change."""

    @abc.abstractmethod
    def potential(self, state: Any) -> Float[Array, ""] | Float[Array, "N"]:
        """How good a state is, for all or for each agent."""

    def reward(
        self, key: PRNGKeyArray, state: Any, action: Action, after: Any, timestep: TimeStep
    ) -> Float[Array, "N"]:
        shape = timestep.reward.shape
        before, then = (jnp.broadcast_to(self.potential(s), shape) for s in (state, after))
        discount = self.discount * (1.0 - timestep.terminated)
        return shaped_reward(timestep.reward, discount, before, then)


class DifferenceRewards(Rewarded):
    """Each agent is paid the difference that its action made to its team in this step. A step costs
    one more of the environment for each agent."""

    default: tuple[int | float, ...] | int | float = eqx.field(static=True, default=0)
    """The action that the agent's own is compared with: the number of a choice, or a point."""

    def __post_init__(self):
        space, one = self.env.spec.action, np.asarray(self.default)
        require(
            bool(np.all(one == one.astype(int)) and np.all((one >= 0) & (one < min(space.sizes))))
            if isinstance(space, Discrete)
            else one.ndim == 0 or one.shape == space.shape,
            f"default is {self.default}, expected an action of {self.env.spec.name}, {space}",
        )

    def reward(
        self, key: PRNGKeyArray, state: Any, action: Action, after: Any, timestep: TimeStep
    ) -> Float[Array, "N"]:
        teams = np.array(self.env.spec.teams)
        own = teams[:, None] == teams
        share = jnp.asarray(own / own.sum(1, keepdims=True), jnp.float32)

        def without(i: Array) -> Float[Array, ""]:
            instead = action.at[i].set(jnp.asarray(self.default, action.dtype))
            return share[i] @ self.env.step(key, state, instead)[1].reward

        return share @ timestep.reward - jax.vmap(without)(jnp.arange(len(teams)))
