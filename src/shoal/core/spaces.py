"""Action spaces, padded over agents: arrays have one size, `sizes` says what each agent has."""

import equinox as eqx
import numpy as np


class Discrete(eqx.Module):
    """Actions `0 .. sizes[i] - 1` for agent `i`; arrays are padded to `size`."""

    sizes: tuple[int, ...] = eqx.field(static=True)

    @property
    def size(self) -> int:
        """The largest number of actions of any agent, the `A` of every padded array."""
        return max(self.sizes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one agent's action."""
        return ()

    @property
    def mask(self) -> np.ndarray:
        """Bool `[N, A]`: which actions exist for which agent."""
        return np.arange(self.size) < np.asarray(self.sizes)[:, None]


class Box(eqx.Module):
    """Real vectors in `[low, high]` with `sizes[i]` dimensions for agent `i`; padded to `size`."""

    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)
    sizes: tuple[int, ...] = eqx.field(static=True)

    @property
    def size(self) -> int:
        """The largest number of dimensions of any agent's action."""
        return max(self.sizes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one agent's action."""
        return (self.size,)

    @property
    def mask(self) -> np.ndarray:
        """Bool `[N, A]`: which dimensions exist for which agent."""
        return np.arange(self.size) < np.asarray(self.sizes)[:, None]


ActionSpace = Discrete | Box
