"""The replay in a real browser: what it shows, how it is driven, and that it needs nothing else."""

import json
import re

import jax
import numpy as np
import pytest
from browser import chromium, needs_browser
from PIL import Image
from walk import TwoOfThree, Walk

from shoal.core.picture import Picture, Polygon, Rectangle
from shoal.recording.replay_html import number, replay_html, save_replay, to_json
from shoal.training.backend import record

# Drives the page as a user would, and writes the step that it shows after each act. A timer makes
# the frames: the browser's come in real time, of which 2 s of virtual time may hold but one.
DRIVE = """
<script>
window.requestAnimationFrame = (frame) => setTimeout(() => frame(performance.now()), 16);
const seen = [];
const note = () => seen.push(document.getElementById("step").textContent);
const press = (key) =>
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const key = (name) => { press(name); note(); };
const scrub = document.getElementById("scrub");
const input = (value) => { scrub.value = value; scrub.dispatchEvent(new Event("input")); };
key("Home");
key("ArrowRight"); key("ArrowRight"); key("ArrowLeft"); key("End"); key("ArrowRight");
input(3); note();
const half = shapesAt(0.5, 4).find((s) => s.label === "walker_0").x;
key("n");
const episodeAfterN = document.getElementById("episode").selectedIndex;
const speed = document.getElementById("speed");
speed.value = 8; speed.dispatchEvent(new Event("change"));
document.getElementById("play").click();
setTimeout(() => {
  note();
  const address = location.hash;
  document.body.dataset.seen = JSON.stringify({ seen, half, episodeAfterN, address });
}, 2000);
</script>
</body>
"""


def dumped(dom, name):
    """The text of an element, or an attribute of the body, in a dumped document."""
    found = re.search(rf'id="{name}"[^>]*>([^<]*)<', dom) or re.search(
        rf'data-{name}="([^"]*)"', dom
    )
    return found.group(1) if found else None


@pytest.fixture(scope="module")
def replay(recording, tmp_path_factory):
    return save_replay(recording, tmp_path_factory.mktemp("replay") / "replay.html")


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return tmp_path_factory.mktemp("profile")


@needs_browser
def test_an_address_leads_to_a_step(replay, profile):
    dom, console = chromium(f"{replay.as_uri()}#episode=2&step=3", "--dump-dom", profile=profile)
    assert console == []
    assert dumped(dom, "ready") == "true" and dumped(dom, "error") is None
    assert dumped(dom, "step") == "3" and dumped(dom, "length") == "5"
    # Two moves so far: 2 for the first and 4 for the second, 3 an agent; 6 in the end.
    assert dumped(dom, "return") == "3.00"
    assert dumped(dom, "final") == "6.00 at the end"
    cells = re.findall(r"<td[^>]*>(.*?)</td>", dom.split('id="agents"')[1].split("</tbody>")[0])
    assert cells[1:3] == ["0.00", "2.00"] and cells[4:6] == ["0.00", "4.00"]
    about = dom.split('id="about"')[1].split("</p>")[0]
    assert "two_of_three · seed 7 · 2 episodes" in about and "<b>6.00</b>" in about


@needs_browser
def test_keys_slider_and_play_move_through_the_episode(replay, profile):
    driven = replay.with_name("driven.html")
    driven.write_text(replay.read_text("utf-8").replace("</body>", DRIVE), "utf-8")
    dom, console = chromium(f"{driven.as_uri()}#step=4", "--dump-dom", profile=profile)
    assert console == [] and dumped(dom, "error") is None
    result = json.loads(dumped(dom, "seen").replace("&quot;", '"').replace("&amp;", "&"))
    assert result["seen"] == ["0", "1", "2", "1", "5", "5", "3", "0", "5"]
    assert result["half"] == 0.25  # half of the first move of 0.5
    assert result["episodeAfterN"] == 1
    assert result["address"] == "#episode=2&step=5"


def pixels_like(image, color, tolerance=30):
    """Where an image has a colour: rows and columns."""
    distance = np.abs(np.asarray(image.convert("RGB"), int) - color).max(-1)
    return np.nonzero(distance <= tolerance)


