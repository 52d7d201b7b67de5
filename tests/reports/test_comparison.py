"""Comparisons against hand arithmetic, SciPy, their own promise of coverage, and runs on paper."""

import json
import time

import numpy as np
import pytest
from paper_runs import write_run
from scipy import stats

from shoal.core.errors import UserError
from shoal.math import statistics
from shoal.math.statistics import (
    improvement_interval,
    optimality_gap,
    performance_profile,
    pooled_iqm,
    probability_of_improvement,
    profile_interval,
    stratified_interval,
)
from shoal.reports.comparison import compare_groups
from shoal.reports.marl_eval import marl_eval_json
from shoal.reports.reference import NoReference, observed_reference, scripted_reference
from shoal.reports.run_groups import check_worlds, read_groups

# Statistics.


def test_aggregates_by_hand():
    """Two worlds of four seeds: world means 2.5 and 40, and of eight scores the middle four."""
    x = np.array([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 100.0]])
    assert statistics.mean(x) == 21.25
    assert statistics.median(x) == 21.25
    assert statistics.median(np.array([[1.0, 2.0, 9.0]])) == 2.0  # one world: over seeds
    assert statistics.median(np.array([[0.0, 2.0], [5.0, 7.0], [100.0, 100.0]])) == 6.0
    assert pooled_iqm(x) == (3 + 4 + 10 + 20) / 4
    assert optimality_gap(np.array([[0.5, 1.5], [0.0, 1.0]])) == pytest.approx(1 - 2.5 / 4)


@pytest.mark.parametrize("sizes", [(3, 5), (10, 10), (7, 2)])
def test_improvement_is_mann_whitneys_u_over_the_number_of_pairs(sizes):
    rng = np.random.default_rng(sum(sizes))
    x, y = (rng.integers(0, 6, (3, size)).astype(float) for size in sizes)  # with ties
    theirs = np.mean([stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(x, y)])
    assert probability_of_improvement(x, y) == pytest.approx(theirs)
    assert probability_of_improvement(y, x) == pytest.approx(1 - theirs)


def test_intervals_agree_with_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.exponential(size=(1, 40)), rng.exponential(size=(1, 30)) * 1.5

    def theirs(data, statistic):
        settings = dict(method="percentile", n_resamples=20_000, batch=1_000, rng=1)
        found = stats.bootstrap(data, statistic, vectorized=True, **settings)
        return found.confidence_interval

    interval = stratified_interval(pooled_iqm, x, resamples=20_000)

    def trimmed(a, axis):
        return stats.trim_mean(a, 0.25, axis=axis)

    assert interval == pytest.approx(theirs((x[0],), trimmed), abs=0.01)
    better = improvement_interval(x, y, resamples=20_000)

    def wins(a, b, axis):
        return (np.sign(a[..., :, None] - b[..., None, :]) + 1).mean((-2, -1)) / 2

    assert better == pytest.approx(theirs((x[0], y[0]), wins), abs=0.01)


def test_seeds_are_drawn_within_their_world():
    """Worlds far apart, seeds alike: drawing across worlds would give a wide interval."""
    x = np.array([[0.0, 0.1, 0.2, 0.1], [100.0, 100.1, 100.2, 100.1]])
    low, high = stratified_interval(statistics.mean, x)
    assert high - low < 0.2
    assert low < x.mean() < high


def test_stratified_intervals_cover_the_truth_about_as_often_as_they_say():
    samples = np.random.default_rng(5).normal(size=(400, 3, 15)) + np.array([[0], [5], [9]])
    low, high = stratified_interval(statistics.mean, samples, resamples=1000)
    truth = 14 / 3
    assert 0.90 < np.mean((low < truth) & (high > truth)) < 0.97


@pytest.mark.parametrize(("seeds", "least", "most"), [(2, 0.45, 0.60), (3, 0.70, 0.80)])
def test_of_few_seeds_intervals_are_as_bad_as_the_note_says(seeds, least, most):
    samples = np.random.default_rng(6).normal(size=(2000, 1, seeds))
    low, high = stratified_interval(statistics.mean, samples, resamples=500)
    assert least < np.mean((low < 0) & (high > 0)) < most


