"""Recordings as films, made without a display: GIF with Pillow, MP4 with PyAV."""

import io
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from shoal.core.colors import FLOOR, PAPER
from shoal.core.errors import optional, require
from shoal.core.picture import Picture
from shoal.core.terminal import say
from shoal.recording.raster import TRAIL, View, draw_picture
from shoal.recording.recording import Episode, Recording, short_names
from shoal.runs.durable import replacing, write_atomic

HOLD = 1.0  # seconds that the last picture of an episode stays
LARGEST = 700_000  # bytes of a GIF


def frames(
    recording: Recording, *, size: int = 480, fps: int = 10, stride: int = 1
) -> Iterator[Image.Image]:
    """One image every `stride` steps, all of one size, and each episode's last, which is repeated
    for `HOLD` seconds."""
    require(size >= 32, f"size is {size} pixels, expected at least 32")
    require(fps >= 1, f"fps is {fps}, expected at least 1")
    names = short_names(recording.agents)
    camera = _camera(recording)
    for number, episode in enumerate(recording.episodes, 1):
        steps = len(episode.rewards)
        for t in [*range(0, steps, stride), steps]:
            picture = episode.pictures[t]
            caption = _caption(recording, number, episode, t)
            past = episode.pictures[max(0, t - TRAIL) : t]
            image = draw_picture(
                picture, size, caption=caption, names=names, view=camera(picture), past=past
            )
            yield from [image] * (1 + round(HOLD * fps) if t == steps else 1)


def save_gif(recording: Recording, path: Path | str, *, size: int = 480, fps: int = 10) -> Path:
    """An endless GIF of at most `LARGEST` bytes if that can be: of a long recording it shows every
    second step, every third, and so on, and says so."""
    path, stride = Path(path), 1
    longest = max(len(episode.rewards) for episode in recording.episodes)
    while True:
        film = _gif(list(frames(recording, size=size, fps=fps, stride=stride)), fps)
        if len(film) <= LARGEST or stride >= longest:
            write_atomic(path, film)
            if stride > 1:
                say(f"{path.name} has one of every {stride} steps, as its size asks; mp4 has all")
            return path
        stride = max(stride + 1, math.ceil(0.9 * stride * len(film) / LARGEST))


def _gif(images: list[Image.Image], fps: int) -> bytes:
    """All frames share one palette, so that still things do not flicker."""
    palette, file = _palette(images), io.BytesIO()
    flat = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    moving = {"save_all": True, "append_images": flat[1:], "duration": 1000 // fps, "loop": 0}
    flat[0].save(file, "GIF", **moving)
    return file.getvalue()


def save_mp4(recording: Recording, path: Path | str, *, size: int = 480, fps: int = 10) -> Path:
    """An H.264 film that every browser plays."""
    av = optional("av", "MP4 needs PyAV, which", "video")
    path, images = Path(path), frames(recording, size=size, fps=fps)
    first = next(images)
    options = {"movflags": "faststart"}
    with replacing(path) as temporary, av.open(str(temporary), "w", options=options) as film:
        stream = film.add_stream("libx264", rate=fps, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = *first.size, "yuv420p"
        for image in itertools.chain([first], images):
            film.mux(stream.encode(av.VideoFrame.from_image(image)))
        film.mux(stream.encode())
    return path


def _caption(recording: Recording, number: int, episode: Episode, t: int) -> str:
    returns, teams = episode.returns[t], recording.teams
    told = "   ".join(f"{name} {returns[who].mean():.2f}" for name, who in teams.items())
    which = f"episode {number}   " if len(recording.episodes) > 1 else ""
    step = f"{which}step {t} of {len(episode.rewards)}   return per agent"
    return f"{step}   {told}" if teams else f"{step} {returns.mean():.2f}"


def _camera(recording: Recording) -> Callable[[Picture], View]:
    """Which part of the world to show: one that holds all views, unless that is more than twice as
    wide or high as the first one; then the view of each picture."""
    views = np.array([p.view for e in recording.episodes for p in e.pictures], float)
    first = views[0]
    whole = np.concatenate([views[:, :2].min(0), views[:, 2:].max(0)])
    aspect = (first[2] - first[0]) / (first[3] - first[1])
    if (whole[2:] - whole[:2] > 2 * (first[2:] - first[:2])).any():
        return lambda picture: _widened(picture.view, aspect)
    left, bottom, right, top = whole.tolist()
    every = _widened((left, bottom, right, top), aspect)
    return lambda picture: every


def _widened(view: View, aspect: float) -> View:
    """The smallest view around this one that is `aspect` times as wide as high."""
    left, bottom, right, top = view
    height = max(top - bottom, (right - left) / aspect)
    x, y, half = (left + right) / 2, (bottom + top) / 2, height / 2
    return (x - aspect * half, y - half, x + aspect * half, y + half)


def _palette(images: list[Image.Image], samples: int = 6, size: int = 128) -> Image.Image:
    """An image with the colours of a few of the images, and with paper and floor as they are."""
    chosen = images[:: max(1, len(images) // samples)][:samples]
    montage = Image.fromarray(np.concatenate([np.asarray(i) for i in chosen]))
    palette = montage.quantize(size, Image.Quantize.MAXCOVERAGE)
    colors = np.array(palette.getpalette() or []).reshape(-1, 3)
    for still in map(ImageColor.getrgb, (PAPER, FLOOR)):
        colors[np.abs(colors - still).sum(1).argmin()] = still
    palette.putpalette(colors.ravel().tolist())
    return palette