@needs_browser
@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, 1), (390, 0)], ids=["wide light", "narrow dark"]
)
def test_the_picture_shows_the_agents_where_they_are(replay, profile, tmp_path, width, scheme):
    stage = []
    for step in (0, 5):
        shot = tmp_path / f"{step}.png"
        chromium(
            f"{replay.as_uri()}#step={step}",
            f"--screenshot={shot}",
            f"--window-size={width},1000",
            f"--blink-settings=preferredColorScheme={scheme}",
            profile=profile,
        )
        page = Image.open(shot)
        assert page.width == width
        stage.append(page.crop((0, 150, 730 * width // 1280 if width > 780 else width, 400)))
    ground = np.asarray(stage[0].convert("L"))
    assert ground.std() > 4
    assert (ground.mean() > 128) == (scheme == 1)
    red = (224, 49, 49) if scheme == 1 else (233, 83, 83)
    before, after = (np.median(pixels_like(image, red)[1]) for image in stage)
    blank = min(len(pixels_like(image, red)[1]) for image in stage)
    assert blank > 300
    assert after - before > 0.25 * width * 0.5  # from 0 to 2 in a view of 4


@needs_browser
def test_rectangles_and_polygons_are_drawn_and_move(recording, profile, tmp_path):
    def moved(x):
        corners = ((x, -0.5), (x + 1, -0.5), (x, 0.0))
        return Picture(
            (Rectangle(x, 0.5, 1.0, 0.75, "#ff0000"), Polygon(corners, "#0000ff")), (-1, -1, 3, 2)
        )

    episode = recording.episodes[0]
    pictures = tuple(moved(0.2 * t) for t in range(len(episode.pictures)))
    boxes = recording._replace(episodes=(episode._replace(pictures=pictures),))
    assert to_json(boxes)["episodes"][0]["frames"][1][1] == {
        "kind": "polygon",
        "points": [[0.2, -0.5], [1.2, -0.5], [0.2, 0.0]],
        "color": "#0000ff",
        "opacity": 1.0,
    }
    ask = """<script>
    go(0.5);
    const at = camera($("picture").clientWidth, $("picture").clientHeight), k = devicePixelRatio;
    const { width, height } = $("picture");
    const inks = $("picture").getContext("2d").getImageData(0, 0, width, height).data;
    const seen = (x, y) => {
      const start = 4 * (Math.round(k * at.x(x)) + width * Math.round(k * at.y(y)));
      return [...inks.slice(start, start + 4)];
    };
    document.body.dataset.seen = JSON.stringify([
      shapesAt(0.5, 4)[1].points[1], seen(0.15, 1), seen(1.05, 1), seen(0.2, -0.4), seen(1.0, -0.1)
    ]);
    </script></body>"""
    page = tmp_path / "boxes.html"
    page.write_text(replay_html(boxes).replace("</body>", ask), "utf-8")
    dom, console = chromium(f"{page.as_uri()}#step=0", "--dump-dom", profile=profile)
    assert console == [] and dumped(dom, "error") is None
    corner, red, red_too, blue, outside = json.loads(dumped(dom, "seen"))
    assert corner == pytest.approx([1.1, -0.5])
    assert (red, red_too, blue) == ([255, 0, 0, 255], [255, 0, 0, 255], [0, 0, 255, 255])
    assert outside == [0, 0, 0, 0]  # the paper under the canvas


def test_the_file_stands_alone(replay):
    page = replay.read_text("utf-8")
    assert not re.findall(r"""https?://|["'(]//\w|@import|\bsrc=|url\(""", page)
    links = re.findall(r"<link[^>]*>", page)
    assert links == ['<link rel="icon" href="data:,">']
    assert "{{" not in page.replace("${", "")


def test_the_data_in_the_page_is_the_recording(replay, recording):
    data = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', replay.read_text("utf-8"), re.S
    )
    data = json.loads(data.group(1))
    assert data == to_json(recording)
    (first, _) = data["episodes"]
    assert first["rewards"] == [[1, 2], [1, 2], [0, 0], [1, 2], [1, 2]]
    assert first["metrics"] == {"moves": [1, 2, 2, 3, 4], "place": [0.5, 1, 1, 1.5, 2]}
    assert first["messages"][1] == ["", "go"]
    assert first["frames"][2][3]["x"] == 1.0
    assert [number(x) for x in (float("nan"), 1 / 3, 123456.7)] == [None, 0.33333, 123460.0]


def test_names_cannot_break_out_of_the_data():
    hostile = Walk(agent_names=("</script><img id=bad>", "<!--<script>"))
    page = replay_html(record(TwoOfThree(), hostile, jax.random.key(0), episodes=1))
    assert page.count("</script>") == 2 and "<img" not in page and "<!--" not in page
