"""What every world of the host looks like: a few arrays of Shoal's shapes, padded over agents.

N agents, D numbers of an observation, A actions (or action dimensions), S numbers of global state.
A `HostEnv` is one such world. It lives in a worker process, so nothing here imports JAX.
"""

import abc
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Image = tuple[int, int, int]  # height, width, channels
Bounds = float | tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class HostSpec:
    """What is known of a game before it runs.

    An agent's observation is its images, flattened one after the other and scaled to [0, 1], then
    the rest of its numbers; padded to the largest of `obs_sizes`. Agents that see no images have
    zeros there. `low` and `high` bound the numbers of a box action: all of them alike, or a row for
    each agent.
    """

    agents: tuple[str, ...]
    roles: tuple[int, ...]  # agents of one role have the same spaces
    obs_sizes: tuple[int, ...]
    images: tuple[Image, ...]
    discrete: bool
    action_sizes: tuple[int, ...]
    low: Bounds
    high: Bounds
    state_size: int  # 0: the world has no global state
    masked: bool  # whether `HostStep.action_mask` says more than which actions exist
    teams: tuple[int, ...]  # agents of one team share an interest
    limit: int  # the longest episode in steps, 0 where that is not known


class HostStep(NamedTuple):
    """What a game shows after a reset or a step, or many games with a leading axis; all fields mean
    what `TimeStep`'s do. Arrays hold until the game is called again, which may write over them.

    An agent has ended exactly while it is not in the game: it has died or was cut, or it has not
    appeared yet, which counts as terminated. One that appears later, or comes back, has not ended
    from then on. So a game is done when nobody is left in it.
    """

    obs: np.ndarray  # float32 [N, D]
    reward: np.ndarray  # float32 [N]
    terminated: np.ndarray  # bool [N]
    truncated: np.ndarray  # bool [N]
    active: np.ndarray  # bool [N]
    action_mask: np.ndarray | None  # bool [N, A]
    global_state: np.ndarray | None  # float32 [S]

    @property
    def ended(self) -> np.ndarray:
        """Whose part of the episode is over."""
        return self.terminated | self.truncated

    @property
    def done(self) -> Any:
        """Whether the episode ended with this step: everyone has terminated or was cut."""
        return self.ended.all(-1)


class HostEnv(abc.ABC):
    """One world of the host."""

    facts: HostSpec

    @abc.abstractmethod
    def reset(self, seed: int) -> HostStep:
        """Starts an episode; the same one for the same seed."""

    @abc.abstractmethod
    def step(self, action: np.ndarray) -> HostStep:
        """Advances one step. `action` is int32 `[N]` or float32 `[N, A]`, clipped to the box here.
        Never resets."""

    @abc.abstractmethod
    def render(self) -> np.ndarray:
        """The picture of now, uint8 `[H, W, 3]`."""

    def close(self) -> None:  # noqa: B027  most worlds hold nothing
        """Frees what the world holds."""
