"""What the compiled suites of others have in common: how their worlds are made, shown and cut.

A suite's adapter says what its world shows (`SuiteStep`); here its episodes are counted, a time
limit is told from a true end, and boxes get their bounds. Nothing is reset: the learner does it.
"""

import abc
import contextlib
import functools
import importlib
import inspect
import io
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.errors import UserError, in_a_line, not_installed, require, unknown
from shoal.core.limits import Natural
from shoal.core.spaces import Box
from shoal.envs.settings import not_taken

HORIZON = 1000
"""Steps of an episode in worlds that name no time limit of their own."""


class SuiteStep(NamedTuple):
    """What a suite's world shows after a reset or a step, in Shoal's shapes."""

    obs: Float[Array, "N D"]
    reward: Float[Array, "N"]
    ended: Bool[Array, "N"]
    """Whose own future is worth nothing, with this step or before."""
    over: Bool[Array, ""]
    """Whether the suite calls the episode over, for whatever reason."""
    fallen: Bool[Array, "N"] | None = None
    """Who has left, with this step or before, while its team may play on for a reward that it
    shares; nobody, if not given."""
    action_mask: Bool[Array, "N A"] | None = None
    global_state: Float[Array, "S"] | None = None
    metrics: dict[str, Float[Array, ""]] | None = None


class SuiteState(eqx.Module):
    """The world's own state, and what an episode needs beside it."""

    inner: Any
    time: Int[Array, ""] | None
    """Steps of the episode so far; `None` where the world counts them itself."""


class SuiteWorld(Env):
    """A world of another library's, found by its name there."""

    task: str = eqx.field(static=True)
    """Its name in the suite."""
    settings: str = eqx.field(static=True, default="{}")
    """What it is made with, as JSON."""
    horizon: Natural = eqx.field(static=True, default=0)
    """Steps of an episode; 0 for the world's own time limit."""

    @property
    @abc.abstractmethod
    def world(self) -> Any:
        """The world itself; the same object for equal fields."""

    @property
    @abc.abstractmethod
    def own_limit(self) -> int:
        """Steps after which the world itself ends its episodes; 0 where it has no time limit."""

    @property
    @abc.abstractmethod
    def limit_setting(self) -> str:
        """The setting that is the world's own time limit."""

    @abc.abstractmethod
    def describe(self) -> EnvSpec:
        """The spec, which is asked for once.

        Raises:
            UserError: there is no such world, or what it shows will not do.
        """

    @abc.abstractmethod
    def begin(self, key: PRNGKeyArray) -> tuple[Any, SuiteStep]:
        """Starts an episode."""

    @abc.abstractmethod
    def advance(
        self, key: PRNGKeyArray, inner: Any, action: Action, late: Bool[Array, ""]
    ) -> tuple[Any, SuiteStep]:
        """Makes one step. `late` says that the world's own time limit falls on it."""

    def clock(self, inner: Any) -> Any:
        """The world's own count of the episode's steps, or `None` if it keeps none."""
        del inner
        return None

    @property
    def limit(self) -> int:
        """Steps of an episode."""
        own = self.own_limit
        require(
            not own or self.horizon <= own,
            f"horizon is {self.horizon}, but {self.task} ends its episodes after {own} steps: "
            f"expected at most {own}, or another {self.limit_setting}",
        )
        return self.horizon or own or HORIZON

    @property
    def endless(self) -> bool:
        """Whether neither the world nor its settings say how long an episode may last."""
        return not (self.horizon or self.own_limit)

    @property
    def spec(self) -> EnvSpec:
        return _spec(self)

    def reset(self, key: PRNGKeyArray) -> tuple[SuiteState, TimeStep]:
        inner, seen = self.begin(key)
        inner = jax.tree.map(jnp.asarray, inner)  # some begin with a count that is a plain 0
        time = jnp.int32(0) if self.clock(inner) is None else None
        return SuiteState(inner, time), self._show(seen, jnp.array(False))

    def step(
        self, key: PRNGKeyArray, state: SuiteState, action: Action
    ) -> tuple[SuiteState, TimeStep]:
        before = self.clock(state.inner) if state.time is None else state.time
        time, own = before + 1, self.own_limit
        late = time >= own if own else jnp.array(False)
        inner, seen = self.advance(key, state.inner, action, late)
        inner = jax.tree.map(_as_before, state.inner, inner)
        late = seen.over | (time >= self.limit)
        return SuiteState(inner, None if state.time is None else time), self._show(seen, late)

    def _show(self, seen: SuiteStep, late: Bool[Array, ""]) -> TimeStep:
        """The time step. Who has fallen is no longer active; it has terminated only when all of its
        team have. At a time limit all are cut who have not terminated."""
        gone, terminated = seen.ended, seen.ended
        if seen.fallen is not None:
            teams = np.asarray(self.spec.teams)
            gone = seen.ended | seen.fallen
            plays_on = (teams[:, None] == teams) & ~gone
            terminated = seen.ended | ~plays_on.any(-1)
        return TimeStep(
            obs=seen.obs,
            reward=seen.reward,
            terminated=terminated,
            truncated=late & ~terminated,
            active=~gone,
            action_mask=seen.action_mask,
            global_state=seen.global_state,
            metrics=seen.metrics or {},
        )


