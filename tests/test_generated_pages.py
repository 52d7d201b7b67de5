"""The pages that the documentation makes of the registry: one for each name, whole, and nothing on
it without a meaning. They are written without Sphinx."""

import json
import re
import sys
from pathlib import Path

import pytest

import shoal
from shoal import registry

DOCS = Path(__file__).parents[1] / "docs"
sys.path.append(str(DOCS))

from generate import algorithms, environments, gallery, results, suites  # noqa: E402
from generate.hosts import loaded  # noqa: E402
from generate.markdown import fields, meanings  # noqa: E402

ALGORITHMS = list(dict.fromkeys(e.target for e in registry.ALGORITHMS.values()))
FIRST = {entry.target: name for name, entry in reversed(registry.ALGORITHMS.items())}


def titles(page):
    return re.findall(r"^## (.+)$", page, flags=re.MULTILINE)


def rows(page, title):
    """The first cells of a section's table."""
    section = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)


@pytest.fixture
def no_trace(monkeypatch):
    """Metrics are found by tracing, which tests/training/test_metrics.py does."""
    monkeypatch.setattr(algorithms, "kept", lambda file, stamp, make: ["loss"])


@pytest.mark.parametrize("name", FIRST.values())
def test_an_algorithm_has_its_page(name, no_trace):
    page = algorithms.page(name)
    assert page.startswith(f"# {name}\n")
    assert titles(page)[: len(algorithms.SECTIONS)] == list(algorithms.SECTIONS)
    assert rows(page, "Fields") == registry.field_names(registry.ALGORITHMS[name].load())
    assert "$$" in page.partition("## Idea")[2].partition("\n## ")[0]
    assert f"$ shoal train {name} " in page
    assert f"](../_build/curves/{name}.png)" in page  # of rows that benchmarks/curves.py makes


@pytest.mark.parametrize("target", ALGORITHMS)
def test_names_of_one_algorithm_have_one_text(target, no_trace):
    names = [n for n, e in registry.ALGORITHMS.items() if e.target == target]
    texts = {algorithms.page(n).partition("## Idea")[2].partition("## Example")[0] for n in names}
    assert len(texts) == 1


def test_the_example_suits_what_the_algorithm_takes():
    assert algorithms.example("qmix") == ("mpe/simple_spread", {})
    assert algorithms.example("jal") == ("coop/climbing", {})
    assert algorithms.example("td3") == ("mpe/simple_spread", {"continuous_actions": True})


def test_what_algorithms_take():
    taken = {name: algorithms.properties(name)["Actions"] for name in ("vdn", "td3", "ppo", "sac")}
    every = "discrete, continuous, several at once"
    assert taken == {"vdn": "discrete", "td3": "continuous", "ppo": every, "sac": every[:20]}


@pytest.mark.parametrize("name", registry.ENVIRONMENTS)
def test_an_environment_has_its_page(name):
    env, page = shoal.make(name), environments.page(name)
    assert page.startswith(f"# {name}\n")
    assert set(environments.SECTIONS) <= set(titles(page))
    assert rows(page, "Metrics") == [metric for metric, _ in env.spec.metrics]
    assert rows(page, "Fields") == [f.name for f in fields(env)]
    policies = {r["policy"] for r in results.rows("scores/scores.csv") if r["environment"] == name}
    assert policies == {"random", "scripted"} or (policies == {"random"} and "game/" in name)


def test_indexes_name_everything():
    every = (
        (algorithms.index(list(registry.ALGORITHMS)), registry.ALGORITHMS),
        (environments.index(list(registry.ENVIRONMENTS)), registry.ENVIRONMENTS),
    )
    for page, names in every:
        assert sorted(re.findall(r"^\| \[([\w/]+)\]", page, flags=re.MULTILINE)) == sorted(names)


