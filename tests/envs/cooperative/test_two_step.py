"""The two-step game: its two matrices, the way between them, and its picture."""

import jax
import jax.numpy as jnp
import pytest

import shoal
from shoal.envs.payoff_table import BEST, CHOSEN


def play(world, *actions):
    state, shown = world.reset(jax.random.key(0))
    out = [shown]
    for action in actions:
        state, shown = world.step(jax.random.key(0), state, jnp.array(action))
        out.append(shown)
    return out, state


@pytest.mark.parametrize("second", [0, 1])
@pytest.mark.parametrize("cell", [(0, 0), (0, 1), (1, 1)])
def test_the_first_agent_alone_chooses_the_matrix(second, cell):
    world = shoal.make("coop/two_step")
    for first, pays in ((0, 7), (1, {0: 0, 1: 1, 2: 8}[sum(cell)])):
        (start, between, end), _ = play(world, (first, second), cell)
        assert between.reward.tolist() == [0, 0] and end.reward.tolist() == [pays, pays]
        assert start.obs.tolist() == [[1, 0, 0]] * 2
        assert between.obs.tolist() == [[0, 1, 0] if first == 0 else [0, 0, 1]] * 2
        assert not between.done and end.terminated.all()
        assert end.metrics["share_of_optimum"] == pytest.approx(pays / 8)


def test_the_scripted_controller_goes_where_more_is_paid():
    for fields, best in (({}, 8), ({"best": 6.5}, 7), ({"safe": 0.0, "best": 0.5}, 1)):
        world = shoal.make("coop/two_step", **fields)
        assert float(world.optimum) == best
        assert shoal.evaluate("scripted", world, episodes=2).mean == best


def test_the_picture_shows_both_matrices_and_the_cell_that_was_chosen():
    world = shoal.make("coop/two_step")

    def drawn(*actions):
        picture = world.draw(play(world, *actions)[1])
        texts = [s.text for s in picture.shapes if hasattr(s, "text")]
        return (
            picture,
            texts,
            [s for s in picture.shapes if getattr(s, "color", "") in (BEST, CHOSEN)],
        )

    _, texts, marks = drawn()
    assert texts.count("7") == 4 and len(marks) == 1
    assert {"step 0 of 2: first chooses A or B", "total 0 of at most 8", "A", "B"} <= set(texts)
    _, texts, marks = drawn((1, 0))
    assert {"step 1 of 2: in B", "A", "B, played"} <= set(texts) and len(marks) == 1
    picture, texts, (best, chosen) = drawn((1, 0), (1, 1))
    cell = next(s for s in picture.shapes if getattr(s, "text", "") == "8")
    for mark in (best, chosen):
        middle = mark.x + mark.width / 2, mark.y + mark.height / 2
        assert middle == pytest.approx((cell.x, cell.y))
    assert "total 8 of at most 8" in texts
