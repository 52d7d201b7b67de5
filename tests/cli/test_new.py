"""A world of one's own, from nothing to a replay, in a folder outside the repository."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import shoal
from shoal import registry
from shoal.cli.declared import fields
from shoal.cli.main import run
from shoal.core import addresses
from shoal.core.errors import UserError
from shoal.core.names import headings, short_name

POND = "fish_pond.py:FishPond"
TINY = [
    *("--steps", "400", "--num-envs", "8", "--unroll", "25", "--evaluations", "1"),
    *("--eval-episodes", "4", "--algo.hidden", "8", "--algo.minibatches", "2"),
    *("--algo.epochs", "1", "--pictures", "False"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pond(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(["new", "environment", "fish_pond"]) == 0
    capsys.readouterr()
    return folder


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a mistake leaves."""
    assert run(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("shoal: "), err
    return err


# shoal new


def test_new_says_what_to_do_next(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "environment", "fish_pond"]) == 0
    out = capsys.readouterr().out
    assert f"shoal check {POND}" in out and f"shoal train ippo {POND}" in out
    assert {p.name for p in folder.iterdir()} == {"fish_pond.py", "test_fish_pond.py"}
    assert "{{" not in (folder / "fish_pond.py").read_text()
    assert "{{" not in (folder / "test_fish_pond.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new",), "environment|algorithm is missing"),
        (("new", "environment"), "NAME is missing"),
        (("new", "enviroment", "pond"), "did you mean 'environment'?"),
        (("new", "environment", "FishPond"), "such as 'fish_pond'"),
        (("new", "environment", "fish-pond"), "such as 'fish_pond'"),
        (("new", "environment", "2fish"), "such as 'fish'"),
        (("new", "environment", "class"), "such as 'class_environment'"),
        (("new", "environment", "pond/fish"), "cannot name an environment"),
        (("new", "algorithm", "2"), "'2' cannot name an algorithm"),
        (("new", "algorithm", "optax"), "would hide the module 'optax': try 'optax_algorithm'"),
        (("new", "environment", "json"), "would hide the module 'json': try 'json_environment'"),
        (("new", "environment", "jax"), "would hide the module 'jax'"),
        (("new", "environment", "pond", "--force"), "unknown option '--force'"),
    ],
)
def test_mistakes_of_new(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert said in mistake(capsys, *arguments)
    assert list(folder.iterdir()) == []


def test_new_overwrites_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "test_pond.py").write_text("mine")
    assert "test_pond.py is there already" in mistake(capsys, "new", "environment", "pond")
    assert [p.name for p in folder.iterdir()] == ["test_pond.py"]
    assert (folder / "test_pond.py").read_text() == "mine"


def test_the_new_test_passes(pond: Path) -> None:
    """Learning included: it is the claim that the template makes."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_fish_pond.py"],
        capture_output=True,
        text=True,
        cwd=pond,
        env=_environment(),
    )
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout + done.stderr


def test_the_new_algorithm_and_its_test_pass(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["new", "algorithm", "gentle_steps"]) == 0
    address = "gentle_steps.py:GentleSteps"
    assert f"shoal train {address} mpe/simple_spread" in capsys.readouterr().out
    assert run(["train", address, "mpe/simple", *TINY[:-6], *TINY[-2:], "--out", "run"]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_gentle_steps.py"],
        capture_output=True,
        text=True,
        cwd=folder,
        env=_environment(),
    )
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr


def _environment() -> dict[str, str]:
    """This process's, with the library on the path."""
    import os

    source = str(Path(shoal.__file__).parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}


# shoal check


