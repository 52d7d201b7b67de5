"""What a world says of itself, asked of a process of its own.

Constructors of others may hang, print, leave for another folder or end their process: none of it
reaches the one that asks. The answer is JSON.
"""

import contextlib
import dataclasses
import json
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from shoal.core import awake, child
from shoal.core.errors import UserError
from shoal.core.terminal import say
from shoal.envs.host import shared
from shoal.envs.host.env import HostEnv, HostSpec
from shoal.envs.host.process import STARTING, begin, fate, wait
from shoal.envs.host.spaces import NO_IMAGE
from shoal.envs.host.vector import pickled
from shoal.envs.host.worker import settle, told

CLOSING = 1.0  # seconds to close a world in
SILENT = 10.0  # seconds after which the user is told what is waited for


def ask_facts(task: str, make: Callable[[], HostEnv], deadline: float) -> HostSpec:
    """What the world that `make` makes says of itself.

    Args:
        task: its name.
        make: goes to the process by cloudpickle.
        deadline: seconds that it may take; not less than a process takes to start.

    Raises:
        UserError: it cannot be made; says why.
    """
    content, deadline = pickled(make), max(deadline, STARTING)
    process, channel, lifeline = begin("shoal.envs.host.facts")
    try:
        with channel:
            channel.settimeout(deadline)
            with contextlib.suppress(OSError):  # what became of it is told below
                shared.send_long(channel, content)
            _wait(task, shared.listener(channel), deadline)
            answer = json.loads(shared.receive_long(channel))
    except TimeoutError:
        raise UserError(f"{task} cannot be made: it took more than {deadline:g} s") from None
    except (EOFError, OSError):
        raise UserError(f"{task} cannot be made: {fate(process)}") from None
    finally:
        child.end(process, time.monotonic() + CLOSING)
        os.close(lifeline)
    for line in answer["warnings"]:
        warnings.warn(line, RuntimeWarning, stacklevel=2)
    if (error := answer["error"]) is not None:
        raise UserError(error if answer["plain"] else f"{task} cannot be made: {error}")
    return HostSpec(**{name: _tuples(value) for name, value in answer["facts"].items()})


def _wait(task: str, listener: Any, deadline: float) -> None:
    since = awake.now()
    try:
        wait(listener, min(SILENT, deadline), since)
    except TimeoutError:
        if deadline <= SILENT:
            raise
        say(f"shoal: {task} is being made, for {deadline:g} s at most")
        wait(listener, deadline, since)


def _tuples(value: Any) -> Any:
    """JSON knows lists alone."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _answer(make: bytes, games: list[HostEnv]) -> dict[str, Any]:
    """In the process: the facts or what went wrong, and what its asker is to warn of. What was made
    is among `games` then."""
    answer: dict[str, Any] = {"facts": None, "error": None, "plain": False, "warnings": []}
    show = warnings.showwarning

    def pass_on(message: Any, *rest: Any, **named: Any) -> None:
        if str(message).startswith(NO_IMAGE):
            answer["warnings"].append(str(message))
        else:
            show(message, *rest, **named)

    warnings.showwarning = pass_on
    try:
        games.append(pickle.loads(make)())
        answer["facts"] = dataclasses.asdict(games[0].facts)
    except UserError as error:
        answer |= {"error": str(error), "plain": True}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also what a constructor's sys.exit raises
        answer["error"] = told(error)
    return answer


def main(arguments: Sequence[str]) -> None:
    """Answers once, given the descriptors of its channel and of a pipe that ends when its parent
    does."""
    channel = settle(*map(int, arguments))
    games: list[HostEnv] = []
    answer = _answer(shared.receive_long(channel), games)
    shared.send_long(channel, json.dumps(answer).encode())
    for game in games:  # which may take its time
        game.close()


if __name__ == "__main__":
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        main(sys.argv[1:])
