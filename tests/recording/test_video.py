"""Images and films: what was drawn is found again in the pixels."""

import sys

import av
import numpy as np
import pytest
from PIL import Image, ImageColor

from shoal.core.colors import DOT, FLOOR, LINE
from shoal.core.errors import UserError
from shoal.core.picture import Circle, Line, Picture, Polygon, Rectangle, Ring
from shoal.recording import video
from shoal.recording.raster import draw_picture
from shoal.recording.video import frames, save_gif, save_mp4

SIZE = 200  # the walk's view is 4 by 3: 50 pixels a unit, 150 high, 34 more for the caption
PICTURES = 6  # of each of two episodes
HOLD = 10  # a second at ten frames a second
RED, BLUE = (224, 49, 49), (28, 126, 214)


def near(pixel, color, tolerance=12):
    return np.abs(np.asarray(pixel, int)[:3] - color).max() <= tolerance


def pixel(x, y):
    """Where a point of the walk is on the image."""
    return round(50 * (x + 1)), round(50 * (2 - y))


def test_a_disc_has_its_area_and_its_colour():
    image = draw_picture(Picture((Circle(0.5, 0.5, 0.25, "#ff0000"),)), 200)
    assert image.size == (200, 200)
    darkness = 1 - np.asarray(image)[..., 1] / 255
    assert darkness.sum() / 100**2 == pytest.approx(np.pi * 0.25**2, rel=0.02)
    rows, columns = np.nonzero(darkness > 0.5)
    assert (columns.mean(), rows.mean()) == (pytest.approx(150, abs=1), pytest.approx(50, abs=1))


def test_rings_are_hollow_and_lines_as_wide_as_they_say():
    shapes = (Ring(0, 0, 0.5, "#00ff00", 2.0), Line(-1, -0.8, 1, -0.8, "#0000ff", 4.0))
    image = draw_picture(Picture(shapes), 200)
    assert image.getpixel((100, 100)) == (255, 255, 255)
    assert image.getpixel((150, 100)) == (0, 255, 0)
    blue = np.asarray(image)[:, 20, 0] < 128
    assert blue.sum() == pytest.approx(8, abs=1)