def test_check_of_a_sound_world(pond: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", POND, "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    assert "✓ limit" in out and "- scripted" in out and "0 errors, 0 warnings" in out


def test_check_names_the_mend(pond: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = pond / "fish_pond.py"
    text = file.read_text()
    assert text.count("state.time >= self.horizon") == 1
    file.write_text(text.replace("state.time >= self.horizon", "state.time > self.horizon"))
    arguments = ["check", POND, "--episodes", "4", "--env.growth", "2", "--env.num-agents", "1"]
    assert run(arguments) == 1
    out = capsys.readouterr().out
    assert "✗ limit" in out and "off by one" in out and "mend" in out and "1 error," in out

    assert run([*arguments, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] == 1 and report["checks"]["limit"] == "failed"
    assert report["checks"]["spec"] == "passed" and report["checks"]["scripted"] == "skipped"
    [finding] = [f for f in report["findings"] if f["severity"] == "error"]
    assert finding["step"] == 25 and finding["seed"] is not None
    assert set(finding) >= {"check", "seen", "expected", "mend", "agent"}


def test_check_of_a_world_that_cannot_be_built(
    pond: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (pond / "fish_pond.py").open("a") as file:
        file.write("\n    def __check_init__(self):\n        1 / (self.horizon - 25)\n")
    assert run(["check", POND]) == 1
    out = capsys.readouterr().out
    assert "building it raises ZeroDivisionError in fish_pond.py, line" in out


def test_check_of_a_name_of_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "mpe/simple", "--json", "--episodes", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["environment"] == "mpe/simple" and report["errors"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check",), "MODULE:CLASS is missing"),
        (("check", "mpe/simpel"), "did you mean 'mpe/simple'?"),
        (("check", "fish_pnd.py:FishPond"), "did you mean 'fish_pond.py'?"),
        (("check", "fish_pnd:FishPond"), "did you mean 'fish_pond'?"),
        (("check", "fish_pond.py:FishPod"), "did you mean 'FishPond'?"),
        (("check", "fish_pond.py:"), "fish_pond.py:FishPond"),
        (("check", "fish_pond.py"), "fish_pond.py:FishPond"),
        (("check", ":FishPond"), "names no file or module"),
        (("check", "no/such/folder/a.py:B"), "there is no file"),
        (("check", "fish_pond.py:State"), "State of"),
        (("check", "fish_pond.py:State"), "is no environment, expected a class of shoal.Env"),
        (("check", "shoal.core.env:Env"), "lacks reset, spec, step"),
        (("check", POND, "--episodes", "0"), "--episodes is 0, expected at least 1"),
        (("check", POND, "--env.groth", "2"), "did you mean '--env.growth'?"),
        (("check", "broken.py:World"), "line 1: "),
        (("check", "missing.py:World"), "ModuleNotFoundError: No module named 'nothing_at_all'"),
        (("train", "ippo", "fish_pond.py:FishPod"), "did you mean 'FishPond'?"),
        (("train", "ippo", POND, "--env.groth", "2"), "did you mean '--env.growth'?"),
        (("info", "fish_pond.py:FishPod"), "did you mean 'FishPond'?"),
    ],
)
def test_mistakes_in_addresses(
    pond: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    (pond / "broken.py").write_text("class World(\n")
    (pond / "missing.py").write_text("import nothing_at_all\n\n\nclass World:\n    pass\n")
    assert said in mistake(capsys, *arguments)


def test_a_mistake_in_an_address_is_found_without_jax(pond: Path) -> None:
    script = (
        "import sys; from shoal.cli.main import run\n"
        f"code = run(['train', 'ippo', '{POND}', '--env.groth', '2'])\n"
        "print(code, [m for m in ('jax', 'numpy', 'equinox', 'tyro') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=_environment()
    )
    assert done.stdout == "2 []\n", done.stderr


# Addresses as names of environments.


@pytest.mark.parametrize("address", [POND, "fish_pond:FishPond"])
def test_train_eval_resume_and_render_from_another_folder(
    pond: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
) -> None:
    (pond / "elsewhere").mkdir()
    assert run(["train", "ippo", address, *TINY, "--env.growth", "1.5"]) == 0
    directory = pond / "runs" / "ippo_fish_pond_0"
    config = json.loads((directory / "config.json").read_text())
    assert config["environment"] == f"{pond / 'fish_pond.py'}:FishPond"
    assert config["environment_fields"]["growth"] == 1.5

    monkeypatch.chdir(pond / "elsewhere")
    capsys.readouterr()
    assert run(["eval", str(directory), "--episodes", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["metrics"]) >= {"caught", "fish_left", "return/fisher_0"}
    assert run(["resume", str(directory), "--pictures", "False"]) == 0
    assert run(["render", str(directory), "--episodes", "1"]) == 0
    replay = (directory / "replay.html").read_text()
    assert "<title>fish_pond.py:FishPond replay</title>" in replay and "fisher_0" in replay
    assert str(pond) not in replay
    assert shoal.load(directory).env.growth == 1.5  # pyright: ignore


def test_a_run_whose_world_is_gone_says_so(pond: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "ippo", POND, *TINY, "--out", "run"]) == 0
    (pond / "fish_pond.py").rename(pond / "fish_pond_2.py")
    capsys.readouterr()
    assert "there is no file" in mistake(capsys, "eval", "run")
    (pond / "fish_pond_2.py").rename(pond / "fish_pond.py")
    assert run(["eval", "run", "--episodes", "2"]) == 0


def test_make_takes_addresses_of_files_and_modules(pond: Path) -> None:
    for address in (POND, "./fish_pond.py:FishPond", f"{pond}/fish_pond.py:FishPond"):
        world = shoal.make(address, num_agents=5)
        assert world.spec.name == f"{pond / 'fish_pond.py'}:FishPond"
        assert world.spec.num_agents == 5
    simple = "shoal.envs.particle.simple:Simple"
    assert shoal.make(simple).spec.name == simple
    with pytest.raises(UserError, match="did you mean 'growth'"):
        shoal.make(POND, groth=2.0)


def test_two_worlds_of_one_address_are_of_one_class_until_the_file_changes(pond: Path) -> None:
    first, second = shoal.make(POND), shoal.make(POND)
    assert type(first) is type(second)
    file = pond / "fish_pond.py"
    file.write_text(
        file.read_text().replace("horizon: int = eqx", "limit: int = 3\n    horizon: int = eqx")
    )
    assert shoal.make(POND, limit=4).limit == 4


def test_a_world_imports_its_neighbours(pond: Path) -> None:
    (pond / "deep_pond.py").write_text(
        "from fish_pond import FishPond\n\n\nclass DeepPond(FishPond):\n    capacity: float = 50.0"
    )
    assert shoal.make("deep_pond.py:DeepPond").capacity == 50.0
    sys.modules.pop("fish_pond")
    sys.path.remove(str(pond))


def test_addresses_are_not_listed_and_names_are_none() -> None:
    assert POND not in list(registry.ENVIRONMENTS)
    assert POND in registry.ENVIRONMENTS and "mpe/nothing" not in registry.ENVIRONMENTS
    assert short_name("mpe/simple_tag") == "simple_tag"
    assert short_name("a.b:HTTPPond2Go") == "httppond2_go"


def test_headings_leave_folders_out_unless_two_worlds_would_be_called_alike() -> None:
    called = headings(["/a/x.py:Pond", "mpe/simple", "a.b:Pond"])
    assert list(called.values()) == ["x.py:Pond", "mpe/simple", "a.b:Pond"]
    twice = ["/a/x.py:Pond", "/b/x.py:Pond", "/b/y.py:Pond"]
    assert list(headings(twice).values()) == [*twice[:2], "y.py:Pond"]


def test_fields_of_a_world_are_read_off_its_file(pond: Path) -> None:
    read = fields(addresses.resolve(POND))
    assert read == {"num_agents": int, "horizon": int, "growth": float, "capacity": float}
