"""B worlds of the host in W processes, stepped together.

Algorithms want a batch, and such worlds are slow one by one: each process steps a block of them,
and one round trip steps all, as in Gymnasium's AsyncVectorEnv (Towers et al., 2024,
arXiv:2407.17032) and EnvPool (Weng et al., 2022, arXiv:2206.10558).
"""

import itertools
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NoReturn

import numpy as np

from shoal.core import awake
from shoal.core.errors import Failure, UserError, in_a_line, optional, require, unknown
from shoal.core.terminal import say
from shoal.envs.host import shared
from shoal.envs.host.env import HostEnv, HostSpec, HostStep
from shoal.envs.host.inline import Inline
from shoal.envs.host.process import STARTING, Lost, Process, stop
from shoal.envs.host.shared import Job, Memory, Rows

REPLACEMENTS = 10  # of processes, in a vector's life


class WorldFailed(Failure):
    """A world of the host cannot be made, or failed and is not replaced; says how in one line."""


def _print(line: str) -> None:
    say(f"shoal: {line}")


class HostVector:
    """B games in W processes, stepped together.

        with HostVector(make, facts, num_envs=8) as worlds:
            shown = worlds.reset(np.arange(8))
            successor, shown = worlds.step(action)

    `make` makes one game and goes to the processes by cloudpickle, so that it may be a closure.
    Where a process does not answer within `deadline` seconds, dies, raises, or shows what `facts`
    do not allow, it is replaced and `report` is told in a line; for the learner the episodes of its
    environments end there, truncated after what was shown last. `in_process` steps them here: for
    worlds that cost less than a message, and neither hang nor end their process.

    What `reset` and `step` return are read-only views into one of two buffers: they hold until the
    call after the next. JAX copies them, since they are not aligned as it wants them.

    Raises `WorldFailed` where a game cannot be made or first reset, where it returns what no
    interface has, after 10 replacements, and at the first failure where `on_failure` is `stop`;
    everything is closed then.
    """

    def __init__(
        self,
        make: Callable[[], HostEnv],
        facts: HostSpec,
        num_envs: int,
        *,
        workers: int = 0,
        in_process: bool = False,
        deadline: float = 60.0,
        on_failure: Literal["replace", "stop"] = "replace",
        report: Callable[[str], None] = _print,
    ):
        require(os.name == "posix", "worlds of the host need Linux or macOS")
        require(num_envs >= 1, f"num_envs is {num_envs}, expected at least 1")
        require(workers >= 0, f"workers is {workers}, expected 0 or more")
        require(deadline > 0, f"deadline is {deadline}, expected a positive number")
        if on_failure not in ("replace", "stop"):
            raise unknown("on_failure", on_failure, ("replace", "stop"))
        self.facts, self.num_envs = facts, num_envs
        # Unpickled in this process, it would change the classes that it refers to.
        self._make = make if in_process else pickled(make)
        self._deadline = deadline
        self._replaces, self._report, self._replaced = on_failure == "replace", report, 0
        self._file = shared.anonymous_file()
        self._memory = Memory(self._file, facts, num_envs)
        self._successor = [_read_only(rows) for rows in self._memory.successor]
        self._next = [_read_only(rows) for rows in self._memory.next]
        self._slot, self._last = 0, self._next[0]
        self._processes: list[Process | Inline] = []
        self._in_process = in_process
        self._finalizer = weakref.finalize(self, stop, self._processes, self._file)
        self._start(1 if in_process else min(workers or _cores(), num_envs))

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes; each has a contiguous block of environments."""
        return tuple(process.pid for process in self._processes)

    def reset(self, seeds: np.ndarray) -> HostStep:
        """Starts all episodes anew. `seeds` is int `[B]`; later episodes draw theirs from these."""
        self._check("seeds", seeds, (self.num_envs,))
        require(seeds.dtype.kind in "iu", f"seeds has type {seeds.dtype}, expected integers")
        require(bool((seeds >= 0).all()), f"seeds has {seeds.min()}, expected 0 or more")
        self._memory.seeds[...] = seeds
        slot = self._slot = 1 - self._slot
        _, failed = self._exchange(shared.RESET, self._processes)
        if failed:
            self._replace(failed)
        for process in self._processes:
            process.shown = True
        self._last = self._next[slot]
        return self._last

    def step(self, action: np.ndarray) -> tuple[HostStep, HostStep]:
        """Steps all environments. `action` is int32 `[B, N]` or float32 `[B, N, A]`.

        Returns the successor, which is what truly followed, and what to act on next: the same, but
        for environments whose episode ended, which were reset at once.
        """
        self._check("action", action, self._memory.action.shape)
        require(self._processes[0].shown, "reset comes before the first step")
        slot = self._slot = 1 - self._slot
        self._memory.action[...] = action
        ended, failed = self._exchange(shared.STEP, self._processes)
        if failed:
            self._replace(failed)
            for w in failed:
                self._cut(self._processes[w].block)
        successor = self._successor[slot]
        self._last = successor
        if any(ended) or failed:
            for w, process in enumerate(self._processes):
                if not ended[w] and w not in failed:
                    _copy(self._memory.successor[slot], self._memory.next[slot], process.block)
            self._last = self._next[slot]
        return successor, self._last

    def close(self) -> None:
        """Closes the games and ends the processes. A second time does nothing."""
        self._finalizer()

    def __enter__(self) -> "HostVector":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
        require(array.shape == shape, f"{name} has shape {array.shape}, expected {shape}")
        require(self._finalizer.alive, "the worlds are closed")

    def _start(self, workers: int) -> None:
        """Starts all processes and waits until their games are made."""
        bounds = [self.num_envs * w // workers for w in range(workers + 1)]
        try:
            for first, last in itertools.pairwise(bounds):
                self._processes.append(self._process(first, last))
        except OSError:
            self.close()
            raise
        _, failed = self._hear(self._processes, max(self._deadline, STARTING))
        if failed:
            self._fail(failed, next(iter(failed.values())))

    def _process(self, first: int, last: int) -> Process | Inline:
        job = Job(self.facts, self.num_envs, first, last, self._make)
        if self._in_process:
            return Inline(job, self._memory)
        return Process(job, self._memory, self._file)

    def _exchange(
        self, ask: int, processes: Sequence[Process | Inline]
    ) -> tuple[list[bool], dict[int, str]]:
        """Asks processes for something that goes to the present slot; answers as of `_hear`."""
        message = bytes((ask | self._slot,))
        for process in processes:
            process.ask(message)
        return self._hear(processes, self._deadline)

    def _hear(
        self, processes: Sequence[Process | Inline], deadline: float
    ) -> tuple[list[bool], dict[int, str]]:
        """For each process, whether an episode ended; and what failed, by index in `processes`."""
        ended, failed, since = [], {}, awake.now()
        try:
            for w, process in enumerate(processes):
                try:
                    kind = process.hear(deadline, since)
                except Lost as lost:
                    kind, failed[w] = shared.RUNNING, str(lost)
                    if lost.for_good:
                        self._fail(failed, str(lost))
                ended.append(kind == shared.ENDED)
        except BaseException:  # an interrupt: what was not heard would answer the next question
            self.close()
            raise
        return ended, failed

    def _replace(self, failed: dict[int, str]) -> None:
        """Puts new processes in the place of those that failed, and starts their episodes."""
        lines = []
        for w, line in failed.items():
            if not self._replaces or not self._processes[w].shown:
                self._fail(failed, line)
            if self._replaced == REPLACEMENTS:
                self._fail(failed, f"{line}; not replaced, {REPLACEMENTS} were before")
            self._replaced += 1
            lines.append(f"{line}; replaced ({self._replaced} of {REPLACEMENTS})")
        for w in failed:
            self._processes[w].kill()
            block = self._processes[w].block
            given = self._memory.seeds[block]
            given[:] = [_fresh_seed(seed, self._replaced) for seed in given.tolist()]
            self._processes[w] = self._process(block.start, block.stop)
        started = [self._processes[w] for w in failed]
        _, again = self._hear(started, max(self._deadline, STARTING))
        if not again:
            _, again = self._exchange(shared.RESET, started)
        for i, line in again.items():
            self._fail(failed, f"{[*failed.values()][i]}; its replacement: {line}")
        for process, line in zip(started, lines):
            process.shown = True
            self._report(line)

    def _cut(self, block: slice) -> None:
        """Ends the episodes of a block after what was shown last, for all who have not terminated:
        nothing but its process stopped them."""
        successor = self._memory.successor[self._slot]
        _copy(self._last, successor, block)
        successor.reward[block] = 0
        successor.truncated[block] = ~successor.terminated[block]

    def _fail(self, failed: Iterable[int], line: str) -> NoReturn:
        for w in failed:
            self._processes[w].kill()
        self.close()
        raise WorldFailed(line)


def pickled(make: Callable[[], HostEnv]) -> bytes:
    """What makes a game, on its way to another process."""
    cloudpickle = optional("cloudpickle", "cloudpickle", "gymnasium")
    try:
        return cloudpickle.dumps(make)
    except Exception as error:
        told = in_a_line(error, whole=True)
        raise UserError(f"the world cannot be sent to its worker processes: {told}") from error


def _fresh_seed(given: int, replaced: int) -> int:
    """A seed in place of `given`, unlike those of its later episodes."""
    drawn = np.random.SeedSequence([given], spawn_key=(replaced,)).generate_state(1)[0]
    return int(drawn) & shared.SEEDS


def _copy(source: Iterable[Any], target: Rows, block: slice) -> None:
    for values, rows in zip(source, target):
        if rows is not None:
            rows[block] = values[block]


def _read_only(rows: Rows) -> HostStep:
    def view(array: np.ndarray) -> np.ndarray:
        array = array.view()
        array.flags.writeable = False
        return array

    views: list[Any] = [*rows.each(view)]
    return HostStep(*views)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
