"""How episodes end: who has ended stays so, the time limit is the spec's, no step starts anew."""

from typing import Any

import jax
import numpy as np

from shoal.envs.check.finding import Finding, error, warning
from shoal.envs.check.play import Play

COUNT = (
    "count the steps in the state: start at 0, add 1 in step, and then say "
    "truncated=time >= horizon"
)


def check_start(play: Play) -> list[Finding]:
    """A reset starts something."""
    over = play.done[:1]
    if not over.any():
        return []
    seen = "the episode is over before its first step"
    mend = "reset returns truncated False for all, and terminated False for someone"
    return [error("end", seen, "an episode has a step at least", mend, **play.place(over))]


def check_ended(play: Play) -> list[Finding]:
    """An agent that has terminated or was cut stays so, does not act, and is paid nothing."""
    timestep, going_on = play.timestep, play.before[:, :, None]
    found = []
    for name in ("terminated", "truncated"):
        flag = getattr(timestep, name)
        back = flag[:-1] & ~flag[1:] & going_on[:-1]
        if back.any():
            seen = f"{name} is true, and false again a step later"
            mend = (
                f"keep in the state who has {'terminated' if name == 'terminated' else 'been cut'}"
            )
            expected = "true until the episode ends"
            found.append(
                error("end", seen, expected, f"{mend}, and return that", **play.place(back))
            )
    gone = (timestep.terminated | timestep.truncated) & going_on
    acting = gone & timestep.active
    if acting.any():
        how = "has terminated" if (acting & timestep.terminated).any() else "was cut"
        seen = f"the agent {how}, and is active though the episode goes on"
        mend = "return active=alive & ~(terminated | truncated)"
        place = play.place(acting)
        found.append(error("end", seen, "who has ended does not act", mend, **place))
    paid = np.zeros_like(gone)
    paid[1:] = gone[:-1] & (timestep.reward[1:] != 0)
    if paid.any():
        reward = float(timestep.reward[tuple(np.argwhere(paid)[0])])
        seen = f"the agent had ended, and is paid {reward:g}, which nobody learns from"
        mend = (
            "pay 0; or, if what its team earns later is its own, let it be inactive, and terminate "
            "with its team"
        )
        expected = "who has ended is paid nothing"
        found.append(warning("end", seen, expected, mend, **play.place(paid)))
    idle = ~timestep.active.any(-1) & play.before
    if idle.any():
        seen = "nobody is active, but the episode goes on"
        mend = "let some agent act, or end the episode"
        found.append(warning("end", seen, "someone is due to act", mend, **play.place(idle)))
    return found


def check_limit(play: Play) -> tuple[list[Finding], bool]:
    """The time limit falls on the horizon; also whether any episode came as far. Agents may be cut
    one by one before; what counts is a cut that ends the episode."""
    horizon, steps = play.spec.horizon, play.done.shape[0] - 1
    early = _cut_with(play) & play.done & play.inside
    early[horizon:] = False
    early[0] = False
    if early.any():
        return [_early(play, early)], True
    if horizon > steps:
        return [], False
    late = play.last > horizon
    if late.any():
        return [_late(play, late)], True
    return _mistaken_limit(play), bool((play.last == horizon).any())


def _cut_with(play: Play) -> np.ndarray:
    """Bool `[T + 1, B]`: whether some agent was cut with this very step."""
    cut = play.timestep.truncated & ~play.timestep.terminated
    new = cut.copy()
    new[1:] &= ~cut[:-1]
    return new.any(-1)


def _early(play: Play, early: np.ndarray) -> Finding:
    horizon, place = play.spec.horizon, play.place(early)
    steps = np.argwhere(early)[:, 0]
    expected = f"truncated at step {horizon}, the spec's horizon"
    if (steps == horizon - 1).all():
        seen = f"off by one: truncated one step early, at step {horizon - 1}"
        return error("limit", seen, expected, COUNT, **place)
    if len(set(steps.tolist())) == 1:
        seen = f"truncated at step {steps[0]}, but spec.horizon is {horizon}"
        return error("limit", seen, expected, f"make the two agree; {COUNT}", **place)
    seen = f"truncated before the horizon, at steps {steps.min()} to {steps.max()}"
    mend = "an end that the world itself makes is terminated; truncated is the time limit's"
    return warning("limit", seen, expected, mend, **place)


def _late(play: Play, late: np.ndarray) -> Finding:
    horizon = play.spec.horizon
    place = {"step": horizon, "seed": int(play.seeds[np.argmax(late)])}
    expected = f"over at step {horizon}, the spec's horizon, whatever happens"
    if (play.last[late] == horizon + 1).all():
        seen = f"off by one: the episode ends one step late, at step {horizon + 1}"
        mend = f"{COUNT}, with the time after the step, not before it"
        return error("limit", seen, expected, mend, **place)
    seen = f"the episode goes on after step {horizon}"
    return error("limit", seen, expected, COUNT, **place)


def _mistaken_limit(play: Play) -> list[Finding]:
    """A clock that terminates: either a game of fixed length, or a bug."""
    horizon = play.spec.horizon
    reached = play.last == horizon
    cut = _cut_with(play)[: horizon + 1].any()
    if horizon == 1 or not reached.any() or cut or not _has_clock(play):
        return []
    seen = f"every episode that comes to step {horizon}, the horizon, terminates there"
    mend = "return truncated, not terminated, if it could go on; learners value what follows"
    return [warning("limit", seen, "a time limit truncates", mend, step=horizon)]


def _has_clock(play: Play) -> bool:
    """Whether some number of the state counts the steps, up or down."""
    steps = np.arange(play.spec.horizon + 1)[:, None]
    for leaf in jax.tree.leaves(play.raw):
        if leaf.ndim == 2 and np.issubdtype(leaf.dtype, np.number):
            passed = leaf[: len(steps)].astype(float) - leaf[:1]
            if (passed == steps).all() or (passed == -steps).all():
                return True
    return False


def check_no_reset(play: Play) -> list[Finding]:
    """Whether the state with which an episode ends is a fresh one.

    What all resets have in common (a clock at 0, nobody gone) is compared: where it had moved a
    step before the end, and all of it is back at the end, the step has reset.
    """
    episodes = np.flatnonzero((play.last >= 2) & (play.last < play.done.shape[0]))
    if not len(episodes):
        return []
    end, moved_any, back = play.last[episodes], np.zeros(len(episodes), bool), []
    for leaf in jax.tree.leaves(play.raw):
        flat = leaf.reshape(*leaf.shape[:2], -1)
        common = (flat[0] == flat[0, :1]).all(0)
        start = flat[0, 0, common]
        moved = flat[end - 1, episodes][:, common] != start
        moved_any |= moved.any(1)
        back.append(((flat[end, episodes][:, common] == start) | ~moved).all(1))
    if not (moved_any & np.all(back, 0)).all():
        return []
    seen = "the state with which the episode ends is that of a fresh reset"
    mend = "return what truly followed: the learner resets, and values the last state"
    place: dict[str, Any] = {"step": int(end[0]), "seed": int(play.seeds[episodes[0]])}
    return [error("end", seen, "a step never resets by itself", mend, **place)]