def test_profiles_by_hand():
    x = np.array([[1.0, 2.0, 3.0, 4.0]])
    thresholds = np.array([0.0, 1.0, 2.5, 4.0])
    assert performance_profile(x, thresholds).tolist() == [1, 0.75, 0.5, 0]
    low, high = profile_interval(x, thresholds)
    # Two of four seeds are above 2.5: a share of a resample is binomial(4, 1/2) / 4.
    assert (low[2], high[2]) == tuple(stats.binom(4, 0.5).ppf([0.025, 0.975]) / 4)
    assert (low[0], high[0], low[3], high[3]) == (1, 1, 0, 0)


# Reference scores.


def test_reference_scores():
    yard = observed_reference([-30.0, -10.0, -20.0])
    assert yard(np.array([-30.0, -10.0, -20.0])).tolist() == [0, 1, 0.5]
    with pytest.raises(NoReference, match="all seeds score the same"):
        observed_reference([1.0, 1.0])
    yard = scripted_reference("mpe/simple", {})
    assert yard.low < yard.high < 0 and "random play" in yard.text
    with pytest.raises(NoReference, match="no scripted controller"):
        scripted_reference("game/stag_hunt", {})
    with pytest.raises(NoReference, match="unknown environment"):
        scripted_reference("mpe/no_such_world", {})


# Runs.


def test_seeds_of_the_same_settings_are_one_group(tmp_path):
    runs = [
        write_run(tmp_path / "a", [-5.0, -6.0]),
        write_run(tmp_path / "b", [-7.0], seed=2),
        write_run(tmp_path / "c", [-9.0, -8.0], algo={"learning_rate": 0.1}),
        write_run(tmp_path / "d", [-20.0], algorithm="a2c", algo={"epochs": 1}),
    ]
    with pytest.raises(UserError, match="did you mean 'observed'"):
        compare_groups(read_groups(runs), reference="observd")
    report = compare_groups(read_groups(runs), reference="observed")
    (world,) = report["worlds"]
    assert report["environment"] == world["environment"] == "mpe/simple"
    names = {g["name"]: g for g in world["groups"]}
    assert list(names) == ["ippo, learning_rate 0.001", "ippo, learning_rate 0.1", "a2c"]
    first = names["ippo, learning_rate 0.001"]
    assert first["scores"] == [-5.0, -6.0, -7.0] and first["seeds"] == 3
    assert first["runs"] == [str(runs[0]), str(runs[1])]
    assert first["return"]["median"]["value"] == -6.0
    width = stats.t.ppf(0.975, 2) / 3**0.5  # of three scores a deviation of 1 apart
    assert first["return"]["mean"]["low"] == pytest.approx(-6.0 - width)
    assert first["return"]["mean"]["high"] == pytest.approx(-6.0 + width)
    assert first["settings"] == {"algo.epochs": None, "algo.learning_rate": 0.001}
    assert names["a2c"]["settings"] == {"algo.epochs": 1, "algo.learning_rate": 0.001}
    assert names["a2c"]["return"]["mean"] == {"value": -20.0, "low": None, "high": None}
    assert world["reference"]["low"] == -20.0 and world["reference"]["high"] == -5.0
    assert first["optimality_gap"]["value"] == pytest.approx(1 / 15)
    over = {(p["name"], p["over"]): p["value"] for p in world["improvement"]}
    assert len(over) == 3 and set(over.values()) == {1.0}
    assert any("one seed" in note for note in report["notes"])
    json.dumps(report, allow_nan=False)


def test_curves_are_interquartile_means_by_steps_and_seconds(tmp_path):
    runs = [
        write_run(tmp_path / "a", [0.0, 1.0, 2.0, 30.0]),
        write_run(tmp_path / "b", [9.0], seed=4),
    ]
    (group,) = compare_groups(read_groups(runs), reference="none")["worlds"][0]["groups"]
    assert group["curve"]["steps"] == [250, 500, 750, 1000]
    assert group["curve"]["seconds"] == [2, 4, 6, 8]
    assert group["curve"]["iqm"] == [-26, -16, -6, 4]  # of 0, 1, 2, 9, 30 the middle three
    assert all(a < 4 < b for a, b in zip(group["curve"]["low"][3:], group["curve"]["high"][3:]))


