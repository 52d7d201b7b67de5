"""What evaluations report: by team, by role where agents are many, by what a tree says exactly."""

import time
from pathlib import Path

import jax
import numpy as np
import pytest

import shoal
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.spaces import Discrete
from shoal.envs.particle.simple_push import SimplePush
from shoal.games import kuhn
from shoal.math.statistics import summaries, summary
from shoal.runs.curve import Curve
from shoal.training import run as runs
from shoal.training.evaluation import Returns
from shoal.training.progress import Reporter
from shoal.training.scoring import (
    evaluation_summaries,
    is_better,
    return_columns,
    score,
    shown_scores,
)
from shoal.training.trainer import Trainer

SETTINGS = dict(total_steps=400, num_envs=8, unroll=25, evaluations=2, eval_episodes=4)
SMALL = dict(hidden=(8,), minibatches=2, epochs=1)


@pytest.fixture(scope="module")
def push(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    out = tmp_path_factory.mktemp("runs") / "push"
    return shoal.train("ippo", "mpe/simple_push", out=out, **SMALL, **SETTINGS)


def test_rivals_are_told_apart_in_rows_and_reports(push: runs.Run) -> None:
    for row in push.metrics:
        pair = [row["return/adversary"], row["return/agent"]]
        assert row["return"] == pytest.approx(np.mean(pair), rel=1e-5) and pair[0] != pair[1]
        if "eval_return" in row:
            pair = [row["eval_return/adversary"], row["eval_return/agent"]]
            assert row["eval_return"] == pytest.approx(np.mean(pair), rel=1e-5)
    assert push.evaluation is not None
    metrics = push.evaluation["metrics"]
    assert metrics["return/adversary"] == metrics["return/adversary_0"]
    assert metrics["return/agent"]["mean"] == pytest.approx(
        push.metrics[-1]["eval_return/agent"], rel=1e-5
    )


def test_the_newest_policy_of_rivals_is_the_best(push: runs.Run) -> None:
    kept = runs.load(push.directory, best=True)
    for a, b in zip(jax.tree.leaves(kept.policy), jax.tree.leaves(push.policy), strict=True):
        np.testing.assert_array_equal(a, b)
    (path,) = (push.directory / "checkpoints" / "best").iterdir()
    assert path.name == "step_400"


def test_what_counts_as_the_best() -> None:
    team, rivals = shoal.make("mpe/simple_spread").spec, SimplePush().spec
    rows = [{"eval_return": 1.0}, {"eval_return": 3.0}]
    assert score(team, rows, [{}, {}]) == 2.0 and score(rivals, rows, [{}, {}]) is None
    assert score(rivals, rows, [{"nash_conv": 0.5, "x": 9.0}, {"nash_conv": 1.5}]) == -1.0
    assert is_better(None, None) and is_better(None, 5.0)
    assert is_better(1.0, None) and is_better(2.0, 1.0) and not is_better(1.0, 1.0)
    assert not is_better(float("nan"), None)


def test_trees_say_how_far_from_equilibrium_and_best_goes_by_it(tmp_path) -> None:
    settings = SETTINGS | dict(total_steps=1_000, evaluations=5, num_envs=8, unroll=5)
    run = shoal.train("ippo", "game/kuhn", out=tmp_path / "k", **SMALL, **settings)
    found = {r["step"]: r["eval_nash_conv"] for r in run.metrics if "eval_nash_conv" in r}
    assert len(found) == 5
    (path,) = (run.directory / "checkpoints" / "best").iterdir()
    assert int(path.name.split("_")[1]) == min(found, key=found.__getitem__)
    assert run.env.assess(run.policy)["nash_conv"] == pytest.approx(found[1_000])


def test_nash_conv_is_that_of_the_tree() -> None:
    env = shoal.make("game/kuhn")
    uniform = env.as_policy(kuhn().uniform())
    assert env.assess(uniform)["nash_conv"] == pytest.approx(11 / 12, abs=1e-6)
    recurrent = shoal.make_algorithm("ippo", recurrent=4, **SMALL)
    remembers = recurrent.policy(recurrent.init(env.spec, jax.random.key(0)))
    assert env.assess(remembers) == {} == shoal.make("mpe/simple").assess(uniform)


def crowd(count: int) -> EnvSpec:
    """A third of them shepherds, of a team of their own; the others sheep of two breeds."""
    kinds = [i % 3 for i in range(count)]
    words = ("shepherd", "white_sheep", "black_sheep")
    return EnvSpec(
        *("crowd", tuple(f"{words[kind]}_{i}" for i, kind in enumerate(kinds)), (1,) * count),
        *(Discrete((2,) * count), 1),
        teams=tuple(min(kind, 1) for kind in kinds),
        roles=tuple(kinds),
    )


def test_many_agents_are_reported_by_team_and_role() -> None:
    returns = np.arange(2 * 5 * 30, dtype=float).reshape(2, 5, 30)
    found = return_columns(crowd(30), returns)
    roles = ["return/white_sheep", "return/black_sheep"]
    assert list(found) == ["return/shepherd", "return/team_1", *roles]
    np.testing.assert_array_equal(found["return/shepherd"], returns[..., ::3].mean(-1))
    np.testing.assert_array_equal(found["return/black_sheep"], returns[..., 2::3].mean(-1))
    few = return_columns(crowd(6), returns[..., :6])
    assert len(few) == 2 + 6 and "return/white_sheep" not in few


def test_one_bootstrap_gives_each_column_what_its_own_gives() -> None:
    rng = np.random.default_rng(0)
    columns = {f"c{i}": rng.normal(i, 1 + i, (3, 20)) for i in range(4)}
    for name, found in summaries(columns).items():
        assert found == pytest.approx(summary(columns[name]), rel=1e-12)
    assert summaries({}) == {}


def test_two_thousand_agents_are_summarised_in_two_seconds() -> None:
    returns = np.random.default_rng(0).normal(size=(1, 1000, 2000)).astype(np.float32)
    start = time.process_time()
    evaluation_summaries(crowd(2000), Returns(returns, {}))
    summaries({str(i): returns[..., i] for i in range(2000)})
    assert time.process_time() - start < 2


def test_saving_takes_its_share_of_the_time_at_most(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save that takes a second is followed by twenty without one."""
    clock = [0.0]
    monkeypatch.setattr("shoal.training.trainer.time.monotonic", lambda: clock[0])
    trainer = Trainer.__new__(Trainer)
    trainer._saved_at, trainer._save_seconds = 100.0, 1.0
    trainer.config = runs.Config("x", {}, "y", {}, 1, 1, 1, checkpoint_seconds=3.0)
    for seconds, due in ((19.0, False), (21.0, True)):
        clock[0] = 100.0 + seconds
        assert trainer._save_due() is due
    trainer._save_seconds = 0.01
    for seconds, due in ((2.9, False), (3.1, True)):
        clock[0] = 100.0 + seconds
        assert trainer._save_due() is due


def test_pictures_tell_rivals_apart(push: runs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.cli import finish
    from shoal.recording.replay_html import to_json
    from shoal.training.backend import record

    drawn: list[Curve] = []
    pale: list[Curve] = []

    def draw(path: Path, curves: list[Curve], behind: list[Curve], **_: object) -> Path:
        drawn.extend(curves)
        pale.extend(behind)
        return path

    monkeypatch.setattr("shoal.runs.curve.save_curve", draw)
    push.save_curve()
    assert [curve.label for curve in drawn] == ["ippo, adversary", "ippo, agent"]
    last = push.metrics[-1]
    for curves, name in ((drawn, "eval_return"), (pale, "return")):
        found = [curve.returns[-1, 0] for curve in curves]
        assert found == [last[f"{name}/adversary"], last[f"{name}/agent"]]
    replay = to_json(record(push.policy, push.env, jax.random.key(0), 1))
    assert replay["teams"] == [["adversary", [0]], ["agent", [1]]]
    said = finish.panel(push, None, push.scripted, {})
    assert said[2].split() == ["mean", "95", "%", "scripted"]
    assert [line.split()[:3] for line in said[3:5]] == [
        ["return", "of", "adversary"],
        ["return", "of", "agent"],
    ]
    assert not any("of the way" in line or "per agent" in line for line in said)


def test_the_progress_line_has_each_team(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"step": 500.0, "steps_per_second": 100.0, "return": 0.0, "eval_return": 0.0}
    row |= {"return/wolf": 1.5, "return/good_hare": -1.5, "eval_return/wolf": 2.0}
    with Reporter() as reporter:
        reporter.begin(1000)
        reporter.update(row | {"eval_nash_conv": 0.25, "loss": 3.0}, last=True)
    assert capsys.readouterr().err.split(" · ")[2:-1] == [
        *("return of wolf 1.50", "return of good hare -1.50", "eval return of wolf 2.00"),
        *("eval nash conv 0.25", "loss 3.00"),
    ]


def test_a_replay_of_no_member_is_one_line(push: runs.Run) -> None:
    with pytest.raises(UserError, match="member is 7, expected 0 to 0"):
        push.save_replay(member=7)


def test_who_is_alone_has_one_return() -> None:
    own, other = {"mean": 1.0}, {"mean": 2.0}
    assert shown_scores(own, {"return/a": own}) == {"return per agent": own}
    found = shown_scores(own, {"return/a": own, "return/b": other, "goals": other})
    assert list(found) == ["return per agent", "return/a", "return/b", "goals"]
