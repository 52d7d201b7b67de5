"""Images and films: what was drawn is found again in the pixels."""

import sys

import av
import numpy as np
import pytest
from PIL import Image

from shoal.core.errors import UserError
from shoal.core.picture import Circle, Line, Picture, Ring
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
            assert image.getpixel((2, 2)) == (255, 255, 255)
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
    assert near(images[5].getpixel(pixel(0.15, 1.3)), (255, 255, 255), tolerance=10)


def test_captions_count(recording):
    images = [np.asarray(i) for i in frames(recording, size=SIZE)]
    # Nobody moves in the third step: below 150 is the caption, above 55 only the first agent.
    assert (images[2][150:] != images[3][150:]).any()
    assert (images[2][:55] == images[3][:55]).all()
    assert (images[1][:55] != images[2][:55]).any()


def test_without_pyav_the_error_says_what_to_install(recording, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'shoal\[video\]'"):
        save_mp4(recording, tmp_path / "walk.mp4")


def test_a_film_too_small_is_an_error(recording):
    with pytest.raises(UserError, match="size is 8"):
        next(frames(recording, size=8))


def test_a_picture_that_asks_for_more_room_gets_it_in_a_frame_of_the_same_size(recording):
    (first, *rest) = recording.episodes[0].pictures
    twice = (-3.0, -2.5, 5.0, 3.5)  # as much, around the same middle
    far = rest[0]._replace(view=twice, messages={})
    episode = recording.episodes[0]._replace(pictures=(first, far, *rest[1:]))
    images = list(frames(recording._replace(episodes=(episode,)), size=SIZE))
    assert {image.size for image in images} == {(SIZE, 184)}
    assert near(images[1].getpixel((92, 55)), RED)  # 25 pixels a unit now: around (87.5, 55)
    assert near(images[2].getpixel(pixel(1.15, 1.3)), RED)
