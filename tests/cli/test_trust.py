"""Other people's code by its address: algorithms, Gymnasium and PettingZoo classes, factories."""

import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

import shoal
from shoal.cli.main import run
from shoal.core.addresses import find
from shoal.core.errors import UserError
from shoal.training.run import evaluate_run

ROBOT = '''
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import AECEnv, ParallelEnv

import shoal

SEEN = Box(-np.inf, np.inf, (2,), np.float32)


class Reach(gymnasium.Env):
    """1 for each step in which the action is the goal."""

    metadata = {"render_modes": ["rgb_array"]}
    observation_space, action_space = SEEN, Discrete(2)

    def __init__(self, length: int = 3, render_mode=None):
        self.length, self.render_mode = length, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.goal = 0, int(self.np_random.integers(2))
        return self._obs(), {}

    def step(self, action):
        self.time += 1
        return self._obs(), float(action == self.goal), False, self.time >= self.length, {}

    def render(self):
        return np.full((4, 4, 3), 40 * self.time, np.uint8)

    def _obs(self):
        return np.float32([self.goal, self.time])


class Both(ParallelEnv):
    """Three steps; each is paid its action."""

    metadata = {"name": "both", "render_modes": ["rgb_array"]}
    possible_agents = ["a", "b"]

    def observation_space(self, agent):
        return SEEN

    def action_space(self, agent):
        return Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.time = list(self.possible_agents), 0
        return self._each(np.zeros(2, np.float32)), self._each({})

    def step(self, actions):
        self.time += 1
        over, here = self.time == 3, self._each(np.full(2, self.time, np.float32))
        rewards = {agent: float(action) for agent, action in actions.items()}
        out = here, rewards, self._each(False), self._each(over), self._each({})
        self.agents = [] if over else self.agents
        return out

    def render(self):
        return np.full((4, 4, 3), 40 * self.time, np.uint8)

    def _each(self, value):
        return dict.fromkeys(self.agents, value)


class Turns(AECEnv):
    """Two turns each, of which the second is the last."""

    metadata = {"name": "turns", "render_modes": ["rgb_array"]}
    possible_agents = ["a", "b"]

    def observation_space(self, agent):
        return SEEN

    def action_space(self, agent):
        return Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.count = ["a", "b"], 0
        self.rewards = self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self.agent_selection = "a"

    def observe(self, agent):
        return np.full(2, self.count, np.float32)

    def step(self, action):
        if action is None:
            self.agents.remove(self.agent_selection)
        else:
            self.count += 1
            self.rewards = {agent: 0.0 for agent in self.agents}
            self.rewards[self.agent_selection] = float(action)
            if self.count == 4:
                self.terminations = dict.fromkeys(self.agents, True)
        if self.agents:
            self.agent_selection = self.agents[self.count % len(self.agents)]

    def render(self):
        return np.full((4, 4, 3), 40 * self.count, np.uint8)


def make_both():
    return Both()


def make_simple():
    return shoal.make("mpe/simple", horizon=5)


def broken():
    raise RuntimeError("no serial port")


def nothing():
    return None


class Neither:
    pass
'''

OWN = """
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

import shoal
from shoal.agents.policy_gradient import reinforce
from shoal.core.limits import Positive


class Reinforce(reinforce.REINFORCE):
    bonus: Positive = 0.5


class Rings(eqx.Module):
    points: jax.Array
    act: Callable
    size_out: int = eqx.field(static=True, default=5)

    def __init__(self, size_in, key):
        self.points, self.act = jax.random.normal(key, (5, size_in)), jnp.exp

    def __call__(self, x):
        return self.act(-((x[:, None] - self.points) ** 2).sum(-1))


def narrow(size_in, key):
    return eqx.tree_at(lambda r: r.points, Rings(size_in, key), jnp.zeros((4, size_in)))


def silent(size_in, key):
    return jnp.tanh
"""

