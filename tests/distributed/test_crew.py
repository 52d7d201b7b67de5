"""A crew whose workers die, hang and come back: what is lost is told, and nothing counts twice."""

import random
from collections import Counter, deque
from types import SimpleNamespace

import pytest

from shoal.core.errors import Failure
from shoal.distributed import crew
from shoal.distributed.crew import Crew


class Dead(Exception):
    """What Ray says of an actor that is gone."""


class Clock:
    """Time that goes by with each look at it."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        self.seconds += 0.01
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


class Actor:
    """Answers calls in order, until it dies or hangs."""

    def __init__(self):
        self.calls, self.answers, self.state = deque(), {}, "well"
        self.call = SimpleNamespace(options=lambda num_returns: SimpleNamespace(remote=self._ask))

    def _ask(self, method, ident, *words):
        reference = (self, ident)
        self.calls.append((ident, words))
        return reference, None

    def go_on(self):
        if self.calls and self.state == "well":
            ident, words = self.calls.popleft()
            self.answers[ident] = words[0] if words else 0


class Ray:
    """Actors that go on, die, or hang once they have begun, by chance."""

    exceptions = SimpleNamespace(RayActorError=Dead, ObjectLostError=Dead, WorkerCrashedError=Dead)

    def __init__(self, seed, trouble=0.1):
        self.chance, self.actors, self.trouble, self.ended = random.Random(seed), [], trouble, 0

    def make(self, number, incarnation):
        self.actors.append(Actor())
        return self.actors[-1]

    def wait(self, references, num_returns, timeout):
        for actor in self.actors:
            if actor.state == "well" and self.chance.random() < self.trouble:
                actor.state = self.chance.choice(["dead", "hung"] if actor.answers else ["dead"])
            elif self.chance.random() < 0.5:
                actor.go_on()
        ready = [r for r in references if r[1] in r[0].answers or r[0].state == "dead"]
        return self.chance.sample(ready, len(ready)), None

    def get(self, reference):
        actor, ident = reference
        if ident not in actor.answers:
            raise Dead
        return tuple(ident), actor.answers[ident]

    def kill(self, actor, no_restart):
        self.ended += 1
        actor.state = "well"  # what it was asked may still be answered, to nobody


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(crew, "awake", clock)
    monkeypatch.setattr(crew, "time", SimpleNamespace(monotonic=clock.now, sleep=clock.sleep))


@pytest.mark.parametrize("seed", range(20))
def test_every_job_is_done_once_whoever_dies(seed, monkeypatch, capsys):
    monkeypatch.setattr(crew, "RESTARTS", 10_000)
    ray = Ray(seed)
    here = Crew(ray, ray.make, 3, deadline=2.0)
    missing, done, lost = list(range(60)), Counter(), 0
    for _ in range(10_000):
        for worker in here.free(2):
            if missing:
                job = missing.pop()
                here.ask(worker, "work", job, note=job)
        for answer in here.answers():
            if answer.lost:
                lost += 1
                missing.append(answer.note)
            else:
                assert answer.content == answer.note
                done[answer.note] += 1
        if len(done) == 60:
            break
    assert done == Counter(range(60))
    assert here.answered == 60 and here.lost == lost > 0
    assert here.restarts == ray.ended > 0


def test_workers_that_die_at_once_are_given_up(capsys):
    ray = Ray(0, trouble=1.0)
    here = Crew(ray, ray.make, 2, deadline=2.0)
    with pytest.raises(Failure, match=r"workers were replaced 20 times"):
        for _ in range(100_000):
            here.answers()
