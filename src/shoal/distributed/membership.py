"""What makes a process a rank of a gang: it joins the others, hears what rank 0 announces, and
shows its supervisor that it lives and makes steps.

JAX keeps one membership for a whole process; so does this module.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax
from jax._src import distributed

from shoal.core.errors import UserError, in_a_line
from shoal.distributed.job import ALIVE, BEGIN, END, JOINED
from shoal.training.devices import prepare

ANSWER_SECONDS = 30.0  # until a coordinator must answer, and all ranks must have come
HEARTBEAT_SECONDS = 10  # without a word from a rank, until JAX ends the others
_PATIENCE = 24 * 3600 * 1000  # milliseconds: who is stuck is found by its supervisor
_KEPT = 3  # announcements: a rank that has made the last program has heard the one before it


class Lost(Exception):
    """Another rank, or the way to it, is gone: nothing can be done but to start again."""


class Pulse:
    """Shows a supervisor every now and then that this process lives, by a socket."""

    def __init__(self, file: int, every: float):
        self._file = file
        threading.Thread(target=self._beat, args=(every,), daemon=True).start()

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """What is within it must not take longer than the supervisor's deadline."""
        self.show(BEGIN)
        try:
            yield
        finally:
            self.show(END)

    def _beat(self, every: float) -> None:
        while True:
            self.show(ALIVE)
            time.sleep(every)

    def show(self, what: int) -> None:
        """Shows one of the signs of `distributed.job`."""
        with contextlib.suppress(OSError):  # nobody has read for long
            os.write(self._file, bytes([what]))


class Membership:
    """Of the gang that this process has joined."""

    def __init__(self, rank: int, pulse: Pulse):
        self.rank, self.pulse = rank, pulse
        self._client: Any = distributed.global_state.client
        self._announced = self._barriers = 0

    def announce(self, command: list[Any]) -> None:
        """Tells the others what comes next; of rank 0 alone."""
        with losing():
            self._client.key_value_set(f"shoal/{self._announced}", json.dumps(command))
            if self._announced >= _KEPT:
                self._client.key_value_delete(f"shoal/{self._announced - _KEPT}")
        self._announced += 1

    def hear(self) -> list[Any]:
        """What rank 0 announced next, however long that takes."""
        with losing():
            found = self._client.blocking_key_value_get(f"shoal/{self._announced}", _PATIENCE)
        self._announced += 1
        return json.loads(found)

    def meet(self) -> None:
        """Waits until all ranks are here: who compiles faster must not wait in a collective, which
        gives up after half a minute."""
        with losing():
            self._client.wait_at_barrier(f"shoal/barrier/{self._barriers}", _PATIENCE)
        self._barriers += 1

    def leave(self) -> None:
        """Takes leave of the others, who do the same. Programs of this process alone still run."""
        with losing():
            jax.distributed.shutdown()


_JOINED: list[Membership] = []


def joined() -> Membership | None:
    """That of this process."""
    return _JOINED[0] if _JOINED else None


def join(
    coordinator: str, ranks: int, rank: int, devices: range, deterministic: bool, pulse: Pulse
) -> Membership:
    """Joins a gang before JAX starts, with so many devices: the accelerators of these numbers.

    Raises:
        UserError: the coordinator does not answer.
        Lost: not all ranks came.
    """
    host, _, port = coordinator.rpartition(":")
    if rank:
        _await(host, int(port))
    jax.config.update("jax_num_cpu_devices", len(devices))
    jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
    with losing():
        jax.distributed.initialize(
            *(coordinator, ranks, rank),
            local_device_ids=list(devices),
            cluster_detection_method="deactivate",
            coordinator_bind_address=coordinator,
            initialization_timeout=int(ANSWER_SECONDS),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
        prepare(deterministic)
        jax.devices()  # all ranks tell each other of theirs, and wait for that
    pulse.show(JOINED)
    _JOINED.append(Membership(rank, pulse))
    return _JOINED[0]


def _await(host: str, port: int) -> None:
    """Until rank 0 listens."""
    until = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return socket.create_connection((host, port), ANSWER_SECONDS).close()
        except OSError as error:
            if time.monotonic() > until:
                why = error.strerror or error
                raise UserError(
                    f"no coordinator answers at {host}:{port} within {ANSWER_SECONDS:g} s ({why}): "
                    "start rank 0 there"
                ) from error
            time.sleep(0.1)


@contextlib.contextmanager
def losing() -> Iterator[None]:
    """Within it, the errors that tell of a rank that is gone are `Lost`."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        line = str(error)
        if isinstance(error, ValueError) and "Gloo" not in line:
            raise
        if line.startswith("RESOURCE_EXHAUSTED"):
            raise
        raise Lost(in_a_line(error, named=False)) from error
