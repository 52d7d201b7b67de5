"""What a policy is worth: full episodes on environments of their own."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray

from shoal.core.algorithm import Policy
from shoal.core.distributions import action_distribution
from shoal.core.env import Env, EnvState, TimeStep, settle, to_act_on
from shoal.core.errors import require
from shoal.core.spaces import ActionSpace, Box

BATCH = 1000  # environments that are stepped together


class Returns(eqx.Module):
    """E episodes, perhaps of K members; on a device or not. A return is undiscounted and summed
    over steps."""

    per_agent: Float[Array | np.ndarray, "*K E N"]
    metrics: dict[str, Float[Array | np.ndarray, "*K E"]]

    @property
    def mean(self) -> Float[Array | np.ndarray, "*K E"]:
        """The return of each episode, averaged over agents."""
        return self.per_agent.mean(-1)


def play(env: Env, act: Any, carry: Any, key: PRNGKeyArray, episodes: int) -> Returns:
    """Plays `episodes` episodes side by side with `act(env_state, timestep, carry, key)`, which
    returns (action, carry). What happens after an episode's end is not counted."""
    reductions = dict(env.spec.metrics)

    def watch(seen: Any, step: Step) -> Any:
        returns, metrics, length = seen
        returns = returns + jnp.where(step.alive[:, None], step.after.reward, 0.0)
        metrics = {
            k: _reduce(reductions[k], metrics[k], step.after.metrics[k], step.alive)
            for k in metrics
        }
        return returns, metrics, length + step.alive

    zero = {k: jnp.full(episodes, -jnp.inf if r == "max" else 0.0) for k, r in reductions.items()}
    nothing = jnp.zeros((episodes, env.spec.num_agents)), zero, jnp.zeros(episodes, jnp.int32)
    returns, metrics, length = watch_play(env, act, carry, key, episodes, watch, nothing)
    metrics = {k: v / length if reductions[k] == "mean" else v for k, v in metrics.items()}
    return Returns(returns, metrics)


class Step(NamedTuple):
    """A step of E episodes that are played side by side."""

    before: TimeStep
    """What was acted on."""
    state: EnvState
    """After the step."""
    after: TimeStep
    alive: Bool[Array, "E"]
    """Which episodes had not ended before it: what happens in others is not counted."""


def watch_play(
    env: Env, act: Any, carry: Any, key: PRNGKeyArray, episodes: int, watch: Any, seen: Any
) -> Any:
    """Plays as `play` does, and folds the steps as they are made: `seen = watch(seen, step)`, so
    that nothing grows with the length of an episode."""
    key_reset, key_steps = jax.random.split(key)
    state, timestep = jax.vmap(env.reset)(jax.random.split(key_reset, episodes))

    def step(loop, key):
        state, timestep, carry, alive, seen = loop
        key_act, key_step = jax.random.split(key)
        before = to_act_on(timestep)
        action, carry = act(state, before, carry, key_act)
        keys = jax.random.split(key_step, episodes)
        state, after = jax.vmap(env.step)(keys, state, action)
        after = settle(timestep, after)
        seen = watch(seen, Step(before, state, after, alive))
        return (state, after, carry, alive & ~after.done, seen), None

    start = (state, timestep, carry, jnp.ones(episodes, bool), seen)
    return jax.lax.scan(step, start, jax.random.split(key_steps, env.spec.horizon))[0][4]


def _reduce(how: str, old: Array, new: Array, alive: Array) -> Array:
    """One more step of an episode's metric."""
    if how in ("sum", "mean"):
        return old + jnp.where(alive, new, 0.0)
    if how == "max":
        return jnp.where(alive, jnp.maximum(old, new), old)
    return jnp.where(alive, new, old)


def evaluate_policy(
    policy: Policy, env: Env, key: PRNGKeyArray, episodes: int, greedy: bool = True
) -> Returns:
    """Plays with a policy: its likeliest actions if `greedy`, else samples. Traceable."""
    return play(env, *acting(policy, episodes, greedy), key, episodes)


def acting(policy: Policy, episodes: int, greedy: bool) -> tuple[Any, Any]:
    """A policy as the `act` of `play`, and its carry for so many episodes."""
    carry = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (episodes, *x.shape)), policy.initial_carry()
    )

    def act(_: Any, timestep: TimeStep, carry: Any, key: PRNGKeyArray) -> tuple[Array, Any]:
        key_policy, key_sample = jax.random.split(key)
        distribution, carry = policy(timestep, carry, key_policy)
        return (distribution.mode() if greedy else distribution.sample(key_sample)), carry

    return act, carry


def has_script(env: Env) -> bool:
    """Whether the environment has a hand-written controller."""
    state, _ = jax.eval_shape(env.reset, jax.random.key(0))
    return jax.eval_shape(env.scripted, state) is not None


def evaluate_scripted(env: Env, key: PRNGKeyArray, episodes: int) -> Returns:
    """Plays with the environment's hand-written controller."""
    require(has_script(env), f"{env.spec.name} has no scripted controller")

    def act(state: Any, timestep: TimeStep, carry: Any, key: PRNGKeyArray) -> tuple[Any, Any]:
        return jax.vmap(env.scripted)(state), carry

    return play(env, act, None, key, episodes)


def evaluate_random(env: Env, key: PRNGKeyArray, episodes: int) -> Returns:
    """Plays uniformly random legal actions."""
    spec = env.spec

    def act(state: Any, timestep: TimeStep, carry: Any, key: PRNGKeyArray) -> tuple[Array, Any]:
        shape = (episodes, spec.num_agents)
        return random_action(spec.action, shape, timestep.action_mask, key), carry

    return play(env, act, None, key, episodes)


def random_action(
    space: ActionSpace,
    shape: tuple[int, int],
    action_mask: Bool[Array, "B N A"] | None,
    key: PRNGKeyArray,
) -> Array:
    """Uniformly random legal actions of `shape` = (B, N)."""
    rows = (*shape, space.size)
    if isinstance(space, Box):
        return jax.random.uniform(key, rows, minval=space.lows, maxval=space.highs)
    return action_distribution(space, jnp.zeros(rows), action_mask).sample(key)


class DeviceStage:
    """Plays the episodes of evaluations in a compiled program, all members on the same starts."""

    def __init__(self, env: Env, episodes: int, members: int):
        self.env, self.episodes, self.members = env, episodes, members
        self._compiled = eqx.filter_jit(self._play)

    def play(self, policies: Policy, key: Key[Array, ""]) -> tuple[Returns, Returns]:
        """Greedy and sampled, `[K, E]`, of policies whose arrays have a leading axis K."""
        return jax.device_get(self._compiled(policies, *jax.random.split(key)))

    def _play(self, policies: Policy, greedy: Any, sampled: Any) -> tuple[Returns, Returns]:
        arrays, structure = eqx.partition(policies, eqx.is_array)

        def one(member: Any) -> tuple[Returns, Returns]:
            policy, n = eqx.combine(member[0], structure), self.episodes
            return (
                evaluate_policy(policy, self.env, greedy, n, greedy=True),
                evaluate_policy(policy, self.env, sampled, n, greedy=False),
            )

        return jax.lax.map(one, (arrays, jnp.arange(self.members)))


def apart(policies: Policy, count: int) -> list[Policy]:
    """The policies of the members, of one whose arrays have a leading axis K."""
    arrays, structure = eqx.partition(policies, eqx.is_array)
    return [eqx.combine(jax.tree.map(lambda x, k=k: x[k], arrays), structure) for k in range(count)]
