"""Recordings as films, made without a display: GIF with Pillow, MP4 with PyAV."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from shoal.core.errors import optional, require
from shoal.recording.raster import View, draw_picture
from shoal.recording.recording import Episode, Recording, short_names
from shoal.runs.durable import replacing

HOLD = 1.0  # seconds that the last picture of an episode stays


def frames(recording: Recording, *, size: int = 480, fps: int = 10) -> Iterator[Image.Image]:
    """One image a step, all of one size; each episode's last is repeated for `HOLD` seconds."""
    require(size >= 32, f"size is {size} pixels, expected at least 32")
    require(fps >= 1, f"fps is {fps}, expected at least 1")
    names = short_names(recording.agents)
    left, bottom, right, top = recording.episodes[0].pictures[0].view
    aspect = (right - left) / (top - bottom)
    for number, episode in enumerate(recording.episodes, 1):
        for t, picture in enumerate(episode.pictures):
            caption = _caption(recording, number, episode, t)
            view = _widened(picture.view, aspect)
            image = draw_picture(picture, size, caption=caption, names=names, view=view)
            last = t == len(episode.rewards)
            yield from [image] * (1 + round(HOLD * fps) if last else 1)


def save_gif(recording: Recording, path: Path | str, *, size: int = 480, fps: int = 10) -> Path:
    """An endless GIF. All frames share one palette, so that still things do not flicker."""
    path, images = Path(path), list(frames(recording, size=size, fps=fps))
    palette = _palette(images)
    flat = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    with replacing(path) as temporary:
        flat[0].save(temporary, save_all=True, append_images=flat[1:], duration=1000 // fps, loop=0)
    return path


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
    total = episode.returns[t].mean()
    which = f"episode {number}   " if len(recording.episodes) > 1 else ""
    return f"{which}step {t} of {len(episode.rewards)}   return per agent {total:.2f}"


def _widened(view: View, aspect: float) -> View:
    """The smallest view around this one that is `aspect` times as wide as high."""
    left, bottom, right, top = view
    height = max(top - bottom, (right - left) / aspect)
    x, y, half = (left + right) / 2, (bottom + top) / 2, height / 2
    return (x - aspect * half, y - half, x + aspect * half, y + half)


def _palette(images: list[Image.Image], samples: int = 6, size: int = 128) -> Image.Image:
    """An image with the colours of a few of the images, and with paper that stays white."""
    chosen = images[:: max(1, len(images) // samples)][:samples]
    montage = Image.fromarray(np.concatenate([np.asarray(i) for i in chosen]))
    palette = montage.quantize(size, Image.Quantize.MAXCOVERAGE)
    colors = np.array(palette.getpalette() or []).reshape(-1, 3)
    colors[(colors > 240).all(1)] = 255
    palette.putpalette(colors.ravel().tolist())
    return palette
