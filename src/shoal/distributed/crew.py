"""Workers on Ray that may die: asked, waited for, and replaced.

A worker is an actor that is told all it needs with each call, so that any other can do its work.
Each call bears (run, worker, incarnation, sequence) and each answer brings them back: an answer is
taken once, from the incarnation that was asked, in the order in which it was asked, or not at all.
A worker that dies, or does not answer in time, is replaced, after a wait that doubles with each
failure in a row, until a budget is used up. A cluster may shrink and grow: who has no room waits.
"""

import math
import os
import time
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from shoal.core import awake
from shoal.core.errors import Failure
from shoal.core.terminal import say
from shoal.distributed.cluster import gone, raised
from shoal.distributed.process import Process

HOUR = 3600.0
RESTARTS = 10  # of each worker, on average, in an hour
LONGEST_WAIT = 60.0  # seconds before a worker is started again
FIRST = 10  # deadlines that a worker has for its first answer, for which it compiles
LOOK = 0.2  # seconds between two looks at who is overdue
LATE = 5.0  # seconds at least, before it is said that a worker is slow
SLOW = 10  # times as long as its last call took


class Ident(NamedTuple):
    """Which call, of all there ever were."""

    run: str
    worker: int
    incarnation: int
    sequence: int


class Answer(NamedTuple):
    """What came of a call: what it gave, or that it is lost."""

    worker: int
    note: Any  # what whoever asked wished to know again
    content: Any
    kept: Any  # a reference to what the worker hands on to its next call
    lost: bool
    parts: Sequence[Any] = ()  # references to what else it gave, which stays with Ray


class Pace(NamedTuple):
    """How fast a worker is: the seconds that its last call took, or that this one has taken so far
    where they are more; infinite before its first answer. And how many versions ago it was asked
    for what it is at."""

    seconds: float
    lag: int


class _Call(NamedTuple):
    ident: Ident
    version: int
    note: Any
    content: Any  # references
    kept: Any
    parts: Sequence[Any]


class _Member:
    """One worker, through all its incarnations."""

    def __init__(self, number: int):
        self.number, self.incarnation, self.sequence, self.heard = number, -1, 0, -1
        self.actor: Any = None
        self.calls: deque[_Call] = deque()
        self.since = 0.0  # when the oldest call began, as far as is known
        self.failures, self.answers = 0, 0  # in a row, of this incarnation
        self.not_before, self.pid = 0.0, 0
        self.took, self.waited = math.inf, 0.0  # seconds: the last call, and so far the oldest
        self.mentioned = False  # whether it has been said that the oldest call takes long


