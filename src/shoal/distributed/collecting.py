"""What a learner's workers are asked for, and when: as they come, or in order."""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Key, PRNGKeyArray

from shoal.distributed.arrays import Packed, pack
from shoal.distributed.crew import Answer, Crew

IN_FLIGHT = 2  # calls that a worker has to answer at most: back-pressure


class Sample(NamedTuple):
    """What a worker saw, and the version of the parameters that it acted with."""

    trajectory: Packed
    totals: dict[str, float]
    version: int


class AsTheyCome:
    """Every worker always has something to do, with the newest parameters that there were when it
    was asked. What is more than `staleness` versions old is refused.

    Of each worker it holds where its environments are as of its last answer, and as of all that it
    was asked: references, which stay with Ray. `random` packs what a call's randomness comes from.
    """

    def __init__(self, crew: Crew, staleness: int, random: Callable[[PRNGKeyArray], list[Any]]):
        self.crew, self.staleness, self.refused, self._random = crew, staleness, 0, random
        self._here: list[Any] = [None] * len(crew)
        self._ahead: list[Any] = [None] * len(crew)
        self._version, self._weights, self._asked = -1, None, 0
        self._samples: list[Sample] = []

    def wait(self, version: int, weights: Any, keys: Key[Array, "W"]) -> list[Sample]:
        """As many samples as there are workers, whoever made them. `weights()` packs parameters,
        once a version."""
        if version != self._version:
            self._version, self._weights = version, self.crew.put(weights())
        self._accept([])
        while len(self._samples) < len(self.crew):
            for worker in self.crew.free(IN_FLIGHT):
                self._ask(worker, keys)
            self._accept(self.crew.answers())
        found, self._samples = self._samples[: len(self.crew)], self._samples[len(self.crew) :]
        return found

    def _ask(self, worker: int, keys: Key[Array, "W"]) -> None:
        self._asked += 1
        own = self._random(jax.random.fold_in(keys[worker], self._asked))
        ask, here, note = self.crew.ask, self._ahead[worker], self._version
        self._ahead[worker] = ask(worker, "collect", self._weights, here, own, note=note)

    def _accept(self, answers: list[Answer]) -> None:
        for answer in answers:
            if not answer.lost:
                self._here[answer.worker] = answer.kept
                self._samples.append(_sample(answer))
        # Whoever takes a lost one's place goes on from there; or anew, if that is lost as well, as
        # with a machine, and so costs that one too.
        for worker in {answer.worker for answer in answers if answer.lost}:
            self._ahead[worker], self._here[worker] = self._here[worker], None
        fresh = [s for s in self._samples if self._version - s.version <= self.staleness]
        self.refused += len(self._samples) - len(fresh)
        self._samples = fresh


class InOrder:
    """Every worker is asked once an update, with its own key and parameters of one version: what
    comes does not depend on who is fast, who dies, or when.

    `here` is where the environments of each worker are, packed, as of the last `wait`.
    """

    def __init__(self, crew: Crew, here: list[Any], method: str):
        self.crew, self.here, self._method = crew, here, method
        self._calls: list[tuple[Any, ...]] = []
        self._waiting: set[int] = set()  # workers whose call is on its way
        self._found: dict[int, Answer] = {}
        self._version = 0

    @property
    def asked(self) -> bool:
        """Whether there is something to wait for."""
        return bool(self._calls)

    def ask(self, version: int, weights: Any, keys: Any, *words: Any) -> None:
        """Asks all workers. `weights` refers to parameters, `keys` are each one's, packed."""
        self._version, self._found = version, {}
        self._calls = [(weights, here, own, *words) for here, own in zip(self.here, keys)]
        self._send()

    def wait(self) -> list[Answer]:
        """Those of all workers, in order."""
        while len(self._found) < len(self.crew):
            self._send()
            for answer in self.crew.answers():
                self._waiting.discard(answer.worker)
                with contextlib.suppress(LookupError):  # lost on its way: it is asked again
                    if not answer.lost:
                        self.here[answer.worker] = self.crew.get(answer.kept)
                        self._found[answer.worker] = answer
        self._calls = []
        return [self._found[k] for k in range(len(self.crew))]

    def _send(self) -> None:
        for worker in self.crew.free():
            if worker not in self._waiting and worker not in self._found:
                self.crew.ask(worker, self._method, *self._calls[worker], note=self._version)
                self._waiting.add(worker)


def pair(key: PRNGKeyArray) -> Packed:
    """What a worker's randomness comes from: of its steps, and of its first episodes."""
    return pack([key, jax.random.fold_in(key, 0)])


def _sample(answer: Answer) -> Sample:
    trajectory, totals = answer.content
    return Sample(trajectory, totals, answer.note)