@functools.lru_cache(maxsize=64)
def _spec(env: SuiteWorld) -> EnvSpec:
    with jax.ensure_compile_time_eval():  # also where it is first asked for inside of a program
        return env.describe()


def _as_before(old: Any, new: Any) -> Any:
    """Some worlds change a number's type with the first step, which no scan would take."""
    kind = jnp.asarray(old).dtype
    return new if jnp.asarray(new).dtype == kind else jnp.asarray(new).astype(kind)


class Bounds(NamedTuple):
    """The least and the most of each dimension of each agent's action; agents may differ."""

    low: tuple[np.ndarray, ...]
    high: tuple[np.ndarray, ...]

    @staticmethod
    def of(task: str, spaces: Iterable[tuple[Any, Any, tuple[int, ...]]]) -> "Bounds":
        """Of each agent's (low, high, shape); `UserError` where there is no bound."""
        low, high = [], []
        for least, most, shape in spaces:
            size = int(np.prod(shape))
            for out, end in ((low, least), (high, most)):
                out.append(np.broadcast_to(np.ravel(np.asarray(end, np.float32)), size))
        bounded = bool(np.isfinite(np.concatenate(low + high)).all())
        require(bounded, f"{task} has actions without bounds, expected a bounded box")
        return Bounds(tuple(low), tuple(high))

    @property
    def box(self) -> Box:
        """The action space of all agents."""
        low, high = (tuple(tuple(row.tolist()) for row in rows) for rows in self)
        return Box(low, high, tuple(map(len, low)))

    def own(self, i: int, action: Float[Array, "A"]) -> Float[Array, "a"]:
        """Agent `i`'s action without padding; what is outside of the box is clipped."""
        low, high = self.low[i], self.high[i]
        return jnp.clip(action[: len(low)], low, high)


def flat(values: Any) -> Float[Array, "D"]:
    """All numbers of a tree in a row."""
    return jnp.concatenate([jnp.ravel(x).astype(jnp.float32) for x in jax.tree.leaves(values)])


def size_of(values: Any) -> int:
    """How many numbers a tree has."""
    return sum(int(np.prod(np.shape(x))) for x in jax.tree.leaves(values))


def padded(rows: list[Float[Array, "_"]], size: int) -> Float[Array, "N D"]:
    """Rows of several lengths as one array, with zeros behind."""
    return jnp.stack([jnp.pad(row, (0, size - len(row))) for row in rows])


def import_suite(module: str, name: str, extra: str) -> Any:
    """A suite's module; what its import prints goes nowhere.

    Raises:
        UserError: it is not installed, or cannot be imported.
    """
    try:
        # The second puts standard error back, which some imports replace.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(sys.stderr):
            return importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module.split(".")[0]:
            raise not_installed(name, extra) from error
        raise UserError(f"{name} cannot be imported: {in_a_line(error)}") from error


def build(
    task: str, make: Callable[..., Any], given: dict[str, Any], known: Callable[[], Iterable[str]]
) -> Any:
    """`make(**given)`, whose complaints become one line.

    Args:
        task: what is made, for the line.
        make: makes it.
        given: its settings.
        known: the names of all settings; asked for only where one is unknown.

    Raises:
        UserError: a setting that does not exist, or a value that will not do.
    """
    try:
        with jax.ensure_compile_time_eval():  # worlds hold arrays, which no trace may keep
            return make(**given)
    except UserError:
        raise
    except Exception as error:  # a constructor of others may raise anything
        odd = not_taken(error)
        if odd in given:
            raise unknown(f"setting of {task}", odd, known()) from error
        raise UserError(f"{task} cannot be made: {in_a_line(error)}") from error


def parameters_of(*kinds: type) -> list[str]:
    """The names that constructors take, those of base classes included."""
    names: dict[str, None] = {}
    for kind in (base for k in kinds for base in k.__mro__ if "__init__" in vars(base)):
        with contextlib.suppress(ValueError):  # one that is written in C
            found = list(inspect.signature(kind.__init__).parameters.values())[1:]
            names |= {
                p.name: None for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
            }
    return list(names)
