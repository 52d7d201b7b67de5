"""The report in a real browser: what it shows, that its replays play, and that it needs nothing."""

import json
import re
import shlex

import numpy as np
import pytest
from browser import chromium, needs_browser
from paper_runs import write_run
from PIL import Image

from shoal.cli.arguments import Arguments
from shoal.cli.train import Train, read_settings
from shoal.core.colors import PALETTE
from shoal.core.errors import UserError
from shoal.recording.replay_html import save_replay
from shoal.reports import report_runs
from shoal.reports.report import MARK, report_html, save_report
from shoal.reports.reproduce import command
from shoal.reports.run_groups import read_groups
from shoal.reports.svg_chart import Interval, Line, interval_chart, line_chart, ticks
from shoal.runs.config import Config
from shoal.runs.fields import fields_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory, recording):
    """Two algorithms in one world; the first has a replay."""
    folder = tmp_path_factory.mktemp("runs")
    first = write_run(folder / "first", [-3.0, -4.0, -5.0])
    save_replay(recording, first / "replay.html")
    return [first, write_run(folder / "second", [-8.0, -9.0], algorithm="a2c")]


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return save_report(read_groups(runs), path, reference="observed")


# Charts.


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-7.3, 1.2, [-8, -6, -4, -2, 0, 2]),
        (0, 41600, [0, 10000, 20000, 30000, 40000, 50000]),
        (3, 3, [3, 4]),
        (0.001, 0.0011, [0.001, 0.00102, 0.00104, 0.00106, 0.00108, 0.0011]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_a_line_is_where_its_numbers_are():
    """Ends of both axes are numbers of the line, so the path goes from corner to corner."""
    chart = line_chart(
        [Line("up", "#123456", [0, 50, 100], [0, None, 10], [0, None, 5], [0, None, 10])],
        x_label="x",
        y_label="y",
    )
    assert 'class="line" d="M52.0 250.0L424.0 12.0"' in chart
    assert 'class="band" d="M52.0 250.0L424.0 12.0L424.0 131.0L52.0 250.0Z"' in chart
    assert chart.count("<circle") == 2 and "--c:#123456" in chart
    stepped = line_chart(
        [Line("down", "#123456", [0, 50, 100], [10, 0, 0])], x_label="x", y_label="y", stepped=True
    )
    assert 'd="M52.0 12.0L238.0 12.0L238.0 250.0L424.0 250.0L424.0 250.0"' in stepped


def test_charts_of_nothing_and_of_one_number():
    assert "nothing to draw" in line_chart([Line("a", "#000", [], [])], x_label="x", y_label="y")
    one = line_chart([Line("a", "#000", [5], [2])], x_label="x", y_label="y")
    assert "nan" not in one and "inf" not in one
    rows = [Interval("<b>", "#000", 1.0, None, None, [1.0])]
    assert "nan" not in interval_chart(rows, x_label="x") and "<b>" not in interval_chart(
        rows, x_label="x"
    )


# The page.


def test_the_page_says_what_the_comparison_says(page):
    text = page.read_text("utf-8")
    minus = "\N{MINUS SIGN}"
    assert "<h1>ippo and a2c in mpe/simple</h1>" in text
    assert f">{minus}4.00 <small>[{minus}5.00, {minus}3.00]</small>" in text
    assert "<b>ippo</b> over a2c</td><td>1.00 <small>[1.00, 1.00]</small>" in text
    assert "5 trained seeds in 2 runs" in text
    assert "return of second" in text and "success" in text
    assert "shoal train ippo mpe/simple --steps 1000 --seed 0 --seeds 3" in text
    assert "jax 0.10.2" in text and "paper, 1 cpu devices" in text
    assert "no replay: make one with shoal render" in text


def test_the_page_stands_alone(page):
    text = page.read_text("utf-8")
    assert MARK in text and "default-src 'none'" in text
    outside = re.sub(r"srcdoc='[^']*'", "", text)
    assert not re.findall(r"""https?://|["'(]//\w|@import|\bsrc=|url\(|<script""", outside)
    assert "{{" not in outside
    assert len(text) < 2**20


def test_names_cannot_break_out(runs, tmp_path):
    hostile = "</title><script>alert(1)</script>"
    run = write_run(tmp_path / "x", [1.0, 2.0], algorithm="<img src=x>", algo={"a": "'\"><script>"})
    text = report_html(read_groups([runs[0], run]), title=hostile, reference="none")
    outside = re.sub(r"srcdoc='[^']*'", "", text)
    assert "<script" not in outside and "<img" not in outside
    assert "return of &lt;first&gt;" in outside


@needs_browser
def test_a_browser_shows_it_without_complaint_and_plays_the_replay(page, tmp_path, recording):
    """The frame holds the very page that `shoal render` makes; here it tells its parent."""
    tell = (
        "addEventListener('message', (e) => { document.body.dataset.played = e.data; });"
        "</script><main>"
    )
    text = page.read_text("utf-8").replace("<main>", f"<script>{tell}", 1)
    inner = (
        "<script>parent.postMessage(document.getElementById('about').textContent"
        " + ' step ' + document.getElementById('length').textContent + ' '"
        " + (document.body.dataset.error || 'fine'), '*');</script></body>"
    )
    quoted = inner.replace("&", "&amp;").replace("'", "&#39;")
    end = text.index("</iframe>")
    at = text.rindex("</body>", 0, end)
    driven = tmp_path / "driven.html"
    driven.write_text(text[:at] + quoted + text[at + len("</body>") :], "utf-8")
    dom, console = chromium(driven.as_uri(), "--dump-dom", profile=tmp_path / "profile")
    assert console == []
    played = re.search(r'data-played="([^"]*)"', dom)
    assert played and "two_of_three" in played.group(1) and played.group(1).endswith("step 5 fine")


@needs_browser
@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, 1), (390, 0)], ids=["wide light", "phone dark"]
)
def test_a_browser_paints_both_algorithms_on_its_ground(page, tmp_path, width, scheme):
    shot = tmp_path / "shot.png"
    chromium(
        page.as_uri(),
        f"--screenshot={shot}",
        f"--window-size={width},2400",
        f"--blink-settings=preferredColorScheme={scheme}",
        profile=tmp_path / "profile",
    )
    image = np.asarray(Image.open(shot).convert("RGB"), int)
    assert image.shape[1] == width
    assert (np.median(image) > 128) == (scheme == 1)
    for color in PALETTE[:2]:
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(image - wanted).max(-1) < 12).sum() > 300