SIZES = dict(total_steps=32, num_envs=4, unroll=4, evaluations=1, eval_episodes=4)
TINY = ["--steps", "32", *(w for k, v in list(SIZES.items())[1:] for w in (f"--{k}", str(v)))]
TINY += ["--algo.hidden", "8"]
INSIDE = ["--env.in-process", "True"]
CASES = {
    "algorithm": ("own.py:Reinforce", "mpe/simple", ["--algo.bonus", "0.25"]),
    "gymnasium": ("own.py:Reinforce", "robot.py:Reach", ["--env.workers", "1"]),
    "parallel": ("reinforce", "robot.py:Both", INSIDE),
    "aec": ("reinforce", "robot.py:Turns", INSIDE),
    "host factory": ("reinforce", "robot.py:make_both", INSIDE),
    "torso": ("mappo", "mpe/simple", ["--algo.torso", "own.py:Rings"]),
    "factory of ours": ("reinforce", "robot.py:make_simple", ["--env.damping", "0.5"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own code")
    (folder / "robot.py").write_text(ROBOT)
    (folder / "own.py").write_text(OWN)
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_every_verb_from_no_more_than_the_directory(
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    algorithm, environment, options = CASES[case]
    out = str(tmp_path / "run")
    words = ["train", algorithm, environment, *TINY, *options, "--pictures", "False"]
    assert run([*words, "--out", out]) == 0
    monkeypatch.chdir(os.sep)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for key, name in (("algorithm", algorithm), ("environment", environment)):
        assert config[key] == (f"{here}/{name}" if ".py:" in name else name)
    for option, value in zip(options[::2], options[1::2]):
        part, field = option.removeprefix("--").split(".")
        kept = config[{"algo": "algorithm_fields", "env": "environment_fields"}[part]]
        assert str(kept[field.replace("-", "_")]).endswith(value)
    capsys.readouterr()
    assert run(["eval", out, "--episodes", "3", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["episodes"] == 3
    files = {str(here / word.partition(":")[0]) for word in CASES[case][:2] if ".py:" in word}
    files |= {f"{here}/own.py"} if case == "torso" else set()
    assert {line for line in printed.err.splitlines() if line.endswith(" names")} == {
        f"shoal: runs {file}, code that {out}/config.json names" for file in files
    }
    assert run(["resume", out, "--pictures", "False"]) == 0
    assert run(["render", out, "--episodes", "1"]) == 0
    assert run(["export", out, "--format", "stablehlo"]) == 0
    assert {"replay.html", "policy.stablehlo"} <= {p.name for p in (tmp_path / "run").iterdir()}
    loaded = shoal.load(out)
    assert loaded.env.spec.name == config["environment"]
    assert evaluate_run(loaded, episodes=2)["return"]["mean"] <= 4


def test_code_that_came_with_a_run_is_run_on_request_only(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, ran = tmp_path / "gift", tmp_path / "ran"
    words = ["train", "own.py:Reinforce", "robot.py:make_simple", *TINY, "--pictures", "False"]
    assert run([*words, "--out", str(out)]) == 0
    for name in ("own.py", "robot.py"):
        (out / name).write_text((here / name).read_text() + f"\nopen({str(ran)!r}, 'a').close()")
    config = (out / "config.json").read_text().replace(str(here), str(out))
    (out / "config.json").write_text(config)
    for verb in ("eval", "render", "resume", "export"):
        capsys.readouterr()
        assert run([verb, str(out)]) == 2
        assert f"wants code run that came with it, {out}/own.py" in capsys.readouterr().err
    for words in (["compare", str(out)], ["compare", str(out), "--yardstick", "observed"]):
        run(words)
    assert run(["report", str(out), "--out", str(tmp_path / "page.html")]) == 0
    assert not ran.exists()
    run(["eval", str(out), "--episodes", "2", "--trust"])  # of another configuration by now
    assert ran.exists()


def test_python_takes_addresses_and_hyper_parameters(here: Path, tmp_path: Path) -> None:
    trained = shoal.train(
        "own.py:Reinforce", "robot.py:Both", out=tmp_path / "a", bonus=2.0, hidden=(8,), **SIZES
    )
    assert trained.config.algorithm_fields["bonus"] == 2.0
    assert trained.config.algorithm_fields["hidden"] == [8]
    assert shoal.resume(tmp_path / "a").config == trained.config
    with pytest.raises(UserError, match="unknown setting 'bonu': did you mean 'bonus'"):
        shoal.train("own.py:Reinforce", "robot.py:Both", bonu=1.0)
    with pytest.raises(UserError, match="unknown setting 'num_env': did you mean 'num_envs'"):
        shoal.train("mappo", "mpe/simple", num_env=4)
    with pytest.raises(UserError, match="unknown setting 'clp': did you mean 'clip'"):
        shoal.train(shoal.make_algorithm("mappo"), "mpe/simple", clp=0.1)


def test_make_takes_settings_of_the_constructor_and_fields_of_ours(here: Path) -> None:
    env = shoal.make("robot.py:Reach", length=7, frame_stack=2)
    assert env.settings == '{"length": 7}' and env.spec.obs_sizes == (4,)
    assert shoal.make("robot.py:make_simple").spec.horizon == 5
    assert shoal.make("robot.py:make_simple", horizon=6).spec.horizon == 6


def test_a_torso_replaces_the_layers(here: Path) -> None:
    spec = shoal.make("mpe/simple").spec
    algorithm = shoal.make_algorithm("ippo", torso="own.py:Rings")
    assert algorithm.torso == f"{here}/own.py:Rings"
    assert shoal.make_algorithm("ippo", torso=find(algorithm.torso)).torso == algorithm.torso
    actor = algorithm.init(spec, jax.random.key(0)).params["actor"]
    assert actor.network.stack.torso.arrays.points.shape == (1, 5, spec.obs_size)
    x = jax.random.normal(jax.random.key(1), (3, 1, spec.obs_size))
    layers = jax.tree.map(lambda leaf: leaf[0], actor.network.stack)
    seen = np.exp(-((x - layers.torso.arrays.points) ** 2).sum(-1))
    expected = seen @ layers.head.weight + layers.head.bias
    np.testing.assert_allclose(actor.network.step(x, None)[0][:, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("torso", "said"),
    [
        ("own.py:Ring", "did you mean 'Rings'"),
        ("own.py:narrow", r"own.py:narrow gives \(2, 4\) of \(2, 4\), and its size_out is 5"),
        ("own.py:silent", r"own.py:silent gives \(2, 4\) of \(2, 4\), and its size_out is None"),
        ("robot.py:broken", "torso robot.py:broken: TypeError"),
        ("os:abort", "os:abort is of Python's own library"),
        (lambda size_in, key: None, "expected a class or function of a module or file"),
    ],
)
def test_torsos_that_will_not_do(here: Path, torso: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        shoal.train("ippo", "mpe/simple", torso=torso)
    assert not (here / "runs").exists()


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    assert shoal.make_algorithm(f"{file}:Reinforce").bonus == 0.5
    file.write_text(OWN.replace("0.5", "0.75"))
    assert shoal.make_algorithm(f"{file}:Reinforce").bonus == 0.75


@pytest.fixture(scope="module")
def nameless(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> str:
    """A run that was trained on an object."""
    out = tmp_path_factory.mktemp("runs") / "nameless"
    both = shoal.make(f"{folder}/robot.py:make_both").build
    kind = type(both().game.env)
    env = shoal.from_pettingzoo(kind, name="both", frame_stack=2, in_process=True)
    shoal.train("reinforce", env, out=out, hidden=(8,), **SIZES)
    return str(out)


def test_an_object_without_an_address_is_named_afterwards(
    here: Path, nameless: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for verb in ("eval", "render", "resume", "export"):
        assert run([verb, nameless]) == 2
        err = capsys.readouterr().err
        assert "was an object without an address" in err and "--env FILE.py:NAME" in err
    env = ["--env", "robot.py:make_both"]
    assert run(["eval", nameless, "--episodes", "2", *env]) == 0
    assert run(["render", nameless, "--episodes", "1", *env]) == 0
    assert run(["resume", nameless, "--pictures", "False", *env]) == 0
    assert run(["export", nameless, "--format", "stablehlo", *env]) == 0
    assert shoal.load(nameless, env="robot.py:Both").env.frame_stack == 2  # as the run's had


def test_a_file_that_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "robot.py").write_text(ROBOT)
    (tmp_path / "own.py").write_text(OWN)
    words = ["train", "own.py:Reinforce", "robot.py:Reach", *TINY, *INSIDE]
    assert run([*words, "--out", "run", "--pictures", "False"]) == 0
    (tmp_path / "robot.py").rename(tmp_path / "robot_2.py")
    capsys.readouterr()
    assert run(["eval", "run"]) == 2
    err = capsys.readouterr().err
    assert f"there is no file {tmp_path}/robot.py, which had the run's environment" in err
    assert run(["eval", "run", "--episodes", "2", "--env", "robot_2.py:Reach"]) == 0
    (tmp_path / "own.py").unlink()
    capsys.readouterr()
    assert run(["eval", "run", "--env", "robot_2.py:Reach"]) == 2
    assert "which had the run's algorithm: put it back" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ippo robot.py:make_bot", "did you mean 'make_both'?"),
        ("ippo robot.py:broken", "broken makes no environment: "),
        ("ippo robot.py:broken", "line 116: RuntimeError: no serial port"),
        (
            "ippo robot.py:nothing",
            "robot.py:nothing makes a NoneType, expected an object of shoal.Env",
        ),
        ("ippo robot.py:Neither", "is no environment, expected a class of shoal.Env, of Gymnasium"),
        ("ippo timeit:timeit", "timeit:timeit is of Python's own library, expected code of yours"),
        ("ippo own.py:Reinforce", "is no environment, expected a class of shoal.Env, of Gymnasium"),
        ("ippo robot.py:Reach --env.wrkers 2", "did you mean '--env.workers'?"),
        ("ippo robot.py:make_both --env.wrkers 2", "did you mean '--env.workers'?"),
        ('ippo robot.py:Reach --env.settings {"lenth":3}', "no setting 'lenth': it takes length"),
        ("own.py:Reinfore robot.py:Reach", "did you mean 'Reinforce'?"),
        ("own.py robot.py:Reach", "for instance own.py:Rings"),
        ("robot.py:Reach mpe/simple", "is no algorithm, expected a class of shoal.Algorithm"),
        ("own.py:Reinforce mpe/simple --algo.bonu 2", "did you mean '--algo.bonus'?"),
        (
            "own.py:Reinforce mpe/simple --algo.bonus -2",
            "--algo.bonus is -2.0, expected a positive",
        ),
        ("own.py:Reinforce mpe/simple --preset fast", "unknown preset 'fast'"),
    ],
)
def test_mistakes(here: Path, capsys: pytest.CaptureFixture[str], words: str, said: str) -> None:
    assert run(["train", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err, err
