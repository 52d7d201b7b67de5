"""How episodes end: true ends stay, the time limit is the spec's, and no step starts anew."""

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
    mend = "reset returns truncated=False, and terminated False for someone"
    return [error("end", seen, "an episode has a step at least", mend, **play.place(over))]


def check_terminated(play: Play) -> list[Finding]:
    """An agent that has terminated stays so, and no longer acts."""
    timestep, before = play.timestep, play.before[:-1, :, None]
    found = []
    back = timestep.terminated[:-1] & ~timestep.terminated[1:] & before
    if back.any():
        place = play.place(back)
        seen = "terminated is true, and false again a step later"
        mend = "keep in the state who has terminated, and return that"
        found.append(error("end", seen, "true until the episode ends", mend, **place))
    acting = timestep.terminated & timestep.active & play.before[:, :, None]
    if acting.any():
        seen = "the agent has terminated, and is active though the episode goes on"
        mend = "return active=alive & ~terminated"
        place = play.place(acting)
        found.append(error("end", seen, "who has terminated does not act", mend, **place))
    idle = ~timestep.active.any(-1) & play.before
    if idle.any():
        seen = "nobody is active, but the episode goes on"
        mend = "let some agent act, or end the episode"
        found.append(warning("end", seen, "someone is due to act", mend, **play.place(idle)))
    return found


def check_limit(play: Play) -> tuple[list[Finding], bool]:
    """The time limit falls on the horizon; also whether any episode came as far."""
    horizon, steps = play.spec.horizon, play.done.shape[0] - 1
    early = play.timestep.truncated & play.inside
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
    cut = play.timestep.truncated[: horizon + 1].any()
    if horizon == 1 or not reached.any() or cut or not _has_clock(play):
        return []
    seen = f"every episode that comes to step {horizon}, the horizon, terminates there"
    mend = "return truncated, not terminated, if the world could go on; learners value what follows"
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