class Crew:
    """Workers 0 to `count - 1`, made by `make(number, incarnation)`.

    `deadline` is in seconds, of time that this process is awake. The first thing that is asked of
    each incarnation is to make its worker, so that deadlines count once it runs. A call
    gives so many `parts` besides.
    """

    def __init__(self, ray: Any, make: Any, count: int, deadline: float, parts: int = 0):
        self._ray, self._make, self._deadline, self._parts = ray, make, deadline, parts
        self.run = uuid.uuid4().hex
        self.version = 0  # of what is asked for, as whoever asks says
        self._members = [_Member(k) for k in range(count)]
        self._deaths: deque[float] = deque()
        self.answered = self.lost = self.restarts = 0
        self._heard = awake.now()
        self._tend()

    def __len__(self) -> int:
        return len(self._members)

    @property
    def present(self) -> list[int]:
        """Workers that have shown up."""
        return [m.number for m in self._members if m.answers > 0]

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the workers' processes, as of when they showed up."""
        return tuple(m.pid for m in self._members)

    def paces(self) -> list[Pace]:
        """Of all workers, as of the last look at them."""
        return [
            Pace(max(m.took, m.waited), self.version - m.calls[0].version if m.calls else 0)
            for m in self._members
        ]

    def free(self, ahead: int = 1) -> list[int]:
        """Workers with fewer than `ahead` calls to answer, those with fewest first."""
        here = [m for m in self._members if m.answers > 0 and len(m.calls) < ahead]
        return [m.number for m in sorted(here, key=lambda m: len(m.calls))]

    def ask(self, worker: int, method: str, *words: Any, note: Any = None) -> Any:
        """Calls a method of a worker, which gives (ident, content) and what it hands on; returns a
        reference to the latter, which may be handed to its next call at once."""
        member = self._members[worker]
        ident = Ident(self.run, worker, member.incarnation, member.sequence)
        member.sequence += 1
        parts = 0 if note is _READY else self._parts
        call = member.actor.call.options(num_returns=2 + parts)
        content, kept, *others = call.remote(method, ident, *words)
        if not member.calls:
            member.since = awake.now()
        member.calls.append(_Call(ident, self.version, note, content, kept, others))
        return kept

    def answers(self) -> list[Answer]:
        """What has come since, at least one unless a second went by. Raises `Failure` where a
        worker's code raised, or the crew cannot be kept up."""
        found: list[Answer] = []
        until = time.monotonic() + 1.0
        while not found and time.monotonic() < until:
            self._tend()
            waiting = {m.calls[0].content: m for m in self._members if m.calls}
            if not waiting:
                time.sleep(LOOK)
                continue
            ready, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
            if not ready:
                ready, _ = self._ray.wait(list(waiting), num_returns=1, timeout=LOOK)
            for reference in ready:
                found += self._take(waiting[reference])
            found += self._overdue()
        return found

    def _take(self, member: _Member) -> list[Answer]:
        call = member.calls[0]
        try:
            ident, content, seconds = self._ray.get(call.content)
        except Exception as error:
            if not gone(self._ray, error):
                raise raised(error) from error
            return self._replace(member, "died")
        member.calls.popleft()
        member.since = self._heard = awake.now()
        if Ident(*ident) != call.ident or ident[3] <= member.heard:
            raise Failure(f"worker {member.number} answered {ident}, and {call.ident} was asked")
        member.heard = ident[3]
        member.answers += 1
        if call.note is _READY:  # to show up is no success yet
            member.pid = content
            return []
        member.failures = 0
        member.took, member.waited, member.mentioned = seconds, 0.0, False
        self.answered += 1
        return [Answer(member.number, call.note, content, call.kept, False, call.parts)]

    def _overdue(self) -> list[Answer]:
        found: list[Answer] = []
        for member in self._members:
            if not member.calls or member.calls[0].note is _READY:
                continue
            allowed = self._deadline * (FIRST if member.answers == 1 else 1)
            member.waited = awake.now() - member.since
            if member.waited > allowed:
                found += self._replace(member, f"did not answer in {allowed:g} s")
            usual = member.took if member.answers > 1 else self._deadline / SLOW
            if not member.mentioned and allowed > member.waited > max(LATE, SLOW * usual):
                member.mentioned = True
                say(
                    f"shoal: worker {member.number} has not answered for {member.waited:.0f} s: "
                    f"it is replaced after {allowed:g} s"
                )
        patience = max(300.0, FIRST * self._deadline)
        if awake.now() - self._heard > patience:
            raise Failure(f"no worker has answered for {patience:g} s, none could be started")
        return found

    def _replace(self, member: _Member, why: str) -> list[Answer]:
        """Ends an incarnation; also returns what was asked of it, as lost."""
        now = time.monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - HOUR:
            self._deaths.popleft()
        budget = RESTARTS * len(self._members)
        if len(self._deaths) > budget:
            raise Failure(f"workers were replaced {budget} times in an hour: the last {why}")
        self._ray.kill(member.actor, no_restart=True)
        lost = [Answer(member.number, c.note, None, None, True) for c in member.calls]
        lost = [answer for answer in lost if answer.note is not _READY]
        self.lost += len(lost)
        self.restarts += 1
        member.calls.clear()
        member.actor, member.answers = None, 0
        member.took, member.waited, member.mentioned = math.inf, 0.0, False
        wait = min(2.0**member.failures - 1.0, LONGEST_WAIT)
        member.failures += 1
        member.not_before = now + wait
        say(f"shoal: worker {member.number} {why}: it is replaced" + f" in {wait:g} s" * (wait > 0))
        return lost

    def _tend(self) -> None:
        """Starts who is not there and may be."""
        for member in self._members:
            if member.actor is None and time.monotonic() >= member.not_before:
                member.incarnation += 1
                member.sequence, member.heard = 0, -1
                member.actor = self._make(member.number, member.incarnation)
                self.ask(member.number, "ready", note=_READY)

    def close(self) -> None:
        """Ends all workers."""
        for member in self._members:
            if member.actor is not None:
                self._ray.kill(member.actor, no_restart=True)
                member.actor = None

    def put(self, packed: Any) -> Any:
        """A reference to arrays, stored once however many workers are sent it."""
        return self._ray.put(packed)

    def get(self, reference: Any) -> Any:
        """What a reference stands for. Raises `LookupError` where it was lost."""
        try:
            return self._ray.get(reference)
        except Exception as error:
            if not gone(self._ray, error):
                raise raised(error) from error
            raise LookupError from error


_READY = object()


def actor(ray: Any, kind: type, words: Sequence[Any], cpus: int = 1) -> Any:
    """A new actor of one thread, with a worker of that kind, which Ray does not restart itself."""
    quiet = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false",
        "OMP_NUM_THREADS": "1",
    }
    remote = ray.remote(Process).options(
        num_cpus=cpus, max_restarts=0, max_task_retries=0, runtime_env={"env_vars": quiet}
    )
    return remote.remote(kind, *words)
