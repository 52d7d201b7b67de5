"""Evolution at a distance: workers are told a generation, and answer with a few numbers a member.

Every worker makes each update itself, from the same numbers: so parameters are sent to it once, and
then what members earned. What a member earns depends on the generation and on which part of it the
member is in, never on who played it: parts that are lost are played by others, and the update is
the same to the bit. A worker says with each answer what its parameters add up to; where that is not
what it is here, as another processor may round, it is sent them again. Salimans et al. 2017,
arXiv:1703.03864.
"""

import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from shoal.agents.evolution.evolution import Acting, Evolution, EvolutionState
from shoal.core.algorithm import Trajectory
from shoal.core.errors import require
from shoal.core.running_statistics import Moments
from shoal.distributed.arrays import ONE, Packed, pack, size, unpack
from shoal.distributed.cluster import LEAST_STORE
from shoal.distributed.collecting import IN_FLIGHT
from shoal.distributed.crew import Ident
from shoal.distributed.program import DistantProgram, DistantState, Metrics
from shoal.distributed.worker import Worker
from shoal.envs.host.world import World
from shoal.runs.config import Config
from shoal.training.learners import make_learner
from shoal.training.on_device import OnDevice, summarise

MOST_PARTS = 16  # of a generation


class Played(NamedTuple):
    """What came of a part of a generation."""

    digest: int  # of the parameters that it was played with
    told: Any  # fitness, behaviours and what was seen, packed; `None` from who has lost track
    totals: dict[str, float]


def parts_of(population: int) -> int:
    """How many parts a generation has, each of so many pairs: the same for any workers."""
    return max(k for k in range(1, MOST_PARTS + 1) if population % (2 * k) == 0 or k == 1)


def digest(state: EvolutionState) -> int:
    """What the parameters add up to."""
    return zlib.crc32(b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(state.params)))


