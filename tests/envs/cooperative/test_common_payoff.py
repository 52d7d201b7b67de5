"""Common-payoff games: what cells pay, what agents see, the optimum, pictures, and bad payoffs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.cli.main import run
from shoal.core.errors import UserError
from shoal.envs.cooperative.matrix import MatrixGame
from shoal.envs.payoff_table import BEST, CHOSEN
from shoal.runs.fields import fields_of, from_fields

THREE = np.array([[[1.0, -2.0], [0.5, 3.0], [7.0, 0.0]], [[2.0, 2.0], [-9.0, 4.0], [0.0, 6.5]]])


def play(world, actions):
    """The time steps and the last state."""
    state, shown = world.reset(jax.random.key(0))
    out = [shown]
    for action in actions:
        state, shown = world.step(jax.random.key(0), state, jnp.array(action))
        out.append(shown)
    return out, state


def returns(name, actions, **fields):
    shown, _ = play(shoal.make(name, **fields), actions)
    assert not any(bool(s.done) for s in shown[:-1]) and shown[-1].terminated.all()
    total = sum(np.asarray(s.reward) for s in shown)
    assert total[0] == total[1]
    return total[0], float(shown[-1].metrics["share_of_optimum"])


def test_every_agent_is_paid_the_cell():
    world = MatrixGame(THREE)
    for cell in np.ndindex(*THREE.shape):
        (_, shown), _ = play(world, [cell])
        assert shown.reward.tolist() == [THREE[cell]] * 3
        assert shown.terminated.all() and not shown.truncated.any()


@pytest.mark.parametrize(
    ("name", "cell", "total", "share"),
    [
        ("coop/climbing", (0, 0), 275, 1),
        ("coop/climbing", (1, 1), 175, 7 / 11),
        ("coop/climbing", (2, 1), 150, 6 / 11),
        ("coop/climbing", (1, 2), 0, 0),
        ("coop/climbing", (1, 0), -750, -30 / 11),
        ("coop/penalty", (0, 2), 250, 1),
        ("coop/penalty", (2, 0), 250, 1),
        ("coop/penalty", (1, 1), 50, 0.2),
        ("coop/penalty", (2, 2), -2500, -10),
    ],
)
def test_25_rounds_of_the_games_of_claus_and_boutilier(name, cell, total, share):
    assert returns(name, [cell] * 25) == pytest.approx((total, share))


def test_the_penalty_is_a_field():
    assert returns("coop/penalty", [(0, 0), (2, 0)], k=-25.0, rounds=2) == (-15, -0.75)


def test_qtran_is_one_round():
    assert returns("coop/qtran", [(0, 0)]) == (8, 1)
    assert returns("coop/qtran", [(1, 0)]) == (-12, -1.5)
    assert returns("coop/qtran", [(2, 1)]) == (0, 0)


@pytest.mark.parametrize(
    ("name", "optimum"),
    [("coop/climbing", 275), ("coop/penalty", 250), ("coop/qtran", 8), ("coop/two_step", 8)],
)
def test_the_scripted_controller_earns_the_optimum(name, optimum):
    world = shoal.make(name)
    assert float(world.optimum) == optimum
    found = shoal.evaluate("scripted", world, episodes=2)
    assert found.mean == optimum and found.metrics["share_of_optimum"]["mean"] == 1


def test_the_optimum_is_that_of_the_payoffs():
    world = MatrixGame(THREE, rounds=4)
    assert float(world.optimum) == 28 and world.best_actions.tolist() == [0, 2, 0]
    assert shoal.evaluate("scripted", world, episodes=2).mean == 28
    losing = MatrixGame([[-2.0, -1.0], [-3.0, -4.0]])
    (_, shown), _ = play(losing, [(0, 1)])
    assert float(losing.optimum) == -1 and float(shown.metrics["share_of_optimum"]) == 0


def test_agents_and_critics_see_the_share_of_rounds_that_is_left():
    shown, _ = play(MatrixGame(rounds=4), [(0, 0)] * 4)
    assert [s.obs.tolist() for s in shown] == [[[x]] * 2 for x in (1, 0.75, 0.5, 0.25, 0)]
    assert [s.global_state.tolist() for s in shown] == [[x] for x in (1, 0.75, 0.5, 0.25, 0)]


def test_one_team_with_a_role_for_each_number_of_actions():
    spec = MatrixGame(THREE).spec
    assert spec.teams == (0, 0, 0) and spec.roles == (0, 1, 0)
    assert spec.action.sizes == (2, 3, 2)
    (first, _), _ = play(MatrixGame(THREE), [(0, 0, 0)])
    assert first.action_mask.tolist() == [[True, True, False], [True] * 3, [True, True, False]]


def test_six_agents_play():
    payoffs = np.zeros((2,) * 6)
    payoffs[1, 0, 1, 0, 1, 0] = 5
    assert shoal.evaluate("scripted", MatrixGame(payoffs, rounds=3), episodes=1).mean == 15


def test_payoffs_are_a_task_distribution():
    worlds = jax.tree.map(lambda *xs: jnp.stack(xs), *(MatrixGame(THREE + x) for x in range(3)))

    def reward(world):
        state, _ = world.reset(jax.random.key(0))
        return world.step(jax.random.key(0), state, jnp.array([1, 2, 1]))[1].reward[0]

    assert jax.vmap(reward)(worlds).tolist() == [6.5, 7.5, 8.5]


def test_a_run_keeps_the_payoffs():
    world = MatrixGame(THREE, rounds=5)
    again = shoal.make("coop/matrix", **from_fields(fields_of(world)))
    assert np.array_equal(again.payoffs, THREE) and again.rounds == 5


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("coop/matrix", {"payoffs": [[1, 2], [3]]}, "payoffs are ragged"),
        ("coop/matrix", {"payoffs": [[1, np.nan]]}, r"payoff \[0, 1\] is nan"),
        ("coop/matrix", {"payoffs": [[1, -np.inf]]}, r"payoff \[0, 1\] is -inf"),
        ("coop/matrix", {"payoffs": [1, 2]}, r"shape \[2\], expected \[A1, ..., AN\] for 2 to 6"),
        ("coop/matrix", {"payoffs": np.zeros((1,) * 7)}, "for 2 to 6 agents"),
        ("coop/matrix", {"payoffs": np.zeros((2, 0))}, r"payoffs have shape \[2, 0\]"),
        (
            "coop/matrix",
            {"num_agents": 3},
            r"num_agents is 3, but payoffs of shape \[2, 2\] are for 2 agents",
        ),
        ("coop/matrix", {"rounds": 0}, "rounds is 0, expected at least 1"),
        ("coop/climbing", {"rounds": 0}, "rounds is 0, expected at least 1"),
        ("coop/penalty", {"k": 0.5}, "k is 0.5, expected 0 or less"),
        ("coop/penalty", {"k": float("-inf")}, "k is -inf, expected 0 or less"),
    ],
)
def test_mistakes_are_named(name, fields, said):
    with pytest.raises(UserError, match=said):
        shoal.make(name, **fields)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["coop/matrix", "--env.payoffs", "1 2; 3"],
            "row 2 of the matrix has 1 cells, row 1 has 2",
        ),
        (["coop/matrix", "--env.payoffs", "1,2 3,4"], "a cell of the matrix has 2 numbers"),
        (["coop/matrix", "--env.payoffs", "1 x"], "the matrix: x is not a number"),
        (["coop/matrix", "--env.payoffs", "[[1, 2], [3]]"], "payoffs are ragged"),
        (["coop/matrix", "--env.payoffs", "[[1, NaN]]"], "payoff [0, 1] is nan"),
        (["coop/matrix", "--env.payoffs", "[[1, 2]"], "the array is not JSON"),
        (["coop/matrix", "--env.payoffs", "1 2", "--env.num-agents", "3"], "are for 2 agents"),
        (["coop/matrix", "--env.rounds", "0"], "--env.rounds is 0, expected at least 1"),
        (["coop/penalty", "--env.k", "1"], "--env.k is 1.0, expected 0 or less"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_a_line(words, said, capsys):
    assert run(["train", "iql", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("shoal: ") and error.count("\n") == 1


def test_payoffs_are_written_out_as_for_solve(tmp_path):
    words = (
        f"--steps 64 --num-envs 8 --unroll 4 --evaluations 1 --eval-episodes 2 --out {tmp_path}/r"
    )
    small = [*words.split(), "--algo.hidden", "4", "--pictures", "False", "--algo.minibatches", "1"]
    text = "8 -12 -12; -12 0 0; -12 0 0"
    assert run(["train", "ippo", "coop/matrix", "--env.payoffs", text, *small]) == 0
    kept = shoal.load(tmp_path / "r").config.environment_fields["payoffs"]
    assert kept == [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]]


# Pictures --------------------------------------------------------------------------------------


def drawn(world, actions):
    picture = world.draw(play(world, actions)[1])
    texts = [shape.text for shape in picture.shapes if hasattr(shape, "text")]
    marks = [shape for shape in picture.shapes if getattr(shape, "color", "") in (BEST, CHOSEN)]
    return picture, texts, marks


def middle(mark):
    return mark.x + mark.width / 2, mark.y + mark.height / 2


def at(picture, text):
    """Where the first cell with that text is."""
    cell = next(s for s in picture.shapes if getattr(s, "text", "") == text)
    return pytest.approx((cell.x, cell.y))


def test_the_table_shows_the_best_cell_the_chosen_one_and_the_total():
    world = shoal.make("coop/climbing")
    picture, texts, (best,) = drawn(world, [])
    assert middle(best) == at(picture, "11")
    assert {"round 0 of 25", "total 0 of at most 275", "agent_1", "agent_2", "7", "-30"} <= set(
        texts
    )
    picture, texts, (best, chosen) = drawn(world, [(0, 1), (2, 1)])
    assert middle(best) == at(picture, "11") and middle(chosen) == at(picture, "6")
    assert {"round 2 of 25", "paid 6, total -24 of at most 275"} <= set(texts)


def test_all_best_cells_are_framed():
    picture, _, marks = drawn(shoal.make("coop/penalty"), [])
    tens = [(s.x, s.y) for s in picture.shapes if getattr(s, "text", "") == "10"]
    assert len(tens) == 2 and np.allclose([middle(mark) for mark in marks], tens)


def test_three_agents_are_told_by_words():
    _, texts, marks = drawn(MatrixGame(THREE, rounds=2), [(1, 2, 1)])
    assert not marks and texts == [
        "round 1 of 2",
        "agent_1: 2 (best 1)",
        "agent_2: 3 (best 3)",
        "agent_3: 2 (best 1)",
        "paid 6.5, total 6.5 of at most 14",
    ]
