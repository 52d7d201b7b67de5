"""What a world shows of itself: pictures, and a scripted controller where it has one."""

import math
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from shoal.core.env import Env
from shoal.core.picture import Picture, Shape
from shoal.core.spaces import Box, legal_actions
from shoal.envs.check.finding import Finding, error, raised, warning
from shoal.envs.check.play import Play
from shoal.envs.check.spec import array_kind

SHAPES = get_args(Shape)


def check_draw(env: Env, play: Play) -> list[Finding]:
    """Pictures of the start, the middle and the end of an episode."""
    end = min(int(play.last[0]), play.done.shape[0] - 1)
    for step in sorted({0, end // 2, end}):
        place = {"step": step, "seed": int(play.seeds[0])}
        state = jax.tree.map(lambda leaf: leaf[step, 0], play.states)  # noqa: B023
        try:
            picture = env.draw(state)
        except Exception as problem:
            mend = (
                "mend that line; draw is given one state, and float(...) makes plain numbers of it"
            )
            return [error("draw", f"draw raises {raised(problem)}", "a Picture", mend, **place)]
        if defect := _defect(picture):
            mend = "convert what is drawn with float(...), and keep it finite"
            return [error("draw", defect, "finite shapes in a view", mend, **place)]
        if not picture.shapes:
            mend = "write draw(self, state) -> Picture, so that replays show the world"
            return [warning("draw", "draw shows nothing", "a picture with shapes", mend)]
    return []


def _defect(picture: Any) -> str:
    """What is wrong with a picture; nothing where all is well."""
    if not isinstance(picture, Picture):
        return f"draw returns a {type(picture).__name__}"
    if not all(_finite(x) for x in picture.view):
        return f"the view is {picture.view}"
    left, bottom, right, top = picture.view
    if left >= right or bottom >= top:
        return f"the view {picture.view} is empty: left, bottom, right, top"
    for shape in picture.shapes:
        if not isinstance(shape, SHAPES):
            return f"a shape is a {type(shape).__name__}"
        for name, value in shape._asdict().items():
            if name in ("color", "label", "text", "source"):
                good = isinstance(value, str)
            else:
                good = _corners(value) if name == "points" else _finite(value)
            if not good:
                return f"{name} of a {type(shape).__name__} is {value!r}"
    return ""


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _corners(points: Any) -> bool:
    """Whether they are at least three pairs of finite numbers."""
    try:
        return len(points) > 2 and all(_finite(x) and _finite(y) for x, y in points)
    except (TypeError, ValueError):
        return False


def check_scripted(env: Env, play: Play) -> list[Finding] | None:
    """Whether the controller's actions are legal; `None` where there is no controller."""
    state = jax.tree.map(lambda leaf: leaf[0, 0], play.states)
    expected = "actions like a policy's, and legal ones"
    try:
        shown = jax.eval_shape(lambda s: env.scripted(s), state)
        if shown is None:
            return None
        scripted = jax.jit(jax.vmap(jax.vmap(lambda s: env.scripted(s))))
        actions = np.asarray(scripted(play.states))
    except Exception as problem:
        seen = f"scripted raises {raised(problem)}"
        return [error("scripted", seen, expected, "it is compiled like step: use jax.numpy")]
    space, n = play.spec.action, play.spec.num_agents
    shape, kind = (n, *space.shape), jnp.floating if isinstance(space, Box) else jnp.integer
    if shown.shape != shape or not jnp.issubdtype(shown.dtype, kind):
        wanted = f"{np.dtype(space.dtype)}[{', '.join(map(str, shape))}]"
        return [error("scripted", f"it gives {array_kind(shown)}", wanted, "convert it")]
    bad = _illegal(play, actions) & play.before[:, :, None] & play.timestep.active
    if not bad.any():
        return []
    chosen = actions[tuple(np.argwhere(bad)[0])]
    seen = f"it chooses {chosen}, which is not legal"
    mend = "choose among legal actions, inside the action space"
    return [error("scripted", seen, expected, mend, **play.place(bad))]


def _illegal(play: Play, actions: np.ndarray) -> np.ndarray:
    """Bool `[T + 1, B, N]`."""
    space = play.spec.action
    if isinstance(space, Box):
        outside = ~((actions >= space.lows) & (actions <= space.highs))
        return np.asarray((outside & space.mask).any(-1))
    shape = play.timestep.reward.shape
    legal = space.split(np.asarray(legal_actions(space, play.timestep.action_mask, shape)))
    exists = (actions >= 0) & (actions < space.counts)
    chosen = np.where(exists, actions, 0)[..., None]
    bad = ~exists | ~np.take_along_axis(legal, chosen, -1)[..., 0]
    return bad.reshape(*shape, -1).any(-1)
