"""A short episode of each environment: a page that plays it, and a picture of three moments."""

from functools import partial
from pathlib import Path

import jax
from PIL import Image, ImageOps

import shoal
from generate.cache import BUILD, kept, source
from shoal.core.env import Env
from shoal.recording.raster import draw_picture
from shoal.recording.recording import Recording, record_act, short_names
from shoal.recording.replay_html import save_replay
from shoal.training.evaluation import has_script, random_action

SIZE, GAP = 360, 12  # pixels
READ = (__file__, "envs", "recording", "core", "games")  # what an episode's look depends on
FOLDER = BUILD / "extra" / "replays"


def save(names: dict[str, str]) -> None:
    """Writes an .html and a .png for each environment, by the name of its files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    now = source(*READ)
    for file, name in names.items():
        path, stamp = FOLDER / file, BUILD / "stamps" / f"{file}.json"
        if not all(path.with_suffix(end).is_file() for end in (".html", ".png")):
            stamp.unlink(missing_ok=True)
        kept(stamp, now, partial(_make, name, path))


def _make(name: str, path: Path) -> None:
    recording = record(shoal.make(name))
    save_replay(recording, path.with_suffix(".html"))
    moments(recording).save(path.with_suffix(".png"), optimize=True)


def record(env: Env) -> Recording:
    """An episode of the hand-written controller, or of random actions where there is none."""

    def act(state, timestep, carry, key):
        if has_script(env):
            return env.scripted(state), carry
        mask = timestep.action_mask
        shape = (1, env.spec.num_agents)
        batch = None if mask is None else mask[None]
        return random_action(env.spec.action, shape, batch, key)[0], carry

    how = "scripted" if has_script(env) else "random"
    return record_act(act, env, jax.random.key(0), episodes=1, algorithm=how, seed=0)


def moments(recording: Recording) -> Image.Image:
    """The first, the middle and the last picture of an episode, side by side."""
    pictures, names = recording.episodes[0].pictures, short_names(recording.agents)
    last = len(pictures) - 1
    chosen = [pictures[t] for t in dict.fromkeys((0, last // 2, last))]
    images = [ImageOps.expand(draw_picture(p, SIZE, names=names), 1, "#d0d7de") for p in chosen]
    width = sum(image.width for image in images) + GAP * (len(images) - 1)
    whole = Image.new("RGB", (width, max(image.height for image in images)), "white")
    left = 0
    for image in images:
        whole.paste(image, (left, 0))
        left += image.width + GAP
    return whole
