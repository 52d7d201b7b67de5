"""A crew whose workers die, hang and come back: what is lost is told, and nothing counts twice."""

import random
from collections import Counter, deque
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from shoal.core.errors import Failure
from shoal.distributed import crew
from shoal.distributed.collecting import AsTheyCome, pair
from shoal.distributed.crew import Answer, Crew, Pace
from shoal.distributed.gradients import Pushed
from shoal.distributed.program import told
from shoal.distributed.pushes import Pushes


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
        return tuple(ident), actor.answers[ident], 0.7

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


def test_the_wait_doubles_for_who_dies_as_soon_as_it_shows_up(capsys):
    ray = Ray(0, trouble=0.0)
    here = Crew(ray, ray.make, 1, deadline=2.0)
    for _ in range(4):
        while not here.present:
            here.answers()
        here.ask(0, "work", 1, note=1)
        ray.actors[-1].state = "dead"
        while here.present:
            here.answers()
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("replaced")[2] for line in lines] == [
        "",
        " in 1 s",
        " in 3 s",
        " in 7 s",
    ]


def test_a_worker_that_is_stuck_is_told_once_and_its_pace_falls(capsys):
    """Its calls take 0.7 s: ten times that, and so 7 s, is late."""
    ray = Ray(0, trouble=0.0)
    here = Crew(ray, ray.make, 2, deadline=60.0)
    while len(here.present) < 2:
        here.answers()
    assert [pace.seconds for pace in here.paces()] == [np.inf, np.inf]
    for worker in range(2):
        here.ask(worker, "work", 1, note=1)
    while here.answered < 2:
        here.answers()
    assert here.paces() == [Pace(0.7, 0)] * 2
    ray.actors[1].state = "hung"
    here.version = 5
    here.ask(1, "work", 1, note=1)
    for here.version in range(5, 12):
        here.ask(0, "work", 1, note=1)
        while not here.answers():
            pass
    while here.paces()[1].seconds < 40:
        here.answers()
    assert here.paces()[0] == Pace(0.7, 0) and here.paces()[1].lag == 6
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "shoal: worker 1 has not answered for 7 s: it is replaced after 60 s"


@pytest.mark.parametrize("count", [2, 9])
def test_the_slowest_and_the_fastest_are_told_and_few_one_by_one(count):
    """By hand: a call is of 10 steps, and worker 1 is stuck at one of 4 updates ago."""
    paces = [Pace(0.1, 0), Pace(5.0, 4), *[Pace(0.2, 1)] * (count - 2)]
    ends = {"slowest_worker": 1.0, "worker_lag_max": 4.0}
    ends |= {"worker_steps_per_second_min": 2.0, "worker_steps_per_second_max": 100.0}
    each = {"worker_steps_per_second/0": 100.0, "worker_steps_per_second/1": 2.0}
    each |= {"worker_lag/0": 0.0, "worker_lag/1": 4.0}
    assert told(paces, 10.0) == pytest.approx(ends | each if count == 2 else ends)


class Script(Crew):
    """One worker, of which each call is answered or lost as the script says."""

    def __init__(self, script, content):
        self.script, self.content, self.heres, self.note = list(script), content, [], None

    def __len__(self):
        return 1

    @property
    def present(self):
        return [0]

    def free(self, ahead=1):
        return [0]

    def put(self, packed):
        return packed

    def ask(self, worker, method, weights, here, *words, note=None):
        self.heres.append(here)
        self.note = note
        return f"after {here}"

    def answers(self):
        lost = self.script.pop(0) == "lost"
        return [Answer(0, self.note, self.content, "kept", lost)]


@pytest.mark.parametrize("kind", [AsTheyCome, Pushes])
def test_who_is_lost_again_starts_anew(kind):
    """Where its environments were may be what is lost."""
    keys = jax.random.split(jax.random.key(0), 1)
    crew = Script(["here", "lost", "lost", "here"], ([], {}, {}) if kind is Pushes else ([], {}))
    if kind is Pushes:
        pushes = Pushes(crew)
        for version in range(2):
            assert isinstance(pushes.next(version, ["weights"], keys, np.float32(0)).pushed, Pushed)
    else:
        coming = AsTheyCome(crew, staleness=9, random=pair)
        for version in range(2):
            coming.wait(version, list, keys)
    assert crew.heres[-2:] == ["kept", None]
