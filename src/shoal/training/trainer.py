"""The loop around a compiled program: log, evaluate, save, stop, resume.

It knows learners only: what an algorithm is made of never shows here.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key


from shoal.analysis.statistics import summary
from shoal.core.algorithm import Algorithm, Policy
from shoal.core.env import Env
from shoal.core.errors import Failure, UserError
from shoal.interop.host.world import HostWorld, World
from shoal.training import checkpoint
from shoal.training.config import Config, Json
from shoal.training.evaluation import Returns, evaluate_policy
from shoal.training.host_evaluation import HostStage
from shoal.training.on_device import OnDevice
from shoal.training.on_host import HostProgram, OnHost
from shoal.training.program import Program, State, stack
from shoal.training.progress import Reporter
from shoal.training.run_directory import RunDirectory, write_json_atomic
from shoal.training.stopping import Stopper
from shoal.training.tensorboard import TensorBoard

REPORTS = 200  # rows of metrics in a run, unless rows would be further apart than a chunk
CHUNK_STEPS = 200_000  # most steps between two looks at the clock
KEEP = 2
MAX_SKIPPED = 10  # updates in a row without a finite gradient
Watcher = Callable[[list[Json]], None]  # is shown the members' rows; what it raises ends the run
WALL_CLOCK = ("seconds", "steps_per_second")  # fields that differ between identical runs


class Diverged(Failure):
    """Gradients stayed non-finite: the run was stopped and its state kept."""


class Interrupted(RuntimeError):
    """A signal ended the run after it was saved."""


@dataclasses.dataclass
class Counters:
    """What the host must remember beside the learner's state."""

    updates: int = 0
    seconds: float = 0.0
    log_bytes: int = 0
    best: float | None = None