class Part:
    """How a part of a generation is played: `count` members from the first, from fresh episodes."""

    def __init__(self, algorithm: Evolution, env: World, config: Config):
        self.count = algorithm.population // parts_of(algorithm.population)
        num_envs = self.count * (config.num_envs // algorithm.population)
        learner: Any = make_learner(algorithm, env, num_envs, config.unroll)
        shapes = jax.eval_shape(lambda key: algorithm.init(env.spec, key), jax.random.key(0))
        self.state = jax.tree.structure(shapes)

        def acting(state: EvolutionState, first: Array) -> Acting:
            return Acting(algorithm.members(state, first + jnp.arange(self.count)), state.scales)

        def tell(state: EvolutionState, trajectory: Trajectory) -> Any:
            seen = trajectory.transitions.timestep
            return (
                algorithm.fitness(state, trajectory, self.count),
                algorithm.behaviours(state, trajectory, self.count),
                None if state.scales is None else state.scales.moments(seen),
            )

        def on_device(state: EvolutionState, first: Array, key: PRNGKeyArray) -> Any:
            members, (key, key_reset) = acting(state, first), jax.random.split(key)
            loop, progress = learner.start(members, key_reset), jnp.float32(0.0)
            _, trajectory, finished = learner.collect(members, loop, progress, key)
            return tell(state, trajectory), summarise(finished, env.spec)

        if isinstance(learner, OnDevice):
            self.play, example = jax.jit(on_device), jax.eval_shape
            told = example(on_device, shapes, jnp.int32(0), jax.random.key(0))[0]
        else:
            act, read = jax.jit(acting), jax.jit(lambda s, m, x: tell(s, learner.read(m, x)))

            def on_host(state: EvolutionState, first: Array, key: PRNGKeyArray) -> Any:
                members, (key, key_reset) = act(state, first), jax.random.split(key)
                learner.start(members, key_reset)
                steps, totals = learner.collect(members, np.float32(0.0), key, key_reset)
                return read(state, members, steps), totals

            members = jax.eval_shape(acting, shapes, jnp.int32(0))
            steps = learner.steps_like(members)
            told = jax.eval_shape(read, shapes, members, steps)
            self.play = on_host
        self.told = jax.tree.structure(told)


class EvolutionWorker(Worker):
    """Plays parts of generations, and makes each update itself."""

    def __init__(self, *words: Any):
        super().__init__(*words)
        self._part = Part(self.algorithm, self.env, self.config)
        self._state: EvolutionState | None = None
        self._tell = jax.jit(lambda *told: self.algorithm.tell(*told)[0])

    def restore(self, ident: Ident, state: Packed) -> Any:
        """Takes a generation as it is."""
        self._state = unpack(self._part.state, state)
        return (ident, None), None

    def play(self, ident: Ident, generation: int, told: Packed | None, part: int, key: Any) -> Any:
        """A part of that generation, which is this worker's own or, with what the one before was
        `told`, its next."""
        state = self._state
        if state is not None and told is not None and int(state.generation) == generation - 1:
            self._state = state = self._tell(state, *unpack(self._part.told, told))
        if state is None or int(state.generation) != generation:
            return (ident, Played(0, None, {})), None
        (key,) = unpack(ONE, key)
        found, totals = self._part.play(state, jnp.int32(part * self._part.count), key)
        counts = {name: float(x) for name, x in totals.items()}
        return (ident, Played(digest(state), pack(found), counts)), None


class EvolutionProgram(DistantProgram):
    """Whoever knows what all members earned, and asks for what is missing."""

    worker = EvolutionWorker

    def __init__(self, learners: Any, env: Any, config: Any):
        super().__init__(learners, env, config)
        require(
            not config.coordinators,
            f"{config.algorithm} is told a few numbers by its workers, of which coordinators could "
            "spare it none: leave out --coordinators",
        )
        self.algorithm.check_devices(config.num_envs, 1)
        self._part = Part(self.algorithm, env, config)
        self._parts = parts_of(self.algorithm.population)
        self._tell = jax.jit(lambda *told: self.algorithm.tell(*told))
        self._told: Any = None  # of the generation before, stored once
        self._told_bytes = 0

    @property
    def store(self) -> int:
        return LEAST_STORE

    @property
    def calls(self) -> int:
        return self._parts

    def begin(self, state: DistantState) -> None:
        """Waits for the workers: what is measured afterwards is no start."""
        while len(self.crew.present) < len(self.crew):
            self.crew.answers()

    def update(self, state: DistantState) -> tuple[DistantState, Metrics]:
        """One generation."""
        keys, _, key = self.keys(state)
        with self.waiting():
            found, traffic = self._generation(state.algorithm, key)
        parts = [unpack(self._part.told, part.told) for part in found]
        fitness, behaviours = (
            jax.tree.map(lambda *xs: np.concatenate(xs), *column)
            for column in list(zip(*parts))[:2]
        )
        join = lambda *xs: Moments.of_all(xs)  # noqa: E731
        seen = jax.tree.map(join, *[p[2] for p in parts], is_leaf=lambda x: isinstance(x, Moments))
        told = (fitness, behaviours, seen)
        packed = pack(told)
        algorithm, metrics = self._tell(state.algorithm, *jax.tree.map(jnp.asarray, told))
        self._told, self._told_bytes = self.crew.put(packed), size(packed)
        totals = {n: sum(p.totals[n] for p in found) for n in found[0].totals}
        said = totals | traffic | self.health()
        metrics |= {name: np.float32(value) for name, value in said.items()}
        return DistantState(algorithm, keys, state.updates + 1, None), metrics

    def _generation(
        self, state: EvolutionState, key: PRNGKeyArray
    ) -> tuple[list[Played], dict[str, float]]:
        """All parts of a generation, in order; and what was sent for them."""
        generation, here = int(state.generation), digest(state)
        found: dict[int, Played] = {}
        missing = list(range(self._parts))
        whole: Any = None
        traffic = {"told_bytes": 0.0, "restored_bytes": 0.0, "asked_again": 0.0}
        while len(found) < self._parts:
            for worker in self.crew.free(IN_FLIGHT):
                if missing:
                    part = missing.pop(0)
                    own = pack([jax.random.fold_in(key, part)])
                    words = (generation, self._told, part, own)
                    self.crew.ask(worker, "play", *words, note=part)
                    traffic["told_bytes"] += self._told_bytes
            for answer in self.crew.answers():
                if answer.note is None:  # it was restored
                    continue
                played = None if answer.lost else Played(*answer.content)
                if played is not None and played.told is not None and played.digest == here:
                    found[answer.note] = played
                    traffic["told_bytes"] += size(played.told)
                    continue
                missing.append(answer.note)
                traffic["asked_again"] += 1
                if played is not None:  # it has lost track
                    whole = self.crew.put(pack(state)) if whole is None else whole
                    self.crew.ask(answer.worker, "restore", whole)
                    traffic["restored_bytes"] += size(pack(state))
        return [found[part] for part in range(self._parts)], traffic
