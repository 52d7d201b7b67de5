"""Optuna's study of a plan, in an append-only journal that survives `kill -9` at any moment.

Whatever ends a process leaves its trial in the state *running*. Who next opens the study, alone,
marks such trials as failed and queues their parameters again (`release`).
Trials are drawn by TPE (Bergstra et al. 2011; Watanabe 2023, arXiv:2304.11127) and pruned against
the median (Golovin et al. 2017).
"""

import fcntl
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from shoal.core.errors import UserError, not_installed
from shoal.tuning.plan import Plan

try:
    import optuna
    from optuna.samplers import BaseSampler, TPESampler
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as error:
    raise not_installed("Optuna", "tune") from error

__all__ = ["Study", "Trial", "TrialState", "next_trial", "open_study", "release", "was_lost"]

Study = optuna.Study
JOURNAL, QUEUE_LOCK = "study.journal", "queue.lock"
RANDOM_TRIALS = 10  # before the sampler learns from others
PRUNER_TRIALS = 5  # before there is a median to speak of
WARM_UP = 0.25  # the share of a training in which nothing is pruned

optuna.logging.set_verbosity(optuna.logging.ERROR)  # we say what happens


class _Lock:
    """Optuna's lock of a journal, but one that the operating system releases when its process
    ends, however it ends."""

    def __init__(self, path: Path):
        self._path = path
        self._descriptor = -1

    def acquire(self) -> bool:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _Sampler(BaseSampler):
    """TPE whose random numbers depend on the seed and the trial's place alone. So a study that was
    stopped goes on as if it never had been, and no two workers draw the same."""

    def __init__(self, seed: int):
        self._seed = seed
        self._tpe = _tpe(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        earlier = study.get_trials(deepcopy=False)[: trial.number]
        place = trial.number - sum(map(was_lost, earlier))
        seed = int(np.random.SeedSequence([self._seed, place]).generate_state(1)[0])
        self._tpe = _tpe(seed)
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


def _tpe(seed: int) -> TPESampler:
    """Parameters are drawn jointly, away from those that other workers try at the moment."""
    with warnings.catch_warnings():  # what was an experiment in Optuna 4.0 is the default in 5.0
        warnings.simplefilter("ignore")
        return TPESampler(
            seed=seed, n_startup_trials=RANDOM_TRIALS, multivariate=True, constant_liar=True
        )


def open_study(directory: Path, plan: Plan) -> Study:
    """The study in a directory, begun if there is none: its first trial has the plan's own values.

    Raises:
        UserError: the journal is damaged in the middle, which no kill does.
    """
    path = directory / JOURNAL
    lock = _Lock(path)
    _mend(path, lock)
    try:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path), lock_obj=lock)),  # type: ignore
            study_name=f"{plan.algorithm} {plan.environment}",
            direction="maximize" if plan.goal == "max" else "minimize",
            sampler=_Sampler(plan.seed),
            pruner=optuna.pruners.MedianPruner(PRUNER_TRIALS, round(WARM_UP * plan.last_step)),
            load_if_exists=True,
        )
    except (ValueError, KeyError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _mend(path: Path, lock: _Lock) -> None:
    """Cuts off a last line that was not written to its end."""
    if not path.is_file():
        return
    with lock:
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def was_lost(trial: FrozenTrial) -> bool:
    """Whether a trial ended with its process. One that failed by itself says why."""
    return trial.state == TrialState.FAIL and "reason" not in trial.user_attrs


def begin(study: Study, plan: Plan) -> None:
    """Queues the plan's own values as the first trial. Call it alone."""
    start = plan.start()
    if not study.get_trials(deepcopy=False) and len(start) == len(plan.space):
        study.enqueue_trial(start, user_attrs={"given": start})


def release(study: Study, trial: FrozenTrial) -> None:
    """Marks a trial whose process ended as failed, and queues its parameters again.

    In this order: if this process ends in between, the next one finds the queued trial."""
    queued = [t.user_attrs.get("again") for t in study.get_trials(deepcopy=False)]
    if trial.number not in queued:
        given = {**trial.user_attrs.get("given", {}), **trial.params}
        study.enqueue_trial(given, user_attrs={"given": given, "again": trial.number})
    study.tell(trial.number, state=TrialState.FAIL)


def release_all(study: Study) -> list[int]:
    """Releases every trial that is said to be running. Call it while no worker lives."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in running:
        release(study, trial)
    return [trial.number for trial in running]


def next_trial(study: Study, plan: Plan, directory: Path, trials: int) -> Trial | None:
    """A trial to run, or `None` once `trials` have begun; those that were lost do not count."""
    with _Lock(directory / QUEUE_LOCK):
        begun = [
            t
            for t in study.get_trials(deepcopy=False)
            if t.state != TrialState.WAITING and not was_lost(t)
        ]
        if len(begun) >= trials:
            return None
        return study.ask({d.name: d.distribution() for d in plan.space})