class Trainer:
    """Trains K members of one algorithm in one environment, into a run directory."""

    def __init__(
        self,
        config: Config,
        algorithm: Algorithm,
        env: World,
        directory: RunDirectory,
        watchers: Sequence[Watcher] = (),
    ):
        algorithm.check(env.spec)
        self.config, self.env, self.directory = config, env, directory
        self.watchers = watchers
        self.members = config.members()
        self.algorithm = _scaled(config, algorithm)
        self.keys = jnp.stack([jax.random.key(m["seed"]) for m in self.members])
        learners = [_member(config, algorithm, env, settings) for settings in self.members]
        self._workers = contextlib.ExitStack()
        if isinstance(env, HostWorld):
            self.program = self._workers.enter_context(HostProgram(learners))
            self._stage = self._workers.enter_context(HostStage(env, config.eval_episodes))
            self._evaluate = self._evaluate_on_host
        else:
            self.program = Program(stack(learners), config.devices, config.member_devices)
            self._evaluate = jax.jit(self._evaluate_members)

    def run(self, *, resume: bool = False, quiet: bool = False) -> State:
        """Trains to the end and returns the last state.

        Raises:
            Interrupted: on SIGINT or SIGTERM, after saving.
            Diverged: after ten updates in a row without a finite gradient, after a dump.
        """
        log = self.directory.open_metrics()
        board = TensorBoard(self.directory.path / "tensorboard")
        total = self.config.total_updates * self.config.steps_per_update
        with self._workers, Reporter(total, quiet, len(self.members)) as reporter:
            try:
                with Stopper() as stopper:
                    return self._train(resume, log, board, reporter, stopper)
            finally:
                log.close()
                board.close()

    def _train(self, resume, log, board, reporter, stopper) -> State:
        config = self.config
        if resume:
            state, counters = self._restore(reporter)
            log.truncate_to(counters.log_bytes)
        else:
            state, counters = self.program.init(self.keys), Counters()
            self._save(state, counters, log, reporter)
        state, *_ = self.program.run(state, 0)  # compiles, so that rates below are of training
        saved_at = time.monotonic()
        while counters.updates < config.total_updates:
            start = time.monotonic()
            updates = self._next_chunk(counters.updates)
            state, total, last = self.program.run(state, updates)
            seconds = time.monotonic() - start
            counters.updates += updates
            counters.seconds += seconds
            rows = self._rows(counters, updates, seconds, total, last)
            if self._evaluation_due(counters.updates):
                self._add_evaluation(rows, state, counters, log)
            for row in rows:
                log.append(row)
                board.write(row)
            for watch in self.watchers:
                watch(rows)
            finished = counters.updates == config.total_updates
            reporter.update(_average(rows), last=finished)
            if max(row.get("skipped_in_a_row", 0) for row in rows) >= MAX_SKIPPED:
                self._dump(state, counters)
            if (
                finished
                or stopper.requested
                or time.monotonic() - saved_at > config.checkpoint_seconds
            ):
                self._save(state, counters, log, reporter)
                saved_at = time.monotonic()
            if stopper.requested and not finished:
                raise Interrupted(
                    f"stopped by {stopper.requested.name} at update {counters.updates}"
                )
        self.write_evaluation(state)
        return state

    # Chunks of updates. Their bounds depend on the configuration alone, so that a resumed run
    # writes the same rows.

    def _chunk(self) -> int:
        per_row = -(-self.config.total_updates // REPORTS)
        return max(1, min(per_row, CHUNK_STEPS // self.config.steps_per_update))

    def _next_chunk(self, done: int) -> int:
        until_evaluation = next(e for e in self._evaluation_points() if e > done) - done
        return min(self._chunk() - done % self._chunk(), until_evaluation)

    def _evaluation_points(self) -> list[int]:
        n, total = (
            min(self.config.evaluations, self.config.total_updates),
            self.config.total_updates,
        )
        return [round(total * (i + 1) / n) for i in range(n)]

    def _evaluation_due(self, done: int) -> bool:
        return done in self._evaluation_points()

    # Metrics.

    def _rows(
        self, counters: Counters, updates: int, seconds: float, total: Json, last: Json
    ) -> list[Json]:
        """One row a member: means over the chunk's updates, or over the episodes that ended."""
        steps = updates * self.config.steps_per_update
        rows = []
        for k, settings in enumerate(self.members):
            sums = {name: float(value[k]) for name, value in total.items()}
            row = {"step": counters.updates * self.config.steps_per_update, **settings}
            episodes = sums.pop("episodes")
            for name in ("return", "episode_length"):
                value = sums.pop(f"{name}_sum")
                row[name] = value / episodes if episodes else None
            row["episodes"] = round(episodes * self.config.devices)  # devices report their mean
            for name, value in sums.items():
                row[name] = float(last[name][k]) if name.startswith("skipped") else value / updates
            rate = steps * len(self.members) / seconds
            rows.append(row | {"seconds": counters.seconds, "steps_per_second": rate})
        return rows

    # Evaluation, always of the current parameters.

    def _evaluate_members(self, state: State, key: Key[Array, ""]) -> tuple[Returns, Returns]:
        """Greedy and sampled, `[K, E]`, all members on the same episodes' starts."""

        def one(algorithm_state: Any) -> tuple[Returns, Returns]:
            policy, env = self.algorithm.policy(algorithm_state), cast(Env, self.env)
            greedy, sampled = jax.random.split(key)
            n = self.config.eval_episodes
            return (
                evaluate_policy(policy, env, greedy, n, greedy=True),
                evaluate_policy(policy, env, sampled, n, greedy=False),
            )

        return jax.lax.map(one, state)

    def _evaluate_on_host(self, state: State, key: Key[Array, ""]) -> tuple[Returns, Returns]:
        """The same, played by worker processes."""
        returns = []
        for k in range(len(self.members)):
            policy = self.algorithm.policy(jax.tree.map(lambda x, k=k: x[k], state))
            greedy, sampled = jax.random.split(key)
            returns.append(
                (
                    self._stage.play_policy(policy, greedy, greedy=True),
                    self._stage.play_policy(policy, sampled, greedy=False),
                )
            )
        return jax.tree.map(lambda *xs: np.stack(xs), *returns)

    def _returns(self, state: State, updates: int) -> tuple[Returns, Returns]:
        key = jax.random.fold_in(jax.random.key(self.config.seed), updates)
        key = jax.random.fold_in(key, 0x5E0A1)  # apart from every training key
        return jax.device_get(self._evaluate(self._parameters(state), key))

    def _parameters(self, state: State) -> Any:
        """The algorithm's state of every member, from the first device (they agree)."""
        return jax.tree.map(lambda x: x[0], state.algorithm)

    def policies(self, state: State) -> list[Policy]:
        """The policy of every member."""
        parameters = self._parameters(state)
        return [
            self.algorithm.policy(jax.tree.map(lambda x, k=k: x[k], parameters))
            for k in range(len(self.members))
        ]

    def _add_evaluation(self, rows: list[Json], state: State, counters: Counters, log) -> None:
        greedy, sampled = self._returns(state, counters.updates)
        for k, row in enumerate(rows):
            row["eval_return"] = float(greedy.mean[k].mean())
            row["eval_return_sampled"] = float(sampled.mean[k].mean())
            row |= {f"eval_{n}": float(v[k].mean()) for n, v in greedy.metrics.items()}
        score = float(np.mean([row["eval_return"] for row in rows]))
        if np.isfinite(score) and (counters.best is None or score > counters.best):
            counters.best = score
            self._write(state, counters, name="best")

    def write_evaluation(self, state: State) -> None:
        """Writes `eval.json`: the final parameters, greedy and sampled, over seeds and episodes."""
        greedy, sampled = self._returns(state, self.config.total_updates)
        report = evaluation_report(self.config, self.env, greedy)
        report["sampled"] = evaluation_report(self.config, self.env, sampled)["return"]
        report["members"] = [
            {**settings, "return": float(greedy.mean[k].mean())}
            for k, settings in enumerate(self.members)
        ]
        write_json_atomic(self.directory.path / "eval.json", report)

    # Checkpoints.

    def _write(self, state: State, counters: Counters, name: str | None = None) -> None:
        extra = dataclasses.asdict(counters)
        root, step = self.directory.checkpoints, counters.updates * self.config.steps_per_update
        if name is None:
            checkpoint.save(root, step, state, config_hash=self.config.hash, extra=extra, keep=KEEP)
        else:
            checkpoint.save_named(
                root, name, step, state, config_hash=self.config.hash, extra=extra
            )

    def _save(self, state: State, counters: Counters, log, reporter: Reporter) -> None:
        """A disk that is full costs a warning: the last good checkpoint is still there."""
        counters.log_bytes = log.offset()
        try:
            self._write(state, counters)
        except checkpoint.CheckpointError as error:
            if counters.updates == 0:
                raise
            reporter.note(f"warning: {error}; the checkpoint before it is still good")

    def _dump(self, state: State, counters: Counters) -> None:
        self._write(state, counters, name="diverged")
        raise Diverged(
            f"no finite gradient in {MAX_SKIPPED} updates in a row; the state is kept in "
            f"{self.directory.checkpoints / 'diverged'}"
        )

    def _restore(self, reporter: Reporter) -> tuple[State, Counters]:
        template = self.program.template(self.keys)
        loaded = checkpoint.load(self.directory.checkpoints, template, config_hash=self.config.hash)
        for warning in loaded.warnings:
            reporter.note(f"warning: {warning}")
        counters = Counters(**loaded.extra)
        counters.best = self._best(template, counters.best)
        return self.program.place(loaded.state), counters

    def _best(self, template: State, known: float | None) -> float | None:
        """The score of what `best` holds: the run may have been killed between a better evaluation
        and the next checkpoint."""
        try:
            kept = checkpoint.load(
                self.directory.checkpoints, template, config_hash=self.config.hash, name="best"
            )
        except UserError:
            return known
        return max(kept.extra["best"], known if known is not None else -math.inf)


def _member(config: Config, algorithm: Algorithm, env: World, settings: Json) -> Any:
    """The learner of one member: its own values of the swept hyper-parameters."""
    swept = {name: value for name, value in settings.items() if name != "seed"}
    algorithm = _scaled(config, dataclasses.replace(algorithm, **swept))
    algorithm = jax.tree.map(jnp.asarray, algorithm)
    sizes = (config.num_envs, config.unroll, float(config.total_updates))
    if isinstance(env, HostWorld):
        return OnHost(algorithm, env, *sizes)
    return OnDevice(algorithm, env, *sizes)


def _scaled(config: Config, algorithm: Algorithm) -> Algorithm:
    return algorithm


def _average(rows: list[Json]) -> Json:
    """One row for the eye: means over the members that have a number."""
    found = {n: [r[n] for r in rows if isinstance(r[n], int | float)] for n in rows[0]}
    return {n: float(np.mean(numbers)) for n, numbers in found.items() if numbers}


def evaluation_report(config: Config, env: World, returns: Returns) -> Json:
    """The public form of an evaluation; `returns` has axes `[K, E]`."""
    per_agent = np.asarray(returns.per_agent)
    metrics = {name: np.asarray(value) for name, value in returns.metrics.items()}
    metrics |= {f"return/{a}": per_agent[..., i] for i, a in enumerate(env.spec.agents)}
    return {
        "algorithm": config.algorithm,
        "environment": config.environment,
        "episodes": config.eval_episodes,
        "seed": config.seed,
        "seeds": config.seeds,
        "return": summary(per_agent.mean(-1)),
        "metrics": {name: summary(value) for name, value in metrics.items()},
    }
