"""The loop around a compiled program: log, evaluate, save, stop, resume.

It knows learners only: what an algorithm is made of never shows here.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.monitoring
import numpy as np
from jaxtyping import Array, Key

from shoal.core.algorithm import Learner, Policy
from shoal.core.errors import Failure, UserError, may_fail_to, require
from shoal.core.limits import Natural, NonNegative, check_fields
from shoal.core.names import to_type
from shoal.core.terminal import say
from shoal.envs.host.world import World
from shoal.runs import checkpoint
from shoal.runs.config import Config
from shoal.runs.durable import Json
from shoal.runs.run_directory import MetricsLog, RunDirectory, write_json_atomic
from shoal.runs.tensor_file import PyTree
from shoal.runs.types import check_values
from shoal.training.backend import backend_of, program_of
from shoal.training.evaluation import Returns, apart
from shoal.training.machine import check_memory
from shoal.training.program import State, is_shape, keys_of
from shoal.training.progress import Reporter
from shoal.training.scoring import evaluation_columns, evaluation_report, is_better, score
from shoal.training.stopping import Stopper
from shoal.training.tensorboard import TensorBoard

REPORTS = 200  # rows of metrics in a run, unless rows would be further apart than a chunk
CHUNK_STEPS = 200_000  # most steps in a row of metrics
LOOK_SECONDS = 1.0  # between two looks at the clock and at signals, where updates are not longer
KEEP = 2
SHARE = 0.05  # most of the time that goes into checkpoints
MAX_SKIPPED = 10  # updates in a row without a finite gradient
Watcher = Callable[[list[Json]], None]  # is shown the members' rows; what it raises ends the run
WALL_CLOCK = ("seconds", "steps_per_second")  # fields that differ between identical runs
_EPISODES = ("return", "episode_length")  # what learners report as sums over episodes
_LAST = ("skipped", "slowest_worker")  # what a row has as of its last update


class Diverged(Failure):
    """Gradients stayed non-finite: the run was stopped and its state kept."""


class Interrupted(Failure):
    """A signal ended the run after it was saved."""


@dataclasses.dataclass
class Counters:
    """What the host must remember beside the learner's state."""

    updates: Natural = 0
    seconds: NonNegative = 0.0
    log_bytes: Natural = 0
    best: float | None = None
    # Of the row of metrics that is not complete yet:
    row_updates: Natural = 0
    row_seconds: NonNegative = 0.0
    row_sums: dict[str, list[float]] | None = None

    @staticmethod
    def of(loaded: checkpoint.Loaded) -> "Counters":
        """Those that a checkpoint has. Raises `UserError` where they are not what they must be: its
        sums may be right and its content wrong all the same."""
        fields = {f.name for f in dataclasses.fields(Counters)}
        place = f"{loaded.path}: extra"
        require(loaded.extra.keys() == fields, f"{place} has other names than {sorted(fields)}")
        check_values(Counters, loaded.extra, place)
        counters = Counters(**loaded.extra)
        check_fields(counters)
        return counters


