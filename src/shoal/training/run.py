"""Runs on the disk: load one, evaluate what was trained, and look at it."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from shoal import registry
from shoal.core.algorithm import Policy
from shoal.core.errors import require, unknown
from shoal.core.html_table import html_table
from shoal.core.names import heading, in_words
from shoal.core.teams import return_names
from shoal.envs.host.world import World
from shoal.runs.config import Config
from shoal.runs.durable import Json
from shoal.runs.evaluation_file import read_evaluation
from shoal.runs.fields import fields_of
from shoal.runs.run_directory import RunDirectory, read_metrics
from shoal.training.backend import backend_of, record
from shoal.training.devices import prepare
from shoal.training.elsewhere import act_in
from shoal.training.own_code import admit
from shoal.training.rebuild import made, read_config, rebuild
from shoal.training.scoring import evaluation_report, evaluation_summaries, shown_scores
from shoal.training.trainer import Trainer


@dataclass(frozen=True)
class Evaluation:
    """Scores over episodes: the return per agent, undiscounted and summed over an episode's steps,
    and each metric of the environment. `low` and `high` bound the mean at 95 %."""

    mean: float
    iqm: float
    low: float
    high: float
    metrics: dict[str, dict[str, float]]

    def __str__(self) -> str:
        """A line a score: its mean and its interval."""
        return "\n".join(f"{name:<26}{mean:>10}  {about}" for name, mean, about in self._rows())

    def _repr_html_(self) -> str:
        return html_table(["score", "mean", "95 % interval"], self._rows())

    def _rows(self) -> list[tuple[str, str, str]]:
        own = {"mean": self.mean, "low": self.low, "high": self.high}
        return [
            (name, f"{score['mean']:.3f}", f"[{score['low']:.3f}, {score['high']:.3f}]")
            for name, score in shown_scores(own, self.metrics).items()
        ]


@dataclass(frozen=True)
class Run:
    """A run on the disk: its policy (of the first member), metrics and final evaluation."""

    directory: Path
    config: Config
    env: World
    policy: Policy
    policies: list[Policy]

    @classmethod
    def of(cls, trainer: Trainer, policies: list[Policy]) -> "Run":
        """Where a trainer's run is, with those policies of it."""
        return cls(trainer.directory.path, trainer.config, trainer.env, policies[0], policies)

    @property
    def metrics(self) -> list[Json]:
        """The rows of `metrics.jsonl`."""
        return list(read_metrics(self.directory / "metrics.jsonl", "seed"))

    @property
    def evaluation(self) -> Json | None:
        """The content of `eval.json`, once training has finished."""
        path = self.directory / "eval.json"
        return read_evaluation(path) if path.is_file() else None

    def _repr_html_(self) -> str:
        """What was trained where, and how it ended: not how it is to be built again."""
        config, found = self.config, self.evaluation
        rows = [
            ("algorithm", heading(config.algorithm)),
            ("environment", heading(config.environment)),
            ("steps", f"{config.total_steps:,}"),
            ("seeds", str(config.seeds)),
            ("directory", str(self.directory)),
        ]
        scores = shown_scores(found["return"], found["metrics"]) if found else {}
        rows += [
            (name, f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]")
            for name, score in scores.items()
        ]
        return html_table(["run", ""], rows)

    def elsewhere(self, env: World) -> "Run":
        """The same policies in another environment: of another number of agents, which a policy
        for agents that share parameters and know no numbers of their own can play, or of other
        numbers.

        Raises:
            UserError: the policies do not fit.
        """
        algorithm = made("algorithm", registry.make_algorithm, self.config.algorithm, self.config)
        policies = act_in(env.spec, self.policies, algorithm, self.env.spec)
        fields = dict(fields_of(env))
        config = dataclasses.replace(
            self.config, environment=env.spec.name, environment_fields=fields
        )
        return dataclasses.replace(
            self, config=config, env=env, policy=policies[0], policies=policies
        )

    def save_replay(
        self,
        path: Path | str | None = None,
        *,
        format: Literal["html", "gif", "mp4"] = "html",
        episodes: int | None = None,
        seed: int = 0,
        greedy: bool = True,
        member: int = 0,
    ) -> Path:
        """Records episodes of a member's policy and draws them, as a page or a video.

        Args:
            path: the file; `replay.FORMAT` in the run's directory if not given, with the number of
                any member but the first.
            episodes: how many; 5 if not given, 1 where an environment draws itself step by step.

        Raises:
            UserError: there is no such format or member, the environment cannot draw itself, or mp4
                lacks the `video` extra.
        """
        from shoal.recording import replay_html, video

        save = {"html": replay_html.save_replay, "gif": video.save_gif, "mp4": video.save_mp4}
        if format not in save:
            raise unknown("format", format, save)
        most = len(self.policies) - 1
        require(0 <= member <= most, f"member is {member}, expected 0 to {most}")
        recording = record(
            self.policies[member],
            self.env,
            jax.random.key(seed),
            backend_of(self.env).shown if episodes is None else episodes,
            greedy=greedy,
            algorithm=heading(self.config.algorithm),
            seed=self.config.members()[member]["seed"],
        )
        number = f"_{member}" if member else ""
        path = Path(path) if path else self.directory / f"replay{number}.{format}"
        return save[format](recording, path)

    @cached_property
    def scripted(self) -> Evaluation | None:
        """What the environment's hand-written controller earns in 1,000 episodes, if it has one."""
        there = backend_of(self.env).has_script(self.env)
        return evaluate("scripted", self.env, episodes=1000) if there else None

    @cached_property
    def random(self) -> Evaluation | None:
        """What random play earns in 1,000 episodes, except in environments that processes step:
        those take their time."""
        on_host = backend_of(self.env).on_host
        return None if on_host else evaluate("random", self.env, episodes=1000)

    def save_curve(self, path: Path | str | None = None) -> Path:
        """Draws the return at evaluations, `curve.png` unless told otherwise: one line a setting of
        a sweep and a team of rivals, with the return in training pale behind, and of one team
        the scores of random and scripted play. Without evaluations, the return in training."""
        from shoal.runs.curve import Curve, curve_from_rows, save_curve

        config, rows = self.config, self.metrics
        teams = return_names(self.env.spec)[1:]
        settings = [{k: v for k, v in m.items() if k != "seed"} for m in config.members()]

        def curves(prefix: str, what: str) -> list[Curve]:
            return [
                curve_from_rows(
                    [row for row in rows if setting.items() <= row.items()],
                    what or ", ".join([called or heading(config.algorithm), *name.split("/")[1:]]),
                    prefix + name,
                )
                for setting in settings[:: config.seeds]
                for called in [in_words(setting)]
                for name in teams or ("return",)
            ]

        alone = {} if teams else {"scripted controller": self.scripted, "random play": self.random}
        beside = {name: found.mean for name, found in alone.items() if found is not None}
        evaluated = curves("eval_", "")
        good = any(len(curve.steps) for curve in evaluated)
        return save_curve(
            Path(path) if path else self.directory / "curve.png",
            evaluated if good else curves("", ""),
            behind=curves("", "in training, with exploration") if good else (),
            title=f"{heading(config.algorithm)} in {heading(config.environment)}",
            horizon=None if self.env.spec.endless else self.env.spec.horizon,
            beside=beside,
        )


