"""Spaces of the host: observations as numbers and images, actions as worlds want them."""

import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import functools
import itertools

import numpy as np
import pytest
from gymnasium import spaces
from scripted_worlds import NUMBERS, Film, Once, Pair, keep_what_is_shown  # noqa: F401

import shoal
from shoal.core.errors import UserError
from shoal.envs.host.actions import Actions
from shoal.envs.host.parallel import ParallelHostEnv
from shoal.envs.host.single_agent import GymnasiumHostEnv
from shoal.envs.host.views import View, is_image, shrink

PLAIN = View()


def number(*values):
    return np.array(values, np.int32)


# Observations


def test_nested_spaces_are_flat_as_gymnasium_flattens():
    space = spaces.Dict(
        z=spaces.Tuple((spaces.Discrete(3, start=-1), spaces.MultiBinary((2, 2)))),
        a=spaces.Dict(m=spaces.MultiDiscrete([2, 4], start=[1, 5]), b=spaces.Box(-1, 1, (2, 3))),
        n=spaces.Box(0, 9, (2,), np.uint8),
    )
    world = Once(space)
    game = GymnasiumHostEnv(lambda: world, PLAIN)
    assert game.facts.obs_sizes == (3 + 4 + 6 + 6 + 2,) and game.facts.images == ()
    for k in range(20):
        shown = game.step(number(1)) if k else game.reset(3)
        np.testing.assert_array_equal(shown.obs[0], spaces.flatten(space, world.seen[-1]))
        assert shown.obs.dtype == np.float32


# Actions


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(4, start=5),
        spaces.MultiDiscrete([2, 3, 2], start=[0, 7, -1]),
        spaces.MultiDiscrete([[2, 2], [3, 2]]),
        spaces.MultiBinary(3),
        spaces.MultiBinary((2, 2)),
    ],
)
def test_discrete_actions_name_every_element_once(space):
    world = Once(NUMBERS, space)
    game = GymnasiumHostEnv(lambda: world, PLAIN)
    game.reset(0)
    for k in range(game.facts.action_sizes[0]):
        game.step(number(k))
    digits = {"Discrete": lambda: [space.n], "MultiDiscrete": lambda: space.nvec.ravel()}
    sizes = digits.get(type(space).__name__, lambda: [2] * int(np.prod(space.shape)))()
    start = np.asarray(getattr(space, "start", 0)).ravel()
    expected = [np.array(row) + start for row in itertools.product(*map(range, sizes))]
    assert len(world.told) == len(expected)
    for told, row in zip(world.told, expected):
        assert space.contains(told) and told.dtype == space.dtype
        np.testing.assert_array_equal(np.ravel(told), row)


def test_a_world_may_keep_and_change_what_it_is_told():
    world = Once(NUMBERS, spaces.MultiDiscrete([2, 2]))
    game = GymnasiumHostEnv(lambda: world, PLAIN)
    game.reset(0)
    for _ in range(2):
        game.step(number(3))
        assert world.told[-1].tolist() == [1, 1]
        world.told[-1][:] = 0


def test_box_with_common_bounds_keeps_them():
    space = spaces.Box(-2, 2, (2, 2), np.float64)
    world = Once(NUMBERS, space)
    game = GymnasiumHostEnv(lambda: world, PLAIN)
    assert (game.facts.low, game.facts.high, game.facts.action_sizes) == (-2, 2, (4,))
    game.reset(0)
    game.step(np.array([[0.25, -9, 9, 1]], np.float32))
    assert world.told[0].dtype == np.float64
    np.testing.assert_array_equal(world.told[0], [[0.25, -2], [2, 1]])


def test_boxes_keep_the_bounds_of_each_dimension_of_each_agent():
    left = spaces.Box(np.array([0, -10, 5]), np.array([1, 10, 9]), dtype=np.int64)
    right = spaces.Box(np.array([-1.0, 0.0]), np.array([3.0, 8.0]), dtype=np.float32)
    world = Pair(actions=(left, right))
    game = ParallelHostEnv(lambda: world, PLAIN)
    low, high = ((0, -10, 5), (-1, 0)), ((1, 10, 9), (3, 8))
    assert (game.facts.low, game.facts.high, game.facts.action_sizes) == (low, high, (3, 2))
    assert not game.facts.discrete and game.facts.roles == (0, 1)
    game.reset(0)
    game.step(np.array([[-1, 2.6, 70], [1, 6, 99]], np.float32))
    assert world.told["left"].dtype == np.int64 and world.told["right"].dtype == np.float32
    np.testing.assert_array_equal(world.told["left"], [0, 3, 9])
    np.testing.assert_array_equal(world.told["right"], [1, 6])


