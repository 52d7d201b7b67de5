"""One world in a process of its own, for whoever plays it step by step and looks at it.

Arrays travel as NumPy's own files, from which nothing is unpickled.
"""

import contextlib
import io
import os
import pickle
import socket
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from shoal.core import awake, child
from shoal.core.errors import UserError
from shoal.envs.host import shared
from shoal.envs.host.env import HostEnv, HostSpec, HostStep
from shoal.envs.host.order import in_order_of
from shoal.envs.host.process import GRACE, STARTING, begin, fate, wait
from shoal.envs.host.spaces import NO_IMAGE
from shoal.envs.host.vector import WorldFailed, pickled
from shoal.envs.host.worker import settle, told

RESET, STEP, RENDER = b"reset", b"step.", b"look."  # what is asked for, of one length
DONE, MISTAKE, FAILED = b"\0", b"\1", b"\2"  # how an answer begins


class RemoteHostEnv(HostEnv):
    """The world that `make` makes, with its agents in the order of `facts`. It has `deadline`
    seconds for each answer.

    Raises:
        UserError: it cannot be made, reset, stepped or drawn, and says what is wrong.
        WorldFailed: it raises anything else, hangs, or ends its process.
    """

    def __init__(self, task: str, make: Callable[[], HostEnv], facts: HostSpec, deadline: float):
        job = pickle.dumps((pickled(make), facts))
        self.task, self.facts, self.deadline = task, facts, deadline
        self._process, self._channel, self._lifeline = begin("shoal.envs.host.remote")
        self._listener = shared.listener(self._channel)
        self._ask(job, max(deadline, STARTING))

    def reset(self, seed: int) -> HostStep:
        return _step_of(self._ask(RESET + str(int(seed)).encode(), self.deadline))

    def step(self, action: np.ndarray) -> HostStep:
        return _step_of(self._ask(STEP + _file_of(action=action), self.deadline))

    def render(self) -> np.ndarray:
        return _arrays_of(self._ask(RENDER, self.deadline))["picture"]

    def close(self) -> None:
        """Ends the process, whose world has some seconds to close in."""
        if self._lifeline is not None:
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_WR)
            child.end(self._process, time.monotonic() + GRACE)
            self._channel.close()
            os.close(self._lifeline)
            self._lifeline = None

    def _ask(self, what: bytes, deadline: float) -> bytes:
        try:
            self._channel.settimeout(deadline)
            shared.send_long(self._channel, what)
            wait(self._listener, deadline, awake.now())
            kind = shared.receive(self._channel, 1)
            content = shared.receive_long(self._channel)
        except TimeoutError:
            self._fail(f"{self.task} did not answer within {deadline:g} s")
        except (EOFError, OSError):
            self._fail(f"{self.task}: {fate(self._process)}")
        except BaseException:  # an interrupt: what was not heard would answer the next question
            self.close()
            raise
        if kind == DONE:
            return content
        self.close()
        line = content.decode()
        if kind == MISTAKE:
            raise UserError(line)
        raise WorldFailed(f"{self.task} raised {line}")

    def _fail(self, line: str) -> NoReturn:
        self._process.kill()
        self.close()
        raise WorldFailed(line) from None


def _file_of(**arrays: np.ndarray | None) -> bytes:
    file = io.BytesIO()
    there = {name: values for name, values in arrays.items() if values is not None}
    np.savez(file, allow_pickle=False, **there)
    return file.getvalue()


def _arrays_of(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _step_of(content: bytes) -> HostStep:
    arrays = _arrays_of(content)
    return HostStep(*(arrays.get(name) for name in HostStep._fields))  # type: ignore[arg-type]


def _answer(game: HostEnv, asked: bytes) -> bytes:
    """In the process: what a world answers."""
    what, content = asked[: len(RESET)], asked[len(RESET) :]
    if what == RENDER:
        return _file_of(picture=game.render())
    if what == RESET:
        return _file_of(**game.reset(int(content))._asdict())
    return _file_of(**game.step(_arrays_of(content)["action"])._asdict())


def main(arguments: Sequence[str]) -> None:
    """Serves one world, given the descriptors of its channel and of a pipe that ends when its
    parent does."""
    channel = settle(*map(int, arguments))
    warnings.filterwarnings("ignore", message=NO_IMAGE)  # the parent has said it
    make, facts = pickle.loads(shared.receive_long(channel))

    def answer(do: Callable[[], bytes]) -> None:
        kind = DONE
        try:
            content = do()
        except KeyboardInterrupt:
            raise
        except UserError as error:
            kind, content = MISTAKE, str(error).encode(errors="backslashreplace")
        except BaseException as error:  # also what a world's sys.exit raises
            kind, content = FAILED, told(error).encode(errors="backslashreplace")
        shared.send_long(channel, content, kind)

    games: list[HostEnv] = []
    try:
        answer(lambda: games.append(in_order_of(facts, pickle.loads(make)())) or b"")
        while games:
            asked = shared.receive_long(channel)
            answer(lambda: _answer(games[0], asked))  # noqa: B023  asked at once
    finally:
        for game in games:
            with contextlib.suppress(Exception):
                game.close()


if __name__ == "__main__":
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        main(sys.argv[1:])