def test_agents_returns_come_from_a_run_that_is_whole(tmp_path):
    one = write_run(tmp_path / "a", [0.0, 2.0])
    (group,) = compare_groups(read_groups([one]), reference="none")["worlds"][0]["groups"]
    assert group["metrics"]["return/second"] == {"value": 1.0, "low": 0.0, "high": 2.0}
    assert group["metrics"]["success"]["value"] == pytest.approx(0.01)
    cut = compare_groups(read_groups([one], at_steps=500), reference="none")["worlds"][0]["groups"][
        0
    ]
    assert set(cut["metrics"]) == {"success"}


def test_a_sweep_is_a_group_for_each_value(tmp_path):
    run = write_run(tmp_path / "a", [1.0, 2.0, 11.0, 12.0], sweep={"clip": [0.1, 0.3]})
    (world,) = compare_groups(read_groups([run]), reference="none")["worlds"]
    assert [(g["name"], g["scores"]) for g in world["groups"]] == [
        ("ippo, clip 0.3", [11.0, 12.0]),
        ("ippo, clip 0.1", [1.0, 2.0]),
    ]


def test_at_steps_cuts_scores_and_curves(tmp_path):
    runs = [
        write_run(tmp_path / "a", [0.0, 1.0]),
        write_run(tmp_path / "b", [5.0, 6.0], algorithm="a2c", steps=2000, finished=False),
    ]
    with pytest.raises(UserError, match="has not finished: continue it with `shoal resume"):
        read_groups(runs)
    (world,) = compare_groups(read_groups(runs, at_steps=1000), reference="none")["worlds"]
    found = {g["name"]: g for g in world["groups"]}
    assert found["ippo"]["scores"] == [0.0, 1.0]
    assert found["a2c"]["scores"] == [-15.0, -14.0]  # half way
    assert found["a2c"]["curve"]["steps"] == [500, 1000]
    # An update of 100 steps reaches 951 with its 1,000th step; 900 is before that evaluation.
    assert read_groups(runs[:1], at_steps=951)["mpe/simple"][0].scores.tolist() == [0.0, 1.0]
    assert read_groups(runs[:1], at_steps=900)["mpe/simple"][0].scores.tolist() == [-10.0, -9.0]


def test_what_is_unfair_is_refused_by_name(tmp_path):
    plain = write_run(tmp_path / "plain", [0.0])
    long = write_run(tmp_path / "long", [0.0], steps=2000)
    other = write_run(tmp_path / "other", [0.0], env={"num_agents": 5})
    again = write_run(tmp_path / "again", [0.5])
    with pytest.raises(UserError, match=r"\(1,000, 2,000\): cut all curves.*--at-steps 1000"):
        read_groups([plain, long])
    with pytest.raises(UserError, match=r"env.num_agents is None or 5"):
        read_groups([plain, other])
    with pytest.raises(UserError, match=r"plain and .*again both hold seed 0"):
        read_groups([plain, again])
    with pytest.raises(UserError, match="the same run is there twice"):
        read_groups([plain, plain.parent / "." / "plain"])
    with pytest.raises(UserError, match="made 1,000 steps, fewer than --at-steps 1,500"):
        read_groups([plain, long], at_steps=1500)
    with pytest.raises(UserError, match="first evaluated at step 250, after --at-steps 100"):
        read_groups([plain], at_steps=100)
    with pytest.raises(UserError, match="expected at least 1"):
        read_groups([plain], at_steps=0)


def test_a_seed_that_ends_without_a_number_is_refused(tmp_path):
    run = write_run(tmp_path / "a", [0.0, 1.0])
    evaluation = json.loads((run / "eval.json").read_text())
    evaluation["members"][1]["return"] = None
    (run / "eval.json").write_text(json.dumps(evaluation))
    with pytest.raises(UserError, match=r"seed 1 of .* ends without a finite return"):
        read_groups([run])


def two_worlds(folder):
    """`ippo` and `a2c` in two worlds of different scale, and `vdn` in one of them."""
    return [
        write_run(folder / "a", [10.0, 12.0, 14.0]),
        write_run(folder / "b", [0.0, 2.0, 4.0], algorithm="a2c"),
        write_run(folder / "c", [1000.0, 1200.0, 1400.0], world="mpe/simple_tag"),
        write_run(folder / "d", [1300.0, 1250.0, 0.0], algorithm="a2c", world="mpe/simple_tag"),
        write_run(folder / "e", [3.0, 3.0], algorithm="vdn"),
    ]