def test_mask_of_several_dimensions_becomes_one_of_combinations():
    mask = (np.array([1, 0], np.int8), np.array([0, 1, 1], np.int8))
    world = Once(NUMBERS, spaces.MultiDiscrete([2, 3]), {"action_mask": mask})
    shown = GymnasiumHostEnv(lambda: world, PLAIN).reset(0)
    np.testing.assert_array_equal(shown.action_mask, [[False, True, True, False, False, False]])


# Images


def film(frames, view, low=0, high=255):
    frames = [np.asarray(frame, np.uint8) for frame in frames]
    space = spaces.Box(low, high, frames[0].shape, np.uint8)
    return GymnasiumHostEnv(lambda: Film(frames, space), view)


def test_images_are_scaled_to_one_and_frames_stacked():
    frames = [np.full((2, 3, 1), 51 * k) for k in range(1, 6)]
    game = film(frames, View(frame_stack=3))
    assert game.facts.images == ((2, 3, 3),) and game.facts.obs_sizes == (18,)
    shown = [game.reset(0)] + [game.step(number(0)) for _ in range(4)]
    newest_last = [(1, 1, 1), (1, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5)]
    for s, frames in zip(shown, newest_last):
        each = s.obs[0].reshape(2, 3, 3)
        np.testing.assert_allclose(each, np.broadcast_to(np.array(frames) / 5, each.shape))
    again = game.reset(0).obs  # nothing of the last episode is left
    np.testing.assert_array_equal(again, shown[0].obs)


def test_colour_frames_stack_by_channel():
    frames = [np.stack([np.full((2, 2), 51 * k + c) for c in range(3)], -1) for k in range(3)]
    game = film(frames, View(frame_stack=2))
    game.reset(0)
    image = game.step(number(0)).obs[0].reshape(2, 2, 6)
    np.testing.assert_allclose(image[1, 0] * 255, [0, 1, 2, 51, 52, 53], rtol=1e-6)


def test_channels_may_come_first_or_be_missing():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (4, 6, 7))
    game = film([first, first], PLAIN)
    assert game.facts.images == ((6, 7, 4),)
    expected = np.moveaxis(first, 0, -1).ravel() / 255
    np.testing.assert_allclose(game.reset(0).obs[0], expected, rtol=1e-6)
    flat = rng.integers(0, 256, (6, 7))
    game = film([flat, flat], PLAIN)
    assert game.facts.images == ((6, 7, 1),)
    np.testing.assert_allclose(game.reset(0).obs[0], flat.ravel() / 255, rtol=1e-6)


def test_grayscale_and_area_by_hand():
    image = np.zeros((3, 3, 3))
    image[0, 0], image[2, 2] = (255, 0, 0), (0, 255, 0)
    game = film([image, image], View(image_size=2, grayscale=True))
    assert game.facts.images == ((2, 2, 1),)
    # A new pixel covers 1.5 x 1.5 old ones: a corner of it counts 1 / 2.25.
    expected = [[0.299 / 2.25, 0], [0, 0.587 / 2.25]]
    np.testing.assert_allclose(game.reset(0).obs[0].reshape(2, 2), expected, rtol=1e-6)
    blocks = np.arange(16).reshape(4, 4)
    game = film([blocks, blocks], View(image_size=2))
    means = np.array([[2.5, 4.5], [10.5, 12.5]]) / 255
    np.testing.assert_allclose(game.reset(0).obs[0].reshape(2, 2), means, rtol=1e-6)


def test_grayscale_reads_colours_where_they_are():
    rng = np.random.default_rng(1)
    last, alpha = rng.integers(0, 256, (5, 6, 3)), rng.integers(0, 256, (5, 6, 1))
    luma = (last @ [0.299, 0.587, 0.114]).ravel() / 255
    first = np.moveaxis(last, -1, 0)
    for frame in (last, first, np.concatenate([last, alpha], -1)):
        game = film([frame, frame], View(grayscale=True))
        assert game.facts.images == ((5, 6, 1),)
        np.testing.assert_allclose(game.reset(0).obs[0], luma, rtol=1e-5)
    stacked = np.concatenate([first, first[:1]])  # four frames, not colours
    game = film([stacked, stacked], View(grayscale=True))
    assert game.facts.images == ((5, 6, 4),)
    np.testing.assert_allclose(game.reset(0).obs[0, 3::4], first[0].ravel() / 255, rtol=1e-6)


def test_shrinking_colours_is_shrinking_each():
    image = np.random.default_rng(2).random((7, 5, 3)).astype(np.float32)
    small = shrink(image, 4)
    for c in range(3):
        np.testing.assert_allclose(small[:, :, c], shrink(image[:, :, c : c + 1], 4)[:, :, 0])
    np.testing.assert_allclose(small.mean((0, 1)), image.mean((0, 1)), rtol=1e-5)