class Trainer:
    """Trains K members, one learner each, into a run directory."""

    def __init__(
        self,
        config: Config,
        learners: Sequence[Learner],
        env: World,
        directory: RunDirectory,
        watchers: Sequence[Watcher] = (),
    ):
        self.config, self.env, self.directory = config, env, directory
        self.watchers = watchers
        self.members = config.members()
        self.keys = keys_of(self.members)
        self.steps_per_update = learners[0].steps_per_update
        self.total_updates = -(-config.total_steps // self.steps_per_update)
        self._workers = contextlib.ExitStack()
        self._backend, enter = backend_of(env), self._workers.enter_context
        self._learner = learners[0]
        self.program = enter(program_of(learners, env, config))
        self._stage = enter(self._backend.stage(env, config.eval_episodes, len(self.members)))
        self._saved_at = self._save_seconds = 0.0
        self._played: tuple[int, tuple[Returns, Returns]] | None = None
        self._slice = 1  # updates until the next look at the clock and at signals

    def __enter__(self) -> "Trainer":
        """Starts what the run needs elsewhere. Raises `UserError` where that cannot be had, the
        learner does not keep its promises or there is no room: nothing has been written by then."""
        with contextlib.ExitStack() as undo:
            undo.push(self._workers)
            self._check()
            self.program.open()
            undo.pop_all()
        return self

    def _check(self) -> None:
        state = self._backend.check(self.program, self._learner, self.env, self.keys)
        config, spec = self.config, self.env.spec
        shown = 4 * config.num_envs * config.unroll * len(spec.agents) * spec.obs_size
        parts = len(self.members) * config.devices
        check_memory(state, parts, shown // config.devices)

    def __exit__(self, *_: object) -> None:
        """Ends all workers."""
        self._workers.close()

    def run(
        self,
        stopper: Stopper | None = None,
        *,
        resume: bool = False,
        reporter: Reporter | None = None,
    ) -> list[Policy]:
        """Trains to the end and returns the last policies, one a member. Without a `reporter`
        nothing is shown.

        Raises:
            Interrupted: when `stopper` says so, after saving.
            Diverged: after ten updates in a row without a finite gradient, after a dump.
        """
        log = MetricsLog(self.directory.metrics)
        board = TensorBoard(self.directory.path / "tensorboard")
        with reporter or Reporter(quiet=True) as reporter, _cache_told(reporter):
            reporter.begin(self.total_updates * self.steps_per_update, len(self.members))
            reporter.stage("compiling")
            try:
                state = self._train(resume, log, board, reporter, stopper or Stopper())
                return self.policies(state)
            finally:
                log.close()
                board.close()

    def _train(self, resume, log, board, reporter, stopper) -> State:
        if resume:
            state, counters = self._restore()
            with may_fail_to(f"write in {self.directory.path}"):
                self.directory.keep(self.config)
            log.truncate_to(counters.log_bytes)
            reporter.note(self._where(counters.updates))
        else:
            state, counters = self.program.init(self.keys), Counters()
            self._save(state, counters, log, reporter)
        state, *_ = self.program.run(state, 0)  # compiles, so that rates below are of training
        self._saved_at = time.monotonic()
        stopper.begun = True
        reporter.stage("training")
        while counters.updates < self.total_updates:
            stopper.saved = ""
            end = counters.updates + self._next_chunk(counters.updates)
            state, last = self._advance(state, counters, end)
            reporter.advance(counters.updates * self.steps_per_update)
            finished = counters.updates == self.total_updates
            if counters.updates == end:
                self._report(state, counters, last, log, board, reporter)
            due = finished or stopper.requested or self._save_due()
            if due and self._save(state, counters, log, reporter):
                stopper.saved = f"continue with: {self._resume}"
            if stopper.requested and not finished:
                raise Interrupted(
                    f"stopped by {stopper.requested.name} at update {counters.updates}; "
                    f"continue with: {self._resume}"
                )
        self.write_evaluation(state, reporter)
        return state

    def _where(self, updates: int) -> str:
        """Where a run goes on, in steps."""
        step, total = (n * self.steps_per_update for n in (updates, self.total_updates))
        if updates < self.total_updates:
            return f"goes on at step {step:,} of {total:,}"
        return f"has made its {total:,} steps; with --steps N it goes on to N"

    def _advance(self, state: State, counters: Counters, end: int) -> tuple[State, Json]:
        """Makes about a second's worth of updates, none after `end`; also returns the metrics' last
        values. Sums go on in order, so that a row has the same bits however it is cut."""
        start, updates = time.monotonic(), min(self._slice, end - counters.updates)
        state, sums, last = self.program.run(state, updates, counters.row_sums)
        seconds = time.monotonic() - start
        counters.updates += updates
        counters.seconds += seconds
        counters.row_updates += updates
        counters.row_seconds += seconds
        counters.row_sums = {name: np.asarray(value).tolist() for name, value in sums.items()}
        self._slice = max(1, min(2 * self._slice, int(updates * LOOK_SECONDS / seconds)))
        return state, last

    def _report(self, state, counters, last, log, board, reporter) -> None:
        """Ends a row of metrics."""
        rows = self._rows(counters, last)
        counters.row_updates, counters.row_seconds, counters.row_sums = 0, 0.0, None
        if self._evaluation_due(counters.updates):
            self._add_evaluation(rows, state, counters, reporter)
            reporter.stage("training")
        for row in rows:
            log.append(row)
            board.write(row)
        for watch in self.watchers:
            watch(rows)
        reporter.update(_average(rows), last=counters.updates == self.total_updates)
        if max(row.get("skipped_in_a_row", 0) for row in rows) >= MAX_SKIPPED:
            self._dump(state, counters)

    # Chunks of updates, one a row of metrics. Their bounds depend on the configuration alone, so
    # that a resumed run writes the same rows.

    def _chunk(self) -> int:
        per_row = -(-self.total_updates // REPORTS)
        return max(1, min(per_row, CHUNK_STEPS // self.steps_per_update))

    def _next_chunk(self, done: int) -> int:
        until_evaluation = next(e for e in self._evaluation_points() if e > done) - done
        return min(self._chunk() - done % self._chunk(), until_evaluation)

    def _evaluation_points(self) -> list[int]:
        total = self.total_updates
        n = min(self.config.evaluations, total)
        return [round(total * (i + 1) / n) for i in range(n)]

    def _evaluation_due(self, done: int) -> bool:
        return done in self._evaluation_points()

    # Metrics.

    def _rows(self, counters: Counters, last: Json) -> list[Json]:
        """One row a member: means over the chunk's updates, or over the episodes that ended."""
        updates, rows = counters.row_updates, []
        rate = updates * self.steps_per_update * len(self.members) / counters.row_seconds
        for k, settings in enumerate(self.members):
            sums = {name: value[k] for name, value in (counters.row_sums or {}).items()}
            row = {"step": counters.updates * self.steps_per_update, **settings}
            episodes = sums.pop("episodes", 0.0)
            row |= dict.fromkeys(_EPISODES)
            for name in [n for n in sums if n.partition("/")[0].removesuffix("_sum") in _EPISODES]:
                value = sums.pop(name)
                row[name.replace("_sum", "", 1)] = value / episodes if episodes else None
            row["episodes"] = round(episodes * self.config.devices)  # devices report their mean
            for name, value in sums.items():
                row[name] = float(last[name][k]) if name.startswith(_LAST) else value / updates
            rows.append(row | {"seconds": counters.seconds, "steps_per_second": rate})
        return rows

    # Evaluation, always of the current parameters.

    def policies(self, state: State) -> list[Policy]:
        """The policy of every member."""
        return apart(self.program.policies(state), len(self.members))

    def _evaluation_key(self, updates: int) -> Key[Array, ""]:
        key = jax.random.fold_in(jax.random.key(self.config.seed), updates)
        return jax.random.fold_in(key, 0x5E0A1)  # apart from every training key

    def _add_evaluation(
        self, rows: list[Json], state: State, counters: Counters, reporter: Reporter
    ) -> None:
        policies = self.program.policies(state)
        greedy, sampled = self._play(policies, counters.updates, reporter)
        assessed = [self.env.assess(p) for p in apart(policies, len(self.members))]
        for row, found in zip(rows, evaluation_columns(self.env.spec, greedy, sampled, assessed)):
            row |= found
        new = score(self.env.spec, rows, assessed)
        if is_better(new, counters.best):
            better = dataclasses.replace(counters, best=new)
            try:
                self._write(eqx.filter(policies, eqx.is_array), better, name="best")
                counters.best = new
            except checkpoint.CheckpointError as error:
                reporter.note(f"warning: {error}; `best` stays as it was")

    def _play(self, policies: Policy, updates: int, reporter: Reporter) -> tuple[Returns, Returns]:
        """The evaluation after so many updates, greedy and sampled. The last one is remembered."""
        if self._played is None or self._played[0] != updates:
            reporter.stage(f"evaluating {self.config.eval_episodes:,} episodes")
            self._played = updates, self._stage.play(policies, self._evaluation_key(updates))
        return self._played[1]

    def write_evaluation(self, state: State, reporter: Reporter) -> None:
        """Writes `eval.json`: the final parameters, greedy and sampled, over seeds and episodes."""
        policies = self.program.policies(state)
        greedy, sampled = self._play(policies, self.total_updates, reporter)
        report = evaluation_report(self.config, self.env, greedy)
        drawn = evaluation_report(self.config, self.env, sampled)
        report |= {"sampled": drawn["return"], "sampled_metrics": drawn["metrics"]}
        report["members"] = [
            {**settings, "return": float(greedy.mean[k].mean())}
            for k, settings in enumerate(self.members)
        ]
        path = self.directory.path / "eval.json"
        try:
            write_json_atomic(path, report)
        except OSError as error:
            mend = f"once it can be, end the run with: {self._resume}"
            raise Failure(f"cannot write {path}: {error.strerror}; {mend}") from error

    @property
    def _resume(self) -> str:
        """The command that goes on with this run."""
        return to_type("shoal", "resume", self.directory.path)

    # Checkpoints.

    def _write(self, tree: PyTree, counters: Counters, name: str | None = None) -> None:
        extra = dataclasses.asdict(counters)
        root, step = self.directory.checkpoints, counters.updates * self.steps_per_update
        if name is None:
            checkpoint.save(root, step, tree, config_hash=self.config.hash, extra=extra, keep=KEEP)
        else:
            checkpoint.save_named(root, name, step, tree, config_hash=self.config.hash, extra=extra)

    def _save(self, state: State, counters: Counters, log, reporter: Reporter) -> bool:
        """Whether it was saved. A disk that is full costs a warning: the last good checkpoint is
        still there."""
        counters.log_bytes, start, saved = log.offset(), time.monotonic(), True
        try:
            self._write(self.program.fetch(state), counters)
        except checkpoint.CheckpointError as error:
            if counters.updates == 0:
                raise
            saved = False
            reporter.note(f"warning: {error}; the checkpoint before it is still good")
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start
        return saved

    def _save_due(self) -> bool:
        """After the seconds that the configuration says, or more where saving takes long."""
        wait = max(self.config.checkpoint_seconds, self._save_seconds / SHARE)
        return time.monotonic() - self._saved_at > wait

    def _dump(self, state: State, counters: Counters) -> None:
        self._write(self.program.fetch(state), counters, name="diverged")
        raise Diverged(
            f"no finite gradient in {MAX_SKIPPED} updates in a row; the state is kept in "
            f"{self.directory.checkpoints / 'diverged'}"
        )

    def _read(self, template: PyTree, **which: Any) -> checkpoint.Loaded:
        """A checkpoint; that it is an older one, or of another version of a library, is said on
        standard error."""
        root, config_hash = self.directory.checkpoints, self.config.hash
        loaded = checkpoint.load(root, template, config_hash=config_hash, **which)
        for warning in loaded.warnings:
            say(f"warning: {warning}")
        return loaded

    def _restore(self) -> tuple[State, Counters]:
        loaded = self._read(self.program.template(self.keys), fall_back=True)
        counters = Counters.of(loaded)
        whole = all(len(x) == len(self.members) for x in (counters.row_sums or {}).values())
        require(whole, f"{loaded.path}: row_sums is not of {len(self.members)} members")
        counters.best = self._best(counters.best)
        return self.program.place(loaded.state), counters

    def load(self, step: int | None = None) -> list[Policy]:
        """The policies of the last checkpoint, or of the one of that step. Who reads them need not
        have the devices of the run."""
        return self.policies(self._read(self.program.template(self.keys), step=step).state)

    def load_best(self) -> tuple[list[Policy], float | None]:
        """The policies of the best evaluation, and its score. Raises `UserError` where there is
        none yet."""
        template = self.program.policies_template(self.keys)
        shapes, structure = eqx.partition(template, is_shape)
        kept = self._read(shapes, name="best")
        policies = eqx.combine(jax.device_put(kept.state), structure)
        return apart(policies, len(self.members)), Counters.of(kept).best

    def _best(self, known: float | None) -> float | None:
        """The score of what `best` holds: the run may have been killed between a better evaluation
        and the next checkpoint."""
        try:
            _, found = self.load_best()
        except UserError:
            return known
        return found if known is None or found is None else max(found, known)


@contextlib.contextmanager
def _cache_told(reporter: Reporter) -> Iterator[None]:
    """Within it, it is shown whether a program that takes its time is compiled for the first time,
    or comes from the cache of compiled programs."""

    def listen(event: str, **_: Any) -> None:
        if event == "/jax/compilation_cache/compile_requests_use_cache":
            reporter.hint("the first time only: later runs take it from the cache", after=1.0)
        elif event == "/jax/compilation_cache/cache_hits":
            reporter.hint("from the cache")

    jax.monitoring.register_event_listener(listen)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_listener(listen)


def _average(rows: list[Json]) -> Json:
    """One row for the eye: means over the members that have a number."""
    found = {n: [r[n] for r in rows if isinstance(r[n], int | float)] for n in rows[0]}
    return {n: float(np.mean(numbers)) for n, numbers in found.items() if numbers}