def test_worlds_are_averaged_by_a_reference_score_or_not_at_all(tmp_path):
    groups = read_groups(two_worlds(tmp_path))
    report = compare_groups(groups, reference="observed")
    assert report["environment"] is None and len(report["worlds"]) == 2
    aggregate = report["aggregate"]
    best, worst = aggregate["groups"]
    # World by world, 0 to 14 and 0 to 1,400 become 0 to 1.
    ippo = np.array([[10, 12, 14], [10, 12, 14]]) / 14
    a2c = np.array([[0, 2, 4], [13, 12.5, 0]]) / 14
    assert (best["name"], worst["name"]) == ("ippo", "a2c")
    assert best["score"]["mean"]["value"] == pytest.approx(ippo.mean())
    assert worst["score"]["iqm"]["value"] == pytest.approx(stats.trim_mean(a2c, 0.25, axis=None))
    assert worst["optimality_gap"]["value"] == pytest.approx(1 - a2c.mean())
    (pair,) = aggregate["improvement"]
    assert pair["value"] == pytest.approx((9 / 9 + 5 / 9) / 2)
    (note,) = [note for note in report["notes"] if note.startswith("left out over worlds")]
    assert note.endswith(": vdn")
    bare = compare_groups(groups, reference="none")["aggregate"]
    assert bare["groups"] == [] and bare["improvement"][0]["value"] == pair["value"]


def test_runs_that_are_alone_in_their_worlds_are_refused(tmp_path):
    runs = two_worlds(tmp_path)
    with pytest.raises(UserError, match=r"different worlds cannot be compared.*is of mpe/simple_t"):
        check_worlds([runs[0], runs[2]])
    check_worlds(runs[:3])
    check_worlds(runs[:1])
    sweep = write_run(tmp_path / "s", [1.0, 2.0], world="mpe/simple_tag", sweep={"clip": [1, 2]})
    check_worlds([runs[0], sweep])


def test_returns_that_cancel_out_are_pointed_at(tmp_path):
    runs = [
        write_run(tmp_path / "a", [0.0, 0.0]),
        write_run(tmp_path / "b", [0.0], algorithm="a2c"),
    ]
    notes = compare_groups(read_groups(runs), reference="none")["notes"]
    assert any("cancel out" in note for note in notes)


def test_ten_runs_of_ten_seeds_take_a_moment(tmp_path):
    rng = np.random.default_rng(0)
    runs = [
        write_run(tmp_path / str(k), rng.normal(k, 5, 10).tolist(), algo={"learning_rate": k})
        for k in range(10)
    ]
    groups = read_groups(runs)
    start = time.process_time()
    report = compare_groups(groups, reference="observed")
    assert time.process_time() - start < 4  # under a second where types are not checked
    assert len(report["worlds"][0]["improvement"]) == 45
    assert compare_groups(groups, reference="observed") == report  # the same draws


# marl-eval.


def test_marl_eval_layout(tmp_path):
    out = marl_eval_json(read_groups(two_worlds(tmp_path)[:4]))
    assert set(out) == {"mpe"} and set(out["mpe"]) == {"simple", "simple_tag"}
    run = out["mpe"]["simple_tag"]["a2c"]["seed_1"]
    assert list(run) == ["step_0", "step_1", "step_2", "step_3", "absolute_metrics"]
    assert run["step_0"] == {"step_count": 250, "return": [1220.0], "success": [12.5]}
    assert run["absolute_metrics"] == {"return": [1250.0], "success": [12.5]}


def test_marl_eval_refuses_what_it_could_not_read(tmp_path):
    runs = two_worlds(tmp_path)
    with pytest.raises(UserError, match="as many seeds in each group; here are 2 and 3"):
        marl_eval_json(read_groups(runs))
    with pytest.raises(UserError, match=r"same algorithms in mpe/simple and mpe/simple_tag.*a2c"):
        marl_eval_json(read_groups(runs[:3]))
    group = read_groups([runs[0], write_run(tmp_path / "f", [1.0, 2.0, 3.0], algo={"clip": 1})])
    assert all("," not in name for name in marl_eval_json(group)["mpe"]["simple"])
