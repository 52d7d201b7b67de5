"""What is checked of worlds with several choices at once, and with boxes of several bounds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from factored_world import Switchboard

from shoal.core.spaces import Box, Factored
from shoal.envs.check.play import HIGHEST, LOWEST, play
from shoal.envs.check.showing import check_scripted
from shoal.envs.check.signature import check_carry, check_timestep
from shoal.envs.check.spec import check_spec
from shoal.envs.check.tracing import check_compiles
from shoal.envs.check.values import check_batch, check_inactive, check_masks

UNEVEN = Box(((0.0, -3.0), (2.0,)), ((1.0, 3.0), (10.0,)), (2, 1))


class Dials(Switchboard):
    """Numbers in place of choices. The operator is never active."""

    def __init__(self):
        super().__init__(4, False)

    @property
    def spec(self):
        return dataclasses.replace(super().spec, action=UNEVEN)

    def _idle(self, state, shown, reward):
        active = jnp.array([True, False])
        return state, dataclasses.replace(shown, active=active, reward=reward)

    def reset(self, key):
        return self._idle(*Switchboard(masked=False).reset(key), jnp.zeros(2))

    def step(self, key, state, action):
        state, shown = Switchboard(masked=False).step(key, state, jnp.zeros((2, 2), int))
        return self._idle(state, shown, self.pay(action))

    def pay(self, action):
        return jnp.array([1.0, 0.0]) * action[:, 0]

    def scripted(self, state):
        return jnp.array([[0.5, -2.0], [5.0, 0.0]])


class Busy(Dials):
    """What the operator does counts, though it is not active."""

    def pay(self, action):
        return action[:, 0]


def findings(env):
    """Of everything that depends on the action space."""
    compiled, signatures = check_compiles(env)
    played, same = play(env, 8, 0)
    assert same
    return (
        check_spec(env)
        + compiled
        + check_timestep(env, signatures)
        + check_carry(signatures)
        + check_masks(played)
        + check_batch(env, played)
        + check_inactive(env, played)
        + (check_scripted(env, played) or [])
    )


@pytest.mark.parametrize("env", [Switchboard(), Dials()])
def test_sound_worlds_have_no_findings(env):
    assert findings(env) == []


def test_options_are_played_at_random_and_to_both_ends():
    env = Switchboard()
    played, _ = play(env, 16, 0)
    legal = env.spec.action.split(played.timestep.action_mask)[:-1]
    taken = np.take_along_axis(legal, played.actions[..., None], -1)[..., 0]
    assert (
        taken[:, :, 0].all() and taken[:, :, 1, 0].all() and (played.actions[:, :, 1, 1] == 0).all()
    )
    first = legal.argmax(-1)
    last = legal.shape[-1] - 1 - legal[..., ::-1].argmax(-1)
    for manner, ends in ((LOWEST, first), (HIGHEST, last)):
        mine = played.manners == manner
        assert (played.actions[:, mine, 0] == ends[:, mine, 0]).all()


def test_boxes_are_played_to_the_bounds_of_each_dimension():
    played, _ = play(Dials(), 16, 0)
    for manner, ends in ((LOWEST, UNEVEN.lows), (HIGHEST, UNEVEN.highs)):
        mine = played.actions[:, played.manners == manner]
        assert (mine == np.where(UNEVEN.mask, ends, 0)).all()
    inside = (played.actions >= UNEVEN.lows) & (played.actions <= UNEVEN.highs)
    assert inside[..., UNEVEN.mask].all() and (played.actions.std((0, 1)) > 0)[UNEVEN.mask].all()


class Masked(Switchboard):
    """Changes the mask that it shows."""

    spoil: str = "nothing"

    def _show(self, state, reward, illegal):
        shown = super()._show(state, reward, illegal)
        mask = shown.action_mask
        if self.spoil == "a factor":
            mask = mask.at[0, 4:8].set(False)
        if self.spoil == "padding":
            mask = mask.at[0, 7:].set(True).at[0, 3].set(True)
        return dataclasses.replace(shown, action_mask=mask)

    def scripted(self, state):
        return {"illegal": 1, "outside": 3}.get(self.spoil, 0) * jnp.ones((2, 2), int)


def test_a_factor_without_a_legal_option():
    [found] = check_masks(play(Masked(spoil="a factor"), 4, 0)[0])
    assert found.seen == "no option of a factor is legal" and found.agent == "caller"


def test_options_that_do_not_exist_are_not_legal():
    [found] = check_masks(play(Masked(spoil="padding"), 4, 0)[0])
    assert found.seen == "actions beyond the agent's 3 x 4 are legal" and found.agent == "caller"


@pytest.mark.parametrize("spoil", ["illegal", "outside"])
def test_controllers_choose_among_legal_options(spoil):
    env = Masked(spoil=spoil)
    [found] = check_scripted(env, play(env, 8, 0)[0]) or [None]
    assert found is not None and "is not legal" in found.seen


def test_controllers_stay_in_the_box():
    class Wild(Dials):
        def scripted(self, state):
            return jnp.array([[0.5, -3.5], [5.0, 99.0]])

    [found] = check_scripted(Wild(), play(Wild(), 4, 0)[0]) or [None]
    assert found is not None and found.agent == "caller"


def test_what_the_inactive_choose_must_not_count():
    [found] = check_inactive(Busy(), play(Busy(), 4, 0)[0])
    assert "another action of the agent changes" in found.seen and found.agent == "operator"


def test_a_mask_is_asked_for_where_factors_differ():
    env = Switchboard(masked=False)
    [found] = check_timestep(env, check_compiles(env)[1])
    assert "action_mask of reset and step is None" in found.seen and "[2, 8]" in found.expected


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Factored(((2, 3), (2,), (4,))), "spec.action.sizes has 3 entries"),
        (lambda: Factored(((2, 0), (2,))), "spec.action.sizes is ((2, 0), (2,))"),
        (lambda: Factored(((), (2,))), "spec.action.sizes is ((), (2,))"),
        (lambda: Box(1.0, -1.0, (2, 2)), "the Box goes from 1 to -1, expected two finite"),
    ],
)
def test_defects_of_the_spec(make, said):
    class World(Switchboard):
        @property
        def spec(self):
            return dataclasses.replace(super().spec, action=make())

    [found] = check_spec(World())
    assert said in found.seen and "errors.py" not in found.seen


def test_no_action_is_in_the_space():
    from shoal.envs.check.tracing import no_action

    assert no_action(Dials()).tolist() == UNEVEN.lows.tolist()
    action = no_action(Switchboard())
    assert action.shape == (2, 2) and action.dtype == jnp.int32
    assert jax.eval_shape(Switchboard().reset, jax.random.key(0))[1].action_mask.shape == (2, 8)