def test_bytes_that_are_no_image_stay_numbers():
    game = film([np.full((3, 4), 7)] * 2, PLAIN, high=9)
    assert game.facts.images == () and game.reset(0).obs[0].tolist() == [7.0] * 12


def test_images_come_first_and_numbers_are_stacked_too():
    space = spaces.Dict(speed=spaces.Box(-9, 9, (2,)), eye=spaces.Box(0, 255, (1, 2, 1), np.uint8))
    frames = [
        {"speed": np.array([k, -k], np.float32), "eye": np.full((1, 2, 1), 51 * k, np.uint8)}
        for k in range(3)
    ]
    game = GymnasiumHostEnv(lambda: Film(frames, space), View(frame_stack=2))
    assert game.facts.images == ((1, 2, 2),) and game.facts.obs_sizes == (8,)
    np.testing.assert_allclose(game.reset(0).obs[0], [0] * 8)
    np.testing.assert_allclose(game.step(number(0)).obs[0], [0, 0.2, 0, 0.2, 0, 0, 1, -1])
    np.testing.assert_allclose(game.step(number(0)).obs[0], [0.2, 0.4, 0.2, 0.4, 1, -1, 2, -2])


def test_agents_without_images_have_zeros_in_their_place():
    eye = spaces.Box(0, 255, (2, 2, 1), np.uint8)
    game = ParallelHostEnv(lambda: Pair((eye, spaces.Box(3, 4, (3,)))), PLAIN)
    assert game.facts.images == ((2, 2, 1),) and game.facts.obs_sizes == (4, 7)
    obs = game.reset(0).obs
    assert obs.shape == (2, 7) and not obs[1, :4].any() and (obs[1, 4:] >= 3).all()
    assert obs[0, :4].any() and not obs[0, 4:].any()


ROWS = ([True, False], [True, True, False])
BOTH = [True, True, False, False, False, False]  # of combinations


@pytest.mark.parametrize(
    "mask",
    [
        tuple(np.array(row) for row in ROWS),
        [np.array(row) for row in ROWS],
        [list(row) for row in ROWS],
        np.concatenate(ROWS),
        [*ROWS[0], *ROWS[1]],
        np.logical_and.outer(*ROWS),
        np.array(BOTH),
        BOTH,
    ],
)
def test_masks_of_several_dimensions_in_every_form(mask):
    act = Actions(["a"], [spaces.MultiDiscrete([2, 3])])
    assert act.legal(0, mask).tolist() == BOTH


def test_masks_of_square_dimensions():
    act, rows = Actions(["a"], [spaces.MultiDiscrete([2, 2])]), ([1, 0], [1, 1])
    for mask in (rows, list(rows), [np.array(row) for row in rows]):
        assert act.legal(0, mask).tolist() == [True, True, False, False]
    with pytest.raises(UserError, match="4 values or of 4 combinations: expected a tuple of 2"):
        act.legal(0, np.concatenate(rows))
    with pytest.raises(UserError, match="has 5 entries, expected a tuple of 2 arrays of 2, 2"):
        act.legal(0, np.ones(5))
    with pytest.raises(UserError, match="has 5 entries, expected 3"):
        Actions(["a"], [spaces.Discrete(3)]).legal(0, np.ones(5))


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ((84, 84, 12), (84, 84, 12)),
        ((84, 84, 2), (84, 84, 2)),
        ((84, 84, 24), (84, 84, 24)),
        ((10, 10, 6), (10, 10, 6)),
        ((12, 84, 84), (84, 84, 12)),
        ((4, 84, 84, 3), (84, 84, 12)),
        ((4, 84, 84, 1), (84, 84, 4)),
        ((4, 84, 80), (84, 80, 4)),
        ((7, 7, 3), (7, 7, 3)),
    ],
)
def test_images_of_any_number_of_channels(raw, seen):
    assert is_image(raw) and View().shape(raw) == seen
    image = np.random.default_rng(0).integers(0, 255, raw, np.uint8)
    shown = View().image(image)
    assert shown.shape == seen
    last = image if len(raw) == 4 or seen == raw else np.moveaxis(image, 0, -1)
    expected = np.concatenate(list(image), -1) if len(raw) == 4 else last
    np.testing.assert_allclose(shown, expected / 255, atol=1e-6)


@pytest.mark.parametrize("raw", [(8, 8, 8), (5, 9, 9, 9), (84,), (2, 3, 84, 84)])
def test_what_is_no_image(raw):
    assert not is_image(raw)


def test_bytes_that_are_not_taken_for_an_image_are_told():
    made = functools.partial(Once, spaces.Box(0, 255, (8, 8, 8), np.uint8))
    with pytest.warns(RuntimeWarning, match=r"no image for agent: bytes of shape \[8, 8, 8\]"):
        env = shoal.from_gymnasium(made, name="cube", in_process=True)
        assert env.spec.obs_size == 512