def test_rectangles_and_polygons_fill_their_area():
    shapes = (
        Rectangle(-0.5, 0.0, 1.0, 0.5, "#ff0000"),
        Polygon(((-0.8, -0.8), (0.8, -0.8), (0.8, -0.2)), "#0000ff"),
    )
    image = np.asarray(draw_picture(Picture(shapes), 200), int)
    rows, columns = np.nonzero((image == [255, 0, 0]).all(-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (50, 99, 50, 149)
    blue = 1 - image[100:, :, 0] / 255
    assert blue.sum() / 100**2 == pytest.approx(1.6 * 0.6 / 2, rel=0.02)
    assert tuple(image[175, 175]) == (0, 0, 255) and tuple(image[140, 40]) == (255, 255, 255)
    rounded = draw_picture(Picture((shapes[0]._replace(corner=0.2),)), 200)
    assert rounded.getpixel((51, 51)) == (255, 255, 255)
    assert rounded.getpixel((100, 51)) == (255, 0, 0)


def test_messages_stand_above_their_speaker():
    said = Picture((Circle(0, 0, 0.1, "#ff0000", "a"),), messages={"a": "A"})
    silent = said._replace(messages={"a": ""})
    names = {"a": ""}
    change = np.asarray(draw_picture(said, 200, names=names)) != np.asarray(
        draw_picture(silent, 200, names=names)
    )
    rows = np.nonzero(change.any((1, 2)))[0]
    assert rows.min() > 55 and rows.max() <= 90


def test_gif(recording, tmp_path):
    film = Image.open(save_gif(recording, tmp_path / "walk.gif", size=SIZE))
    assert film.size == (SIZE, 184)
    duration = 0
    for k in range(film.n_frames):
        film.seek(k)
        duration += film.info["duration"]
        if k == 2:  # two moves of 0.5
            image = film.convert("RGB")
            assert near(image.getpixel(pixel(1.15, 1.3)), RED)
            assert near(image.getpixel(pixel(1.15, 0.0)), BLUE)
            assert image.getpixel((1, 1)) == (255, 255, 255)
            assert image.getpixel((103, 3)) == ImageColor.getrgb(FLOOR)
    assert film.n_frames == 2 * PICTURES  # a held picture is one frame that lasts longer
    assert duration == 100 * 2 * (PICTURES + HOLD)


def test_mp4(recording, tmp_path):
    path = save_mp4(recording, tmp_path / "walk.mp4", size=SIZE)
    with av.open(str(path)) as film:
        images = [frame.to_image() for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 10
    assert len(images) == 2 * (PICTURES + HOLD)
    assert images[0].size == (SIZE, 184)
    assert near(images[5].getpixel(pixel(2.15, 1.3)), RED, tolerance=40)
    assert near(images[5].getpixel(pixel(0.15, 0.6)), ImageColor.getrgb(FLOOR), tolerance=10)


def test_captions_count(recording):
    images = [np.asarray(i) for i in frames(recording, size=SIZE)]
    # Nobody moves in the third step: the first agent, right of its trail, stands where it was.
    assert (images[2][150:] != images[3][150:]).any()
    assert (images[2][20:50, 100:] == images[3][20:50, 100:]).all()
    assert (images[1][20:50, 100:] != images[2][20:50, 100:]).any()


def test_captions_tell_rival_teams_apart(recording):
    rivals = recording._replace(teams={"sheep": [0], "wolf": [1]})
    said = "episode 1   step 2 of 5   return per agent"
    for shown, told in ((recording, f"{said} 3.00"), (rivals, f"{said}   sheep 2.00   wolf 4.00")):
        image = draw_picture(shown.episodes[0].pictures[2], SIZE, caption=told)
        found = np.asarray(list(frames(shown, size=SIZE))[2])
        assert (np.asarray(image)[155:] == found[155:]).all()


def test_films_have_a_floor_with_round_corners_and_trails(recording):
    film = list(frames(recording, size=SIZE))
    first, later = film[0], film[2]
    floor, paper = ImageColor.getrgb(FLOOR), (255, 255, 255)
    assert first.getpixel((1, 1)) == paper and first.getpixel((198, 148)) == paper
    assert first.getpixel((103, 3)) == floor
    assert first.getpixel((100, 0)) == later.getpixel((0, 75)) == ImageColor.getrgb(LINE)
    assert first.getpixel(pixel(1.5, 0.5)) == ImageColor.getrgb(DOT)
    red = first.getpixel(pixel(0.6, 1.3)), later.getpixel(pixel(0.6, 1.3))  # the way it came
    assert red[0] == floor and red[1][0] > red[1][1] + 30
    leapt = recording.episodes[0].pictures[:1] * 2
    far = leapt[0]._replace(
        shapes=tuple(
            s._replace(x=2.9) if getattr(s, "label", "") == "walker_0" else s
            for s in leapt[0].shapes
        )
    )
    image = draw_picture(far, SIZE, names={"walker_0": "0"}, past=leapt)
    assert image.getpixel(pixel(1.1, 1.3)) == floor


def test_a_long_gif_leaves_out_steps_says_so_and_stays_small(
    recording, tmp_path, monkeypatch, capsys
):
    whole = save_gif(recording, tmp_path / "whole.gif", size=SIZE)
    size = whole.stat().st_size
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(video, "LARGEST", size - 1)
    short = save_gif(recording, tmp_path / "short.gif", size=SIZE)
    assert short.stat().st_size < size
    assert "short.gif has one of every 2 steps" in capsys.readouterr().err
    with Image.open(short) as film:  # steps 0, 2, 4 and the last, of both episodes
        assert film.n_frames == 2 * 4


def test_without_pyav_the_error_says_what_to_install(recording, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'shoal\[video\]'"):
        save_mp4(recording, tmp_path / "walk.mp4")


def test_a_film_too_small_is_an_error(recording):
    with pytest.raises(UserError, match="size is 8"):
        next(frames(recording, size=8))


def asks_for(recording, view):
    """The first episode, of which the second picture asks for another view."""
    (first, second, *rest) = recording.episodes[0].pictures
    far = second._replace(view=view, messages={})
    episode = recording.episodes[0]._replace(pictures=(first, far, *rest))
    return recording._replace(episodes=(episode, recording.episodes[1]))


def test_one_view_holds_all_that_pictures_ask_for(recording):
    twice = (-3.0, -2.5, 5.0, 3.5)  # as much, around the same middle
    images = list(frames(asks_for(recording, twice), size=SIZE))
    assert {image.size for image in images} == {(SIZE, 184)}
    for image in (images[0], images[-1]):  # 25 pixels a unit: the second stays at the same height
        assert near(image.getpixel((round(25 * 3.15), round(25 * 3.5))), BLUE) == (
            image is images[0]
        )
    assert near(images[0].getpixel((round(25 * 3.1), 55)), RED)


def test_a_picture_that_asks_for_far_more_room_is_shown_from_afar(recording):
    thrice = (-5.0, -4.0, 7.0, 5.0)
    images = list(frames(asks_for(recording, thrice), size=SIZE))
    assert {image.size for image in images} == {(SIZE, 184)}
    assert near(images[1].getpixel((round(50 / 3 * 5.5), round(50 / 3 * 3.7))), RED)
    assert near(images[2].getpixel(pixel(1.15, 1.3)), RED)
