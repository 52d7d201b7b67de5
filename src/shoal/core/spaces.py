"""Action spaces of N agents, padded to one shape; `sizes` says what each agent really has.

Every space has

    shape   of one agent's action, of type `dtype`: a number, F numbers or A numbers
    size    A, the width of one agent's row of a network's output and of `TimeStep.action_mask`
    mask    Bool `[N, size]`: which entries of such a row exist for which agent
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shoal.core.errors import require

Bounds = float | tuple[tuple[float, ...], ...]


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
    def dtype(self) -> type:
        """The type of an action."""
        return np.int32

    @property
    def counts(self) -> np.ndarray:
        """Int `[N]`: how many actions each agent has."""
        return np.asarray(self.sizes)

    @property
    def mask(self) -> np.ndarray:
        """Bool `[N, A]`: which actions exist for which agent."""
        return np.arange(self.size) < self.counts[:, None]

    def split(self, rows: Any) -> Any:
        """Rows `[..., A]` as they are: an action is one choice."""
        return rows

    def numbers(self, action: Array) -> Float[Array, "*B N A"]:
        """Actions as networks read them, one-hot; relaxed rows of floats stay as they are."""
        numbered = jnp.issubdtype(action.dtype, jnp.integer)
        return jax.nn.one_hot(action, self.size) if numbered else action

    def part(self, agents: tuple[int, ...]) -> "Discrete":
        """The space of these agents alone, padded no further than they need."""
        return Discrete(tuple(self.sizes[i] for i in agents))

    def describe(self, i: int) -> str:
        """What agent `i` may do, such as `5`: one of five actions."""
        return str(self.sizes[i])


class Factored(eqx.Module):
    """One choice in each of several factors, such as a move and a message, or side, level and size.

    Factor `f` of agent `i` has the options `0 .. sizes[i][f] - 1`. An action is int32 `[F]`, padded
    to the most factors of any agent: a factor that an agent lacks has the one option 0. Rows of
    outputs and of masks are factor after factor, each padded to the most options: `[F * A]`.
    """

    sizes: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    @property
    def num_factors(self) -> int:
        """F, the most factors of any agent."""
        return max(map(len, self.sizes))

    @property
    def num_options(self) -> int:
        """A, the most options of any factor."""
        return max(map(max, self.sizes))

    @property
    def size(self) -> int:
        """F * A, the width of an agent's row of outputs or of a mask."""
        return self.num_factors * self.num_options

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one agent's action."""
        return (self.num_factors,)

    @property
    def dtype(self) -> type:
        """The type of an action."""
        return np.int32

    @property
    def counts(self) -> np.ndarray:
        """Int `[N, F]`: how many options each factor has; 1 where an agent lacks it."""
        rows = [(*row, *[1] * (self.num_factors - len(row))) for row in self.sizes]
        return np.asarray(rows)

    @property
    def mask(self) -> np.ndarray:
        """Bool `[N, F * A]`: which options exist for which agent."""
        options = np.arange(self.num_options) < self.counts[..., None]
        return options.reshape(len(self.sizes), self.size)

    @property
    def idle(self) -> np.ndarray:
        """Bool `[N, F * A]`: the one option of each factor that an agent lacks."""
        lacks = np.arange(self.num_factors) >= np.asarray([[len(row)] for row in self.sizes])
        return self.mask & np.repeat(lacks, self.num_options, axis=1)

    def split(self, rows: Any) -> Any:
        """Rows `[..., F * A]` of outputs or of a mask as `[..., F, A]`."""
        return rows.reshape(*rows.shape[:-1], self.num_factors, self.num_options)

    def numbers(self, action: Int[Array, "*B N F"]) -> Float[Array, "*B N FA"]:
        """Actions as networks read them: each factor's option, one-hot."""
        return jax.nn.one_hot(action, self.num_options).reshape(*action.shape[:-1], self.size)

    def part(self, agents: tuple[int, ...]) -> "Factored":
        """The space of these agents alone, padded no further than they need."""
        return Factored(tuple(self.sizes[i] for i in agents))

    def describe(self, i: int) -> str:
        """What agent `i` may do, such as `3 x 2`: one of three options, and one of two."""
        return " x ".join(map(str, self.sizes[i]))


def _as_bounds(bounds: Any) -> Bounds:
    """Bounds as plain floats: one where they are all alike, else a tuple for each agent."""
    if isinstance(bounds, int | float | np.number):
        return float(bounds)
    rows = tuple(tuple(float(x) for x in row) for row in bounds)
    values = {x for row in rows for x in row}
    return values.pop() if len(values) == 1 else rows


