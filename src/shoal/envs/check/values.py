"""The numbers of an episode: finite, padded with zeros, legal, and nobody's who does not act."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shoal.core.env import Env
from shoal.core.spaces import ActionSpace, Box, legal_actions
from shoal.envs.check.finding import Finding, error, warning
from shoal.envs.check.play import Play, as_numbers, equal_bits

SAMPLES = 4  # steps that are made one by one
CLOSE = 1e-4  # by which a batch may differ, relative to the largest number


def check_finite(play: Play) -> list[Finding]:
    """No NaN and no infinity while an episode lasts."""
    timestep = play.timestep
    fields = {"obs": timestep.obs, "reward": timestep.reward, "global_state": timestep.global_state}
    fields |= {f"metrics[{name!r}]": value for name, value in timestep.metrics.items()}
    found = []
    for name, values in fields.items():
        if values is None:
            continue
        by_agent = name in ("obs", "reward")
        bad = ~np.isfinite(values)
        bad = bad.reshape(*bad.shape[: 3 if by_agent else 2], -1).any(-1)
        bad &= play.inside[:, :, None] if by_agent else play.inside
        if bad.any():
            worst = values[tuple(np.argwhere(bad)[0])]
            shown = np.asarray(worst)[~np.isfinite(worst)].flat[0]
            seen = f"{name} is {shown} with {play.manner(bad)}"
            mend = (
                "look for a division by zero, sqrt or log of a number that is 0 or less, norms of "
                "zero vectors; jax.config.update('jax_debug_nans', True) stops where it arises"
            )
            found.append(error("numbers", seen, "finite numbers", mend, **play.place(bad)))
    return found


def check_padding(play: Play) -> list[Finding]:
    """Zeros beyond what an agent sees."""
    width = play.spec.obs_size
    beyond = np.arange(width) >= np.asarray(play.spec.obs_sizes)[:, None]
    bad = ((play.timestep.obs != 0) & beyond).any(-1) & play.inside[:, :, None]
    if not bad.any():
        return []
    size = play.spec.obs_sizes[int(np.argwhere(bad)[0][2])]
    seen = f"obs is not zero beyond the agent's {size} numbers"
    mend = "pad with jnp.pad(obs_i, (0, width - size)); or spec.obs_sizes is too small"
    return [error("numbers", seen, "padding is zero", mend, **play.place(bad))]


def check_masks(play: Play) -> list[Finding]:
    """Something legal for everyone at all times, and nothing that does not exist."""
    mask, space = play.timestep.action_mask, play.spec.action
    if mask is None or isinstance(space, Box):
        return []
    found = []
    legal = np.asarray(legal_actions(space, mask, mask.shape[:-1]))
    able = space.split(legal).any(-1).reshape(*mask.shape[:-1], -1)  # in each factor
    none = ~able.all(-1) & play.inside[:, :, None]
    if none.any():
        seen = "no option of a factor is legal" if space.shape else "no action is legal"
        mend = (
            "let one action be legal always, such as to do nothing; who is not active needs one "
            "too, which then changes nothing"
        )
        expected = "one legal action at least, for every agent, always"
        found.append(error("masks", seen, expected, mend, **play.place(none)))
    beyond = (mask & ~space.mask).any(-1) & play.inside[:, :, None]
    if beyond.any():
        has = space.describe(int(np.argwhere(beyond)[0][2]))
        seen = f"actions beyond the agent's {has} are legal"
        mend = "return mask & jnp.asarray(self.spec.action.mask)"
        found.append(error("masks", seen, "padding is never legal", mend, **play.place(beyond)))
    return found


def check_reward(play: Play) -> list[Finding]:
    """Whether there is anything to learn: nobody's reward moves, or somebody's is stuck at a
    number other than 0."""
    rewards = play.timestep.reward[1:][play.inside[1:]]  # [steps, N]
    if len(rewards) < 2:
        return []
    stuck = np.ptp(rewards, axis=0) == 0
    wrong = stuck if stuck.all() else stuck & (rewards[0] != 0)
    if not wrong.any():
        return []
    i = int(np.argmax(wrong))
    seen = f"every reward of {len(rewards)} steps is {rewards[0, i]:g}"
    mend = "check what reward is computed from; with few steps it may be rare"
    agent = play.spec.agents[i]
    return [warning("reward", seen, "rewards that differ", mend, agent=agent)]


def check_batch(env: Env, play: Play) -> list[Finding]:
    """A batch is its members, one by one: resets, and steps from the middle of episodes."""
    b = min(SAMPLES, len(play.seeds))
    keys = jax.vmap(jax.random.key)(jnp.asarray(play.seeds[:b], jnp.uint32))
    when = np.minimum(play.last[:b] // 2, len(play.actions) - 1)
    states = jax.tree.map(lambda leaf: leaf[when, np.arange(b)], play.states)
    actions = jnp.asarray(play.actions[when, np.arange(b)])
    calls = {"reset": (env.reset, (keys,)), "step": (env.step, (keys, states, actions))}
    found = []
    for name, (call, arguments) in calls.items():
        batch = jax.jit(jax.vmap(lambda *a: call(*a)))(*arguments)  # noqa: B023
        one = jax.jit(lambda *a: call(*a))  # noqa: B023
        singles = [one(*jax.tree.map(lambda x: x[i], arguments)) for i in range(b)]  # noqa: B023
        looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *singles)
        for (path, x), y in zip(jax.tree.leaves_with_path(batch), jax.tree.leaves(looped)):
            if not _close(as_numbers(x), as_numbers(y)):
                where = jax.tree_util.keystr(path)
                seen = f"{name} of a batch differs from {name} of each, in {where}"
                mend = "write for one world, without a batch axis, and without callbacks"
                found.append(error("batch", seen, "jax.vmap changes nothing", mend))
                break
    return found


def _close(x: Any, y: Any) -> bool:
    """Equal, up to rounding."""
    x, y = np.asarray(x), np.asarray(y)
    if not np.issubdtype(x.dtype, np.floating):
        return bool((x == y).all())
    scale = max(1.0, float(np.max(np.abs(y[np.isfinite(y)]), initial=0.0)))
    return bool(np.allclose(x, y, rtol=CLOSE, atol=CLOSE * scale, equal_nan=True))


def check_inactive(env: Env, play: Play) -> list[Finding]:
    """What agents do who are not active changes nothing."""
    active = play.timestep.active[: len(play.actions)]
    before = play.before[: len(play.actions)]
    where = np.argwhere(~active.all(-1) & before)
    if not len(where):
        return []
    where = where[np.linspace(0, len(where) - 1, min(64, len(where))).astype(int)]
    t, b = where[:, 0], where[:, 1]
    states = jax.tree.map(lambda leaf: leaf[t, b], play.states)
    actions, idle = play.actions[t, b], ~active[t, b]
    keys = jax.vmap(jax.random.key)(jnp.arange(len(t)))
    step = jax.jit(jax.vmap(lambda k, s, a: env.step(k, s, a)))
    for other in _others(play.spec.action, actions):
        mixed = np.where(idle.reshape(*idle.shape, *[1] * (actions.ndim - 2)), other, actions)
        results = [step(keys, states, jnp.asarray(a)) for a in (actions, mixed)]
        first, second = (jax.device_get(jax.tree.map(as_numbers, r)) for r in results)
        for (path, x), y in zip(jax.tree.leaves_with_path(first), jax.tree.leaves(second)):
            bad = [i for i in range(len(t)) if not equal_bits(x[i], y[i])]
            if bad:
                agent = play.spec.agents[int(np.argmax(idle[bad[0]]))]
                part = ("the state", "the timestep")[path[0].idx] + jax.tree_util.keystr(path[1:])
                seen = f"not active, but another action of the agent changes {part}"
                mend = "write action = jnp.where(active, action, 0) at the start of step"
                place = {"step": int(t[bad[0]]), "seed": int(play.seeds[b[bad[0]]])}
                expected = "who is not active changes nothing"
                return [error("inactive", seen, expected, mend, agent=agent, **place)]
    return []


def _others(space: ActionSpace, actions: np.ndarray) -> list[np.ndarray]:
    """Other actions than those that were taken."""
    if isinstance(space, Box):
        return [np.broadcast_to(ends, actions.shape) for ends in (space.lows, space.highs)]
    return [(actions + by) % space.counts for by in (1, space.counts - 1)]
