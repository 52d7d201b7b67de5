"""A worker process: it makes some of a vector's games and steps them when it is asked to.

Before each call of a game it writes into shared memory what it is at, so that its parent can name
the environment where the process is killed or hangs. It never imports JAX, and ends when its parent
does. All that it unpickles is the game to make, from the parent that started it, over a channel
that no one else holds.
"""

import contextlib
import itertools
import math
import os
import pickle
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shoal.core import child
from shoal.core.errors import UserError, in_a_line
from shoal.envs.host import shared
from shoal.envs.host.env import HostEnv, HostStep
from shoal.envs.host.order import in_order_of
from shoal.envs.host.shared import Job, Memory, Rows, Status
from shoal.envs.host.spaces import NO_IMAGE

_NAMES = {
    "obs": "observation",
    "reward": "reward",
    "action_mask": "action mask",
    "global_state": "global state",
}


class Broken(Exception):
    """A game shows what its facts do not allow."""


class Worker:
    """The games of one process. `slot` says which of two buffers an answer is written to."""

    def __init__(self, job: Job, memory: Memory):
        self._facts, self._first = job.facts, job.first
        block = slice(job.first, job.last)
        self._status = memoryview(memory.status[job.first])
        self._seeds, self._action = memory.seeds[block], memory.action[block]
        self._successor = [rows.each(lambda array: array[block]) for rows in memory.successor]
        self._next = [rows.each(lambda array: array[block]) for rows in memory.next]
        self._fields = [
            (HostStep._fields.index(name), shape, np.dtype(dtype))
            for name, (dtype, shape) in shared.fields(job.facts).items()
        ]
        self._games: list[HostEnv] = []
        self._given = [0] * (job.last - job.first)  # the seed an environment was reset with
        self._episode = self._given.copy()
        self._seed = self._given.copy()  # of the episode
        self._step = self._given.copy()
        # What fitted last, an array a field; games that write over theirs show the same ones again.
        self._fitting: list[list[Any]] = [[None] * len(self._fields) for _ in self._given]

    def make(self, make: Callable[[], HostEnv]) -> tuple[int, bytes]:
        """Makes the games, each with its agents in the order of the facts."""
        for j in range(len(self._given)):
            self._mark(j, shared.MAKING)
            self._games.append(in_order_of(self._facts, make()))
        return shared.RUNNING, b""

    def reset(self, slot: int) -> tuple[int, bytes]:
        """Starts all episodes anew, from the seeds in shared memory."""
        self._given, self._episode = self._seeds.tolist(), [0] * len(self._games)
        for j in range(len(self._games)):
            self._start(j, self._next[slot])
        self._check(self._next[slot])
        return shared.RUNNING, b""

    def step(self, slot: int) -> tuple[int, bytes]:
        """Steps each game, then starts anew those whose episode ended."""
        shown, action = self._successor[slot], self._action.copy()
        for j, game in enumerate(self._games):
            self._step[j] += 1
            self._mark(j, shared.STEPPING)
            self._write(shown, j, game.step(action[j]))
        self._check(shown)
        done: list[bool] = np.all(shown.terminated | shown.truncated, axis=-1).tolist()
        if True not in done:
            return shared.RUNNING, b""
        fresh = self._next[slot]
        for source, target in zip(shown, fresh):
            if target is not None:
                target[...] = source
        for j in itertools.compress(range(len(done)), done):
            self._episode[j] += 1
            self._start(j, fresh)
        self._check(fresh)
        return shared.ENDED, b""

    def answer_to(self, message: bytes) -> tuple[int, bytes]:
        """Does what a message asks for."""
        ask, slot = message[0] & ~1, message[0] & 1
        do = self.step if ask == shared.STEP else self.reset
        return self.answer(lambda: do(slot))

    def answer(self, do: Callable[[], tuple[int, bytes]]) -> tuple[int, bytes]:
        """The kind and content of an answer; an error of a game is one too."""
        try:
            kind, content = do()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also what a game's sys.exit raises
            kind = shared.REFUSED if isinstance(error, UserError) else shared.FAILED
            content = self.line(error).encode(errors="backslashreplace")
        self._status[3] = shared.WAITING
        return kind, content

    def close(self) -> None:
        """Closes the games; what they raise no longer matters."""
        for game in self._games:
            with contextlib.suppress(Exception):
                game.close()

    def line(self, error: BaseException) -> str:
        """What to say of an error of the game that was last called."""
        status = Status(*self._status)
        if isinstance(error, Broken | UserError):
            return status.tell(in_a_line(error, named=False, whole=True))
        return status.tell(("" if status.phase == shared.MAKING else "raised ") + told(error))

    def _mark(self, j: int, phase: int) -> None:
        status = self._status
        status[0] = self._first + j
        status[1] = self._seed[j]
        status[2] = self._step[j]
        status[3] = phase

    def _start(self, j: int, rows: Rows) -> None:
        given, episode = self._given[j], self._episode[j]
        self._seed[j] = episode_seed(given, episode) if episode else given
        self._step[j] = 0
        self._mark(j, shared.RESETTING)
        self._write(rows, j, self._games[j].reset(self._seed[j]))
        if (rows.terminated[j] | rows.truncated[j]).all():
            raise Broken("its episode is over before the first step")

    def _write(self, rows: Rows, j: int, shown: HostStep) -> None:
        """Copies what a game shows to row `j`, if its shapes and dtypes are as they should be."""
        if not isinstance(shown, HostStep):
            raise Broken(f"returned {type(shown).__name__}, expected HostStep")
        fitting = self._fitting[j]
        for k, (position, shape, dtype) in enumerate(self._fields):
            value: Any = shown[position]
            if value is not fitting[k]:
                if not _fits(value, shape, dtype):
                    raise Broken(_misfit(HostStep._fields[position], value, shape, dtype))
                fitting[k] = value
            rows[position][j] = value  # type: ignore[index]

    def _check(self, rows: Rows) -> None:
        """Raises `Broken` where a number is not finite, or nothing is left to do for an agent."""
        for name, values in (("obs", rows.obs), ("reward", rows.reward)):
            if not _finite(values):
                j, agent, *_ = np.argwhere(~np.isfinite(values))[0].tolist()
                self._blame(j, f"{_NAMES[name]} of {self._facts.agents[agent]} is not finite")
        if rows.global_state is not None and not _finite(rows.global_state):
            j, _ = np.argwhere(~np.isfinite(rows.global_state))[0].tolist()
            self._blame(j, "its global state is not finite")
        if rows.action_mask is not None:
            stuck = rows.active & ~rows.action_mask.any(-1)
            if stuck.any():
                j, agent = np.argwhere(stuck)[0].tolist()
                self._blame(j, f"{self._facts.agents[agent]} is to act and has no legal action")

    def _blame(self, j: int, what: str) -> None:
        self._mark(j, shared.STEPPING)
        raise Broken(what)