def test_the_gallery_plays_every_environment():
    page = gallery.page(list(registry.ENVIRONMENTS))
    played = re.findall(r'<iframe src="replays/([\w-]+)\.html"', page)
    assert played == [environments.file_name(name) for name in registry.ENVIRONMENTS]


@pytest.mark.parametrize("suite", registry.SUITES)
def test_a_suite_has_its_page(suite):
    text = (DOCS / "suites" / f"{suite}.md").read_text()
    assert text.startswith(f"# {suite}\n") and titles(text) == list(suites.SECTIONS)
    assert f"{suite}:" in text.partition("## Example")[2]
    assert suite in (DOCS / "suites" / "index.md").read_text().partition("```{toctree}")[2].split()
    extras = re.findall(r"shoal\[(\w+)\]", text)
    assert extras and set(extras) <= set(registry_extras())
    assert rows(suites.end(suite), "Fields")[0] == "settings"


def registry_extras():
    import tomllib

    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]
    return project["optional-dependencies"]


def test_results_are_those_of_the_tables():
    (two_step,) = [r for r in results.of_algorithm("vdn") if r.environment == "coop/two_step"]
    assert (two_step.seeds, two_step.steps) == (20, 200_000)
    assert two_step.score == "7.00 [7.00, 7.00]"
    assert {r.algorithm for r in results.of_algorithm("ppo")} == {"ppo", "ippo"}
    assert {r.environment for r in results.of_suite("jumanji")} == {
        "jumanji:LevelBasedForaging-v0",
        "jumanji:RobotWarehouse-v0",
    }
    names = registry.ENVIRONMENTS.keys()
    assert not [r for r in results.results() if "/" in r.environment and r.environment not in names]


def test_a_field_without_a_meaning_is_found():
    class Silent(type(shoal.make("mpe/simple"))):
        quiet: float = 1.0

    assert "quiet" not in meanings(Silent) and "horizon" in meanings(Silent)
    with pytest.raises(KeyError, match="quiet"):
        fields(Silent())


def test_a_metric_without_a_meaning_is_found():
    class Measured(type(shoal.make("mpe/simple"))):
        metric_reductions = (("distance", "last"), ("unheard_of", "last"))

    with pytest.raises(KeyError, match="does not say what unheard_of means"):
        environments.metric_meanings(Measured())


@pytest.mark.parametrize(
    ("ending", "text", "found"),
    [
        (".html", '<script src="https://cdn.example/mathjax.js"></script>', 1),
        (".html", '<link rel="stylesheet" href="//fonts.example/x.css">', 1),
        (".html", "<style>@font-face { src: url(https://fonts.example/a.woff) }</style>", 1),
        (".html", '<img src="../_images/a.png"><a href="https://example.org">there</a>', 0),
        (".html", '<link rel="canonical" href="https://example.org/">', 0),
        (".css", 'a { background: url("https://example.org/a.png") } @import "//b/c.css";', 2),
        (".css", "a { background: url(a.png) }", 0),
    ],
)
def test_what_another_host_would_be_asked_for_is_found(ending, text, found):
    assert len(loaded(text, ending)) == found


@pytest.mark.parametrize("formula", [r"\unheardof x", r"a & b", r"\text{a $b$}"])
def test_a_formula_that_has_no_mathml_is_found(formula):
    pytest.importorskip("latex2mathml")
    from mathml import mathml

    with pytest.raises(ValueError, match="has no MathML"):
        mathml(formula, display=True)
    equation = mathml(r"\begin{aligned} y &= \arg\max_a Q_a \\ z &= 1 \end{aligned}", display=True)
    assert equation.count("<mtr>") == 2 and ">argmax<" in equation


def test_what_takes_long_is_kept_until_the_code_changes(tmp_path):
    from generate.cache import kept

    made, file = [], tmp_path / "stamps" / "x.json"
    for stamp in ("a", "a", "b"):
        assert kept(file, stamp, lambda: made.append(1) or len(made)) == len(made)
    assert len(made) == 2 and json.loads(file.read_text())["stamp"] == "b"