def test_a_page_on_many_groups_stays_readable(tmp_path):
    runs = [
        write_run(tmp_path / f"{k}", [k + 0.5, k + 2.0], algorithm=f"algo_{k}") for k in range(6)
    ]
    few, many = (
        report_html(read_groups(runs[:n]), reference="none", replays=False) for n in (5, 6)
    )
    assert "<h1>5 algorithms in mpe/simple</h1>" in few and 'class="band" d=' in few
    assert "More than 5 groups are drawn without intervals" in many
    assert 'class="band" d=' not in many and '<rect class="band"' in many


def test_the_first_replay_that_there_is_is_open(runs):
    """The best group comes first, and has a replay here; the other says how to make one."""
    text = report_html(read_groups(runs), reference="none")
    assert text.count("<details open>") == 1 and "loading=" not in text
    assert "<p>a2c: no replay: make one with shoal render" in text


def test_replays_that_do_not_fit_are_named(runs, monkeypatch):
    monkeypatch.setattr(report_runs, "BUDGET", 1000)
    frames = report_runs.embedded_replays(read_groups(runs))
    assert "<iframe" not in "".join(frames.values())
    assert f"too large to embed: open {runs[0] / 'replay.html'}" in frames["mpe/simple", "ippo"]


def test_other_files_are_not_overwritten(runs, tmp_path):
    groups = read_groups(runs)
    path = tmp_path / "mine.html"
    path.write_text("<html>my thesis</html>")
    with pytest.raises(UserError, match="exists and is not a report of Shoal's"):
        save_report(groups, path, reference="none")
    assert path.read_text() == "<html>my thesis</html>"
    with pytest.raises(UserError, match="is no folder"):
        save_report(groups, tmp_path / "no" / "report.html")
    with pytest.raises(UserError, match="is a folder"):
        save_report(groups, tmp_path)
    own = save_report(groups, tmp_path / "own.html", reference="none", replays=False)
    assert save_report(groups, own, title="Again", reference="none").read_text().count("Again") == 2


# Commands.


@pytest.mark.parametrize(
    ("algorithm", "world", "words"),
    [
        ("ippo", "mpe/simple_spread", ["--env.num-agents", "4", "--algo.hidden", "32", "16"]),
        ("vdn", "mpe/simple", ["--seeds", "3", "--num-envs", "16", "--preset", "none"]),
    ],
)
def test_a_command_parses_back_into_the_config(algorithm, world, words):
    """The configuration that a command line leads to is that of the command made from it."""
    first = _config(algorithm, world, words)
    typed = shlex.split(command(json.loads(json.dumps(first.to_json()))))
    assert typed[:4] == ["shoal", "train", algorithm, world]
    again = _config(algorithm, world, typed[4:])
    changed = {"preset"}
    assert {k: v for k, v in again.to_json().items() if k not in changed} == {
        k: v for k, v in first.to_json().items() if k not in changed
    }


def _config(algorithm, world, words):
    options = read_settings(Train, algorithm, world, Arguments.of(words))
    names = ("seed", "seeds", "preset", "num_envs", "unroll", "evaluations", "eval_episodes")
    return Config(
        algorithm=algorithm,
        algorithm_fields=fields_of(options.algo),
        environment=world,
        environment_fields=fields_of(options.env),
        total_steps=options.steps,
        **{name: getattr(options, name) for name in names},
    )


def test_a_sweep_is_a_few_lines_of_python():
    config = _config("ippo", "mpe/simple", ["--algo.hidden", "32", "16"]).to_json()
    config |= {"sweep": {"clip": [0.1, 0.3]}}
    said = command(config)
    calls = []

    class shoal:
        make = staticmethod(lambda name: name)
        train = staticmethod(lambda *names, **settings: calls.append((names, settings)))

    exec(said.replace("import shoal\n", ""), {"shoal": shoal})
    ((names, settings),) = calls
    assert names == ("ippo", "mpe/simple")
    assert settings["sweep"] == {"clip": [0.1, 0.3]} and settings["preset"] == "none"
    assert settings["hidden"] == [32, 16]
    assert settings["total_steps"] == config["total_steps"]