def episode_seed(given: int, episode: int) -> int:
    """The seed of a later episode of an environment that was reset with the seed `given`."""
    return int(np.random.SeedSequence([given, episode]).generate_state(1)[0]) & shared.SEEDS


def _finite(values: np.ndarray) -> bool:
    """Whether all numbers are. Their sum of squares is finite only then, and quickly had; where it
    overflows, a closer look is needed."""
    flat = values.reshape(-1)
    return math.isfinite(flat.dot(flat)) or bool(np.isfinite(values).all())


def _fits(value: Any, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Whether a field of `HostStep` is what it should be; of numbers, any precision is."""
    return (
        isinstance(value, np.ndarray)
        and value.shape == shape
        and (value.dtype is dtype or value.dtype.kind == dtype.kind)
    )


def _misfit(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> str:
    """What is wrong with a field of `HostStep`."""
    name = f"its {_NAMES.get(name, name)}"
    if not isinstance(value, np.ndarray):
        return f"{name} is {type(value).__name__}, expected an array"
    if value.shape != shape:
        return f"{name} has shape {value.shape}, expected {shape}"
    return f"{name} has type {value.dtype}, expected {dtype}"


def told(error: BaseException) -> str:
    """An error and its place, in one line. What was pickled by value may have lost its file."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    lost = frame.filename.startswith("<")
    name = f"in {frame.name}" if lost else os.path.basename(frame.filename)
    place = "" if frame.filename == __file__ else f" ({name}, line {frame.lineno})"
    return in_a_line(error, whole=True) + place


def _serve(worker: Worker, channel: socket.socket) -> None:
    """Answers until the parent says that it is enough, or is no more."""
    listener = shared.listener(channel)
    while True:
        shared.expect(listener)
        if not (message := channel.recv(1)):
            break
        if message[0] == shared.CLOSE:
            break
        kind, content = worker.answer_to(message)
        if kind < shared.FAILED:
            channel.sendall(bytes((kind,)))
        else:
            shared.send_long(channel, content, bytes((kind,)))


def settle(channel: int, lifeline: int) -> socket.socket:
    """Begins a process that runs others' code; its channel."""
    os.set_inheritable(lifeline, False)
    child.settle(lifeline)
    child.end_by_signal(lifeline)
    with contextlib.suppress(OSError):
        os.dup2(2, 1)  # what games print is not what the parent's command prints
    return socket.socket(fileno=channel)


def main(arguments: Sequence[str]) -> None:
    """Runs a worker, given the descriptors of its channel, of the shared memory, and of a pipe that
    ends when its parent does."""
    channel, file, lifeline = (int(word) for word in arguments)
    channel = settle(channel, lifeline)
    warnings.filterwarnings("ignore", message=NO_IMAGE)  # the parent has said it
    job: Job = pickle.loads(shared.receive_long(channel))
    worker = Worker(job, Memory(file, job.facts, job.num_envs))
    os.close(file)
    kind, content = worker.answer(lambda: worker.make(lambda: pickle.loads(job.make)()))
    if kind >= shared.FAILED:
        shared.send_long(channel, content, bytes((kind,)))
        return
    channel.sendall(bytes((kind,)))
    _serve(worker, channel)
    worker.close()


if __name__ == "__main__":
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        main(sys.argv[1:])
