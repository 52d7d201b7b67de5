"""How a worker process makes its world: by name or with the user's function, cut at a limit."""

from collections.abc import Callable
from typing import Any

import numpy as np

from shoal.core.errors import require
from shoal.core.names import heading
from shoal.envs.host.env import HostEnv, HostStep

LONGEST = 10_000  # steps of an episode, where neither the world nor the user names a limit
Make = Callable[[], Any]


def build(
    task: str,
    settings: dict[str, Any],
    make: Make | None,
    view: Any,
    limit: int,
    drawn: bool = False,
) -> HostEnv:
    """The game that a name, an address or a function stands for; `limit` cuts its episodes, if it
    is not 0. `drawn` asks for one that can draw itself, which slows some down.

    Raises:
        UserError: there is no such world, a package is missing, or its spaces will not do.
    """
    from shoal.envs.host.constructors import DRAWN
    from shoal.envs.host.names import is_own, make_host_env, make_own

    settings = (DRAWN if drawn else {}) | settings
    if make is not None:
        game = wrap(make(), getattr(make, "__name__", "make_fn"), view)
    elif is_own(task):
        game = wrap(make_own(task, settings), heading(task), view)
    else:
        game = make_host_env(task, settings, view)
    own = game.facts.limit  # the world cuts its episodes itself
    return game if own and not 0 < limit < own else Limited(game, limit or LONGEST)


def wrap(world: Any, name: str, view: Any) -> HostEnv:
    """A world of the user's as a game: of Gymnasium's kind, of PettingZoo's, parallel or not."""
    if hasattr(world, "possible_agents"):
        if hasattr(world, "agent_iter"):
            from shoal.envs.host.aec import AECHostEnv

            return AECHostEnv(lambda: world, view)
        from shoal.envs.host.parallel import ParallelHostEnv

        return ParallelHostEnv(lambda: world, view)
    require(
        hasattr(world, "observation_space") and hasattr(world, "step"),
        f"{name}() gives a {type(world).__name__}, expected a world of Gymnasium's or PettingZoo's",
    )
    from shoal.envs.host.single_agent import GymnasiumHostEnv

    return GymnasiumHostEnv(lambda: world, view)


class Limited(HostEnv):
    """A game whose episodes are cut after `limit` steps, for all who have not terminated."""

    def __init__(self, game: HostEnv, limit: int):
        self.game, self.facts, self.limit, self.time = game, game.facts, limit, 0

    def reset(self, seed: int) -> HostStep:
        self.time = 0
        return self.game.reset(seed)

    def step(self, action: np.ndarray) -> HostStep:
        self.time += 1
        shown = self.game.step(action)
        return shown if self.time < self.limit else shown._replace(truncated=~shown.terminated)

    def render(self) -> np.ndarray:
        return self.game.render()

    def close(self) -> None:
        self.game.close()
