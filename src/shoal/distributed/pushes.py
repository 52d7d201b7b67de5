"""Whose gradient a server takes next, and who may begin another."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Key

from shoal.distributed.collecting import pair
from shoal.distributed.crew import Crew
from shoal.distributed.gradients import Pushed


class Push(NamedTuple):
    """A gradient, the version of the parameters that it is of, and how many gradients its worker
    was ahead of the slowest when it began."""

    pushed: Pushed
    version: int
    ahead: int


class Pushes:
    """Workers that are asked for one gradient at a time.

    Args:
        bound: how many gradients a worker may be ahead of the slowest when it begins; `None` is any
            number. A worker that is not there holds nobody up.
    """

    def __init__(self, crew: Crew, bound: int | None = None):
        self.crew, self.bound = crew, bound
        self.dropped = self.pulls = 0
        self._clock = [0] * len(crew)
        self._known: set[int] = set()
        self._here: list[Any] = [None] * len(crew)
        self._came: list[Push] = []
        self._lost: set[int] = set()  # workers whose last call was
        self._asked = 0

    def next(
        self, version: int, weights: Sequence[Any], keys: Key[Array, "W"], progress: np.float32
    ) -> Push:
        """The gradient that comes first, of any version. `weights` are references to what is
        pulled."""
        ask = self._teller(version, weights, keys, progress)
        while not self._came:
            slowest = self._slowest()
            for worker in self.crew.free():
                ahead = self._clock[worker] - slowest
                if self.bound is None or ahead <= self.bound:
                    ask(worker, ahead)
            self._listen()
        return self._came.pop(0)

    def first(
        self,
        count: int,
        version: int,
        weights: Sequence[Any],
        keys: Key[Array, "W"],
        progress: np.float32,
    ) -> list[Push]:
        """The gradients of this version that come first, one a worker; others are dropped."""
        ask, found = self._teller(version, weights, keys, progress), []
        left = set(range(len(self.crew)))
        while len(found) < count:
            for worker in left & set(self.crew.free()):
                left.remove(worker)
                ask(worker, 0)
            left |= self._listen()
            found += [push for push in self._came if push.version == version]
            self.dropped += sum(push.version != version for push in self._came)
            self._came = []
        self.dropped += len(found) - count
        return found[:count]

    def _teller(self, version: int, weights: Sequence[Any], keys: Any, progress: np.float32) -> Any:
        """What asks a worker with these."""
        first, *others = weights

        def ask(worker: int, ahead: int) -> None:
            self._asked += 1
            own = pair(jax.random.fold_in(keys[worker], self._asked))
            words = (first, self._here[worker], own, progress, *others)
            self.crew.ask(worker, "gradient", *words, note=(version, ahead))
            self.pulls += 1

        return ask

    def _listen(self) -> set[int]:
        """Takes what has come; also returns the workers whose call was lost."""
        lost = set()
        for answer in self.crew.answers():
            if answer.lost:
                lost.add(answer.worker)
                if answer.worker in self._lost:  # so may be where its environments were
                    self._here[answer.worker] = None
                self._lost.add(answer.worker)
                continue
            self._lost.discard(answer.worker)
            self._here[answer.worker] = answer.kept
            self._clock[answer.worker] += 1
            self._came.append(
                Push(Pushed(*answer.content)._replace(parts=answer.parts), *answer.note)
            )
        return lost

    def _slowest(self) -> int:
        """The clock of the slowest worker that is there. Who is new begins there."""
        there = set(self.crew.present)
        slowest = min((self._clock[w] for w in there & self._known), default=0)
        for worker in there - self._known:
            self._clock[worker] = max(self._clock[worker], slowest)
        self._known = there
        return min((self._clock[w] for w in there), default=0)