def load(
    directory: Path | str,
    *,
    best: bool = False,
    checkpoint: int | None = None,
    env: World | str | None = None,
    trust: bool = False,
) -> Run:
    """Loads a run.

    A run of an algorithm or environment of one's own names its file, which is imported; that it
    will be is said on standard error.

    Args:
        directory: the run's.
        best: its parameters that scored best in an evaluation, not the last ones.
        checkpoint: those of the checkpoint of that step.
        env: as for `resume`.
        trust: whether a file in the run's own directory may be imported.

    Raises:
        UserError: the last checkpoint is damaged, and the line names the one before it; or code in
            the run's directory is not trusted.
    """
    require(not best or checkpoint is None, "best and checkpoint are both given: take one of them")
    run = RunDirectory.open(Path(directory))
    config = read_config(run)
    admit(config, run.path, environment=env is None, trust=trust)
    prepare(config.deterministic)
    trainer = Trainer(config.here(), *rebuild(config, env), run)
    return Run.of(trainer, trainer.load_best()[0] if best else trainer.load(checkpoint))


def evaluate(
    policy: Policy | str,
    env: World | str,
    *,
    episodes: int = 100,
    seed: int = 0,
    greedy: bool = True,
) -> Evaluation:
    """Plays whole episodes and summarises them.

    Args:
        policy: of all agents, or `"random"` or `"scripted"`: chance, a hand-written controller.
        env: what is played, or its name.
        episodes: how many.
        seed: of the episodes.
        greedy: whether agents take the likeliest action, or draw one.

    Raises:
        UserError: the policy does not fit the environment, which may have no controller.
    """
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    world: World = registry.make(env) if isinstance(env, str) else env
    returns = backend_of(world).play(policy, world, jax.random.key(seed), episodes, greedy)
    found = evaluation_summaries(world.spec, jax.tree.map(lambda x: np.asarray(x)[None], returns))
    return Evaluation(**found.pop("return"), metrics=found)


def evaluate_run(
    run: Run,
    *,
    episodes: int = 1000,
    seed: int = 1,
    greedy: bool = True,
    member: int | None = None,
) -> Json:
    """Fresh episodes with every member's policy, or with one, in the form that `shoal eval --json`
    prints. All members play the same episodes' starts; `members` has the return of each, `assessed`
    the mean over members of the environment's own measures (`Env.assess`), such as `nash_conv`.

    Raises:
        UserError: `episodes` is not positive, or there is no such member.
    """
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    most = len(run.policies)
    require(member is None or 0 <= member < most, f"member is {member}, expected 0 to {most - 1}")
    chosen = range(most) if member is None else [member]
    key = jax.random.key(seed)
    play = backend_of(run.env).play
    returns = [play(run.policies[k], run.env, key, episodes, greedy) for k in chosen]
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *returns)
    seeds = run.config.seeds if member is None else 1
    config = dataclasses.replace(run.config, eval_episodes=episodes, seeds=seeds)
    settings = run.config.members()
    scores = [{**settings[k], "return": float(r.mean.mean())} for k, r in zip(chosen, returns)]
    found = [run.env.assess(run.policies[k]) for k in chosen]
    assessed = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
    own = {"seed": seed, "members": scores, "assessed": assessed}
    return evaluation_report(config, run.env, stacked) | own