class Box(eqx.Module):
    """Real vectors with `sizes[i]` dimensions for agent `i`, padded to `size`.

    `low` and `high` are one number for all dimensions, or a row of numbers for each agent:

        Box(-1.0, 1.0, (2, 2))
        Box(((0.0, -3.0), (0.0,)), ((1.0, 3.0), (10.0,)), (2, 1))

    Rows of equal numbers become that number. Raises `UserError` where a bound is missing or not
    finite, or where `low` is not below `high`.
    """

    low: Bounds = eqx.field(static=True, converter=_as_bounds)
    high: Bounds = eqx.field(static=True, converter=_as_bounds)
    sizes: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self):
        for name, bound in (("low", self.low), ("high", self.high)):
            lengths = self.sizes if isinstance(bound, float | int) else tuple(map(len, bound))
            require(
                lengths == self.sizes,
                f"{name} of the Box has rows of {lengths} numbers, expected {self.sizes}: one "
                "number for each dimension of each agent",
            )
        pair = isinstance(self.low, float | int) and isinstance(self.high, float | int)
        with np.errstate(over="ignore"):  # what float32 cannot hold is not finite
            low, high = self.lows, self.highs
        wrong = self.mask & ~(np.isfinite(low) & np.isfinite(high) & (low < high))
        if wrong.any():
            i, k = (int(x) for x in np.argwhere(wrong)[0])
            where = "the Box" if pair else f"dimension {k} of agent {i} in the Box"
            least, most = (
                b if isinstance(b, float | int) else b[i][k] for b in (self.low, self.high)
            )
            require(
                False,
                f"{where} goes from {least:.9g} to {most:.9g}, expected two finite numbers, the "
                "lower first",
            )

    @property
    def size(self) -> int:
        """The largest number of dimensions of any agent's action."""
        return max(self.sizes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one agent's action."""
        return (self.size,)

    @property
    def dtype(self) -> type:
        """The type of an action."""
        return np.float32

    @property
    def mask(self) -> np.ndarray:
        """Bool `[N, A]`: which dimensions exist for which agent."""
        return np.arange(self.size) < np.asarray(self.sizes)[:, None]

    @property
    def lows(self) -> np.ndarray:
        """Float `[N, A]`: the lower bound of each dimension; -1 in padding."""
        return self._padded(self.low, -1.0).astype(np.float32)

    @property
    def highs(self) -> np.ndarray:
        """Float `[N, A]`: the upper bound of each dimension; 1 in padding."""
        return self._padded(self.high, 1.0).astype(np.float32)

    @property
    def center(self) -> np.ndarray:
        """Float `[N, A]`: the middle of each dimension; 0 in padding."""
        ends = self._padded(self.low, -1.0), self._padded(self.high, 1.0)
        return (ends[0] / 2 + ends[1] / 2).astype(np.float32)

    @property
    def half_width(self) -> np.ndarray:
        """Float `[N, A]`: from the middle of each dimension to a bound; 1 in padding."""
        ends = self._padded(self.low, -1.0), self._padded(self.high, 1.0)
        return (ends[1] / 2 - ends[0] / 2).astype(np.float32)

    def _padded(self, bound: Bounds, padding: float) -> np.ndarray:
        out = np.where(self.mask, bound if isinstance(bound, float | int) else padding, padding)
        if not isinstance(bound, float | int):
            out[self.mask] = np.concatenate(bound)
        return out

    def from_unit(self, x: Float[Array, "*B N A"]) -> Float[Array, "*B N A"]:
        """Scales [-1, 1] to the box: `center + half_width * x`. Nothing is clipped."""
        return jnp.asarray(self.center) + self.half_width * x

    def to_unit(self, action: Float[Array, "*B N A"]) -> Float[Array, "*B N A"]:
        """Scales actions to [-1, 1], the inverse of `from_unit`."""
        return (action - self.center) / self.half_width

    def numbers(self, action: Float[Array, "*B N A"]) -> Float[Array, "*B N A"]:
        """Actions as networks read them: in half widths of the box, and 0 in padding."""
        return jnp.where(self.mask, self.to_unit(action), 0.0)

    def clip(self, action: Float[Array, "*B N A"]) -> Float[Array, "*B N A"]:
        """Moves what lies outside of the box to its nearest bound."""
        return jnp.clip(action, self.lows, self.highs)

    def part(self, agents: tuple[int, ...]) -> "Box":
        """The space of these agents alone, padded no further than they need."""
        low, high = (
            b if isinstance(b, float | int) else tuple(b[i] for i in agents)
            for b in (self.low, self.high)
        )
        return Box(low, high, tuple(self.sizes[i] for i in agents))

    def describe(self, i: int) -> str:
        """What agent `i` may do, such as `2 in [-1, 1]` or `2 in [0, 1] x [-3, 3]`."""
        own = self.part((i,))
        rows = zip(own.lows[0].tolist(), own.highs[0].tolist())
        spans = [f"[{low:g}, {high:g}]" for low, high in rows]
        return f"{self.sizes[i]} in {' x '.join(spans if len(set(spans)) > 1 else spans[:1])}"


ActionSpace = Discrete | Box | Factored


def legal_actions(
    space: ActionSpace,
    action_mask: Bool[Array | np.ndarray, "*B N A"] | None,
    shape: tuple[Any, ...],
) -> Bool[Array, "*B N A"]:
    """Which actions, or options of factors, exist for each agent and are allowed now.

    Args:
        space: the actions.
        action_mask: `TimeStep.action_mask`; `None` allows all that exist.
        shape: `(*B, N)`, that of a reward.
    """
    if action_mask is None:
        return jnp.broadcast_to(space.mask, (*shape, space.size))
    if space.mask.all():
        return jnp.asarray(action_mask)
    legal = jnp.asarray(action_mask) & space.mask
    return legal | space.idle if isinstance(space, Factored) else legal
