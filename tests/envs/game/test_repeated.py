"""Repeated games as worlds: payoffs, what players remember, and what a run keeps of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.cli.main import run as main
from shoal.core.errors import UserError
from shoal.envs.game.repeated import RepeatedGame, repeated
from shoal.envs.payoff_table import CHOSEN
from shoal.games import NormalForm, classic, equilibria, random_game, regret
from shoal.runs.fields import fields_of, from_fields
from shoal.training.evaluation import evaluate_policy
from shoal.training.run import evaluate_run

PENNIES = classic("matching_pennies")
FAIR = ([0.5, 0.5], [0.5, 0.5])
SMALL = dict(hidden=(4,), minibatches=2, epochs=1)
REMEMBERS = repeated(PENNIES, rounds=2, memory=1)


def steps(world, actions):
    state, shown = world.reset(jax.random.key(0))
    out = [shown]
    for action in actions:
        state, shown = world.step(jax.random.key(0), state, jnp.array(action))
        out.append(shown)
    return out


def test_each_cell_pays_what_the_game_says():
    game = random_game((2, 3, 2), seed=4)
    world = repeated(game)
    for cell in np.ndindex(*game.num_actions):
        _, shown = steps(world, [cell])
        assert np.allclose(shown.reward, game.payoffs[(slice(None), *cell)], atol=1e-6)
        assert shown.terminated.all() and not shown.truncated.any() and not shown.active.any()


def test_memory_shows_own_action_first_and_the_last_round_first():
    world = shoal.make("game/prisoners_dilemma", rounds=3, memory=2)
    cooperate, defect, none = [1, 0], [0, 1], [0, 0]
    start, one, two, three = (np.asarray(s.obs) for s in steps(world, [(0, 1), (1, 1), (0, 0)]))
    assert np.array_equal(start, [none * 4] * 2)
    assert np.array_equal(one, [cooperate + defect + none * 2, defect + cooperate + none * 2])
    assert np.array_equal(two, [defect * 2 + cooperate + defect, defect * 2 + defect + cooperate])
    assert np.array_equal(three, [cooperate * 2 + defect * 2] * 2)
    ends = [bool(s.done) for s in steps(world, [(0, 1), (1, 1), (0, 0)])]
    assert ends == [False, False, False, True]


def test_rates_name_the_actions():
    world = shoal.make("game/chicken", rounds=4)
    shown = steps(world, [(0, 1)])[-1].metrics
    assert {name: float(x) for name, x in shown.items()} == {
        "player_1/yield": 1.0,
        "player_1/dare": 0.0,
        "player_2/yield": 0.0,
        "player_2/dare": 1.0,
    }


def test_unequal_players_are_padded_and_masked():
    world = repeated(random_game((2, 3), seed=0), memory=1)
    shown = steps(world, [(1, 2)])[-1]
    assert np.array_equal(shown.action_mask, [[True, True, False], [True, True, True]])
    assert np.array_equal(shown.obs, [[0, 1, 0, 0, 1], [0, 0, 1, 0, 1]])


def test_a_run_keeps_the_game():
    world = repeated(random_game((2, 3), seed=1), rounds=5, memory=1)
    again = shoal.make("game/matrix", **from_fields(fields_of(world)))
    assert np.array_equal(again.payoffs, world.payoffs)
    assert again.spec == world.spec and again.rounds == 5


def test_a_profile_becomes_a_policy_and_back():
    game = classic("rock_paper_scissors")
    world = repeated(game)
    profile = [np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.4, 0.0])]
    policy = world.as_policy(profile)
    found = world.behaviour(policy)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(found, profile))
    assert regret(game, found) == pytest.approx(regret(game, profile), abs=1e-6)
    returns = evaluate_policy(policy, world, jax.random.key(0), 20_000, greedy=False).per_agent
    expected = profile[0] @ game.payoffs[0] @ profile[1]
    assert np.asarray(returns).mean(0) == pytest.approx([expected, -expected], abs=0.025)  # 4 sigma


def test_nash_conv_is_the_sum_of_what_players_gain_by_deviating():
    world = repeated(NormalForm.bimatrix([[4, 0, 1], [2, 3, 5]], [[1, 3, 0], [2, 0, 6]]), rounds=3)
    policy = world.as_policy([[0.25, 0.75], [0.5, 0.5, 0.0]])
    # row: [2, 2.5], plays 2.375; column: [1.75, 0.75, 4.5], plays 1.25
    assert world.assess(policy) == {"nash_conv": pytest.approx(0.125 + 3.25, abs=1e-6)}
    solved = world.as_policy(equilibria(world.game)[0])
    assert world.assess(solved)["nash_conv"] == pytest.approx(0.0, abs=1e-6)


def test_players_who_remember_are_not_assessed():
    for world, recurrent in ((REMEMBERS, 0), (repeated(PENNIES), 4)):
        learner = shoal.make_algorithm("ippo", recurrent=recurrent, **SMALL)
        policy = learner.policy(learner.init(world.spec, jax.random.key(0)))
        assert world.assess(policy) == {}


def test_runs_in_tables_follow_nash_conv(tmp_path, capsys):
    run = shoal.train(
        "ippo",
        "game/matching_pennies",
        out=tmp_path / "pennies",
        **SMALL,
        **dict(total_steps=400, num_envs=8, unroll=5, evaluations=5, eval_episodes=4),
    )
    found = {r["step"]: r["eval_nash_conv"] for r in run.metrics if "eval_nash_conv" in r}
    (path,) = (run.directory / "checkpoints" / "best").iterdir()
    assert len(found) == 5
    assert int(path.name.split("_")[1]) == min(found, key=found.__getitem__)
    conv = evaluate_run(run, episodes=2)["assessed"]["nash_conv"]
    assert conv == pytest.approx(found[max(found)]) and conv > 0
    for how, noted in (("True", True), ("False", False)):
        assert main(["eval", str(run.directory), "--episodes", "2", "--greedy", how]) == 0
        said = capsys.readouterr().out
        assert f"{conv:.3f}" in said and ("--greedy False draws" in said) == noted


def test_payoffs_are_a_task_distribution():
    games = [random_game((2, 2), seed=s) for s in range(3)]
    worlds = jax.tree.map(lambda *xs: jnp.stack(xs), *(repeated(g) for g in games))

    def reward(world):
        state, _ = world.reset(jax.random.key(0))
        return world.step(jax.random.key(0), state, jnp.array([0, 1]))[1].reward

    found = jax.vmap(reward)(worlds)
    assert np.allclose(found, [g.payoffs[:, 0, 1] for g in games], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RepeatedGame(payoffs=[[1, 2], [3]]), "ragged"),
        (lambda: RepeatedGame(rounds=0), "rounds is 0, expected at least 1"),
        (lambda: shoal.make("game/chicken", memroy=1), "did you mean 'memory'"),
        (lambda: REMEMBERS.behaviour(repeated(PENNIES).as_policy(FAIR)), "set memory to 0"),
        (lambda: REMEMBERS.as_policy(FAIR), "set memory to 0"),
    ],
)
def test_mistakes_are_named(make, said):
    with pytest.raises(UserError, match=said):
        make()


def test_the_table_is_drawn_with_the_last_cell_marked():
    world = shoal.make("game/prisoners_dilemma", rounds=2)
    state, _ = world.reset(jax.random.key(0))
    before = world.draw(state)
    after = world.draw(world.step(jax.random.key(0), state, jnp.array([1, 0]))[0])
    assert len(after.shapes) == len(before.shapes) + 1
    texts = [shape.text for shape in after.shapes if hasattr(shape, "text")]
    assert {"5, 0", "cooperate", "defect", "round 1 of 2"} <= set(texts)
    mark = next(shape for shape in after.shapes if getattr(shape, "color", "") == CHOSEN)
    cell = next(s for s in after.shapes if getattr(s, "text", "") == "5, 0")
    middle = mark.x + mark.width / 2, mark.y + mark.height / 2
    assert middle == pytest.approx((cell.x, cell.y))


def test_three_players_are_drawn_as_words():
    world = repeated(NormalForm(np.zeros((3, 2, 2, 2))))
    state, _ = world.reset(jax.random.key(0))
    state, _ = world.step(jax.random.key(0), state, jnp.array([1, 0, 1]))
    texts = [shape.text for shape in world.draw(state).shapes]
    assert texts[1:] == ["player_1: 2", "player_2: 1", "player_3: 2"]
