"""Exported policies against the live ones, run where neither Shoal nor JAX can be imported."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jaxtyping import Array, Float

import shoal
from shoal import registry
from shoal.cli import main
from shoal.core.algorithm import Policy, where_done
from shoal.core.distributions import Categorical, Distribution
from shoal.core.env import Env, to_act_on
from shoal.core.errors import UserError
from shoal.export.export import export_policy, export_run
from shoal.export.onnx_export import to_onnx
from shoal.export.policy_function import PolicyFunction, policy_function
from shoal.export.stablehlo_export import to_stablehlo

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "run_exported.py"
STEPS, BATCH = 200, 2

CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "one group": ("ippo", "mpe/simple_spread", {}, {"hidden": (16,)}),
    "padded observations": ("mappo", "mpe/simple_tag", {}, {"hidden": (16,), "recurrent": 8}),
    "padded actions": (
        "mappo",
        "mpe/simple_speaker_listener",
        {},
        {"hidden": (8, 8), "recurrent": 8, "activation": "gelu"},
    ),
    "box": (
        "ippo",
        "mpe/simple_reference",
        {"continuous_actions": True},
        {"hidden": (16,), "recurrent": 8, "sharing": "independent", "activation": "silu"},
    ),
    "padded box": (
        "mappo",
        "mpe/simple_speaker_listener",
        {"continuous_actions": True},
        {"hidden": (16,)},
    ),
    "values": ("vdn", "mpe/simple_tag", {}, {"hidden": (16,), "recurrent": 8}),
    "legal actions": ("iql", "game/kuhn", {}, {"hidden": (16,)}),
    "residual": ("iql", "mpe/simple_spread", {}, {"hidden": (8,), "residual": True}),
    "layer norm": ("iql", "mpe/simple_spread", {}, {"hidden": (8,), "layer_norm": True}),
    "evolved": ("openai_es", "mpe/simple_spread", {}, {"hidden": (16,), "recurrent": 4}),
    "many groups": (
        "ippo",
        "mpe/simple_spread",
        {"num_agents": 9},
        {"hidden": (8,), "sharing": "independent"},
    ),
}

ELSEWHERE = """
import sys

for name in ("shoal", "jax", "jaxlib", "equinox", "onnx"):
    sys.modules[name] = None
import numpy as np
import onnxruntime

try:
    import shoal
except ImportError:
    pass
else:
    raise SystemExit("shoal could be imported")
for policy in sys.argv[1:]:
    session = onnxruntime.InferenceSession(policy)
    names = [x.name for x in session.get_outputs()]
    record = dict(np.load(policy + ".seen.npz"))
    inputs = [x.name for x in session.get_inputs() if x.name in record]
    carries = {
        x.name: np.zeros([len(record["obs"][0]), *x.shape[1:]], np.float32)
        for x in session.get_inputs()
        if x.name not in record
    }
    rows = []
    for t in range(len(record["obs"])):
        for x in carries.values():
            x[record["starts"][t]] = 0
        out = dict(zip(names, session.run(names, {n: record[n][t] for n in inputs} | carries)))
        carries = {n: out["next_" + n].copy() for n in carries}
        rows.append(out)
    np.savez(policy + ".said.npz", **{n: np.stack([row[n] for row in rows]) for n in names})
"""


def made(case: str) -> tuple[Policy, Env]:
    """An untrained policy whose parameters are all away from zero, and its world."""
    algorithm, world, env_fields, fields = CASES[case]
    env = shoal.make(world, **env_fields)
    learner = registry.make_algorithm(algorithm, **fields)
    policy = learner.policy(learner.init(env.spec, jax.random.key(1)))
    leaves, structure = jax.tree.flatten(policy)
    rng = np.random.default_rng(2)
    moved = [x + np.float32(0.3) * rng.standard_normal(np.shape(x), np.float32) for x in leaves]
    if algorithm in ("iql", "vdn"):  # the last leaf is epsilon
        moved[-1] = jnp.float32(0.1)
    return structure.unflatten([jnp.asarray(x) for x in moved]), env


def played(policy: Policy, env: Env, steps: int = STEPS) -> dict[str, np.ndarray]:
    """Whole episodes with actions drawn from the live policy: what it saw and what it said."""

    def step(state: Any, key: Array) -> tuple[Any, dict[str, Array]]:
        world, timestep, carry, starts = state
        key_policy, key_sample, key_env, key_reset = jax.random.split(key, 4)
        carry = jax.tree.map(lambda x: jnp.where(starts[:, None, None], 0.0, x), carry)
        timestep = to_act_on(timestep)
        distribution, after = policy(timestep, carry, key_policy)
        action = distribution.sample(key_sample)
        out = {"obs": timestep.obs, "starts": starts, **said(distribution)}
        if timestep.action_mask is not None:
            out["action_mask"] = timestep.action_mask
        if after is not None:
            out["next_carry"] = after
        world, timestep = jax.vmap(env.step)(jax.random.split(key_env, BATCH), world, action)
        fresh = jax.vmap(env.reset)(jax.random.split(key_reset, BATCH))
        done = timestep.done
        world, timestep = where_done(done, fresh, (world, timestep))
        return (world, timestep, after, done), out

    def run(key: Array) -> dict[str, Array]:
        world, timestep = jax.vmap(env.reset)(jax.random.split(key, BATCH))
        zeros = jax.tree.map(lambda x: jnp.zeros((BATCH, *x.shape)), policy.initial_carry())
        state = (world, timestep, zeros, jnp.ones(BATCH, bool))
        return jax.lax.scan(step, state, jax.random.split(key, steps))[1]

    return {name: np.asarray(x) for name, x in jax.jit(run)(jax.random.key(3)).items()}


def said(distribution: Any) -> dict[str, Array]:
    """What can be read off a distribution without the code under test."""
    out = {"mode": distribution.mode()}
    for name in ("log_probs", "probs", "mean", "log_std"):
        if hasattr(distribution, name):
            out[name] = getattr(distribution, name)
    if hasattr(distribution, "q"):
        out["values"] = distribution.q
    return out


def elsewhere(records: dict[Path, dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """The files' outputs, computed by a process that has onnxruntime and NumPy."""
    for path, record in records.items():
        np.savez(f"{path}.seen.npz", **record)
    subprocess.run([sys.executable, "-c", ELSEWHERE, *map(str, records)], check=True, timeout=600)
    return [dict(np.load(f"{path}.said.npz")) for path in records]


def agree(out: dict[str, np.ndarray], live: dict[str, np.ndarray], env: Env) -> None:
    """Every output within 1e-5 of the live policy; greedy actions where there is no near tie."""
    if "mean" in live:
        low, high = env.spec.action.lows, env.spec.action.highs
        assert out["mean"] == pytest.approx(live["mean"], abs=1e-5)
        assert out["std"] == pytest.approx(np.exp(live["log_std"]), rel=1e-5, abs=1e-9)
        assert out["action"] == pytest.approx(np.clip(live["mode"], low, high), abs=1e-5)
    else:
        probs = live["probs"] if "probs" in live else np.exp(live["log_probs"])
        assert out["probs"] == pytest.approx(probs, abs=1e-5)
        assert out["probs"].sum(-1) == pytest.approx(1, abs=1e-5)
        chosen = np.take_along_axis(probs, out["action"][..., None].astype(int), -1)[..., 0]
        assert chosen == pytest.approx(probs.max(-1), abs=1e-5)
        assert (out["action"] == live["mode"]).mean() > 0.999
        possible = probs > 0
        assert out["log_probs"][possible] == pytest.approx(np.log(probs[possible]), abs=1e-5)
        assert (out["log_probs"][~possible] < -80).all()
    for name in ("values", "next_carry"):
        assert (name in out) == (name in live)
        if name in live:
            assert out[name] == pytest.approx(live[name], abs=1e-5)


def own(record: dict[str, np.ndarray], env: Env, agent: str) -> dict[str, np.ndarray]:
    """One agent's part of a record, without padding."""
    i = env.spec.agents.index(agent)
    sizes = {"obs": env.spec.obs_sizes[i], "next_carry": None, "starts": None}
    out = {}
    for name, x in record.items():
        size = sizes.get(name, env.spec.action.sizes[i])
        row = x if name == "starts" else x[:, :, i]
        out[name] = row if row.ndim < 3 else row[..., :size]
    return out


@pytest.mark.parametrize("case", CASES)
def test_onnx_says_what_the_live_policy_says(case: str, tmp_path: Path) -> None:
    """Whole episodes, all agents in one file and the last in one of its own."""
    policy, env = made(case)
    agent, live = env.spec.agents[-1], played(policy, env)
    records = {
        export_policy(policy, env, tmp_path / "policy.onnx"): live,
        export_policy(policy, env, tmp_path / "one.onnx", agent=agent): own(live, env, agent),
    }
    for out, record in zip(elsewhere(records), records.values()):
        agree(out, record, env)


@pytest.mark.parametrize("case", ["padded actions", "box", "legal actions", "values"])
def test_stablehlo_says_what_the_live_policy_says(case: str, tmp_path: Path) -> None:
    policy, env = made(case)
    live = played(policy, env, 60)
    function = policy_function(policy, env)
    path = export_policy(policy, env, tmp_path / "p.stablehlo", format="stablehlo")
    loaded = export.deserialize(bytearray(path.read_bytes()))
    assert set(loaded.platforms) == {"cpu", "cuda"}
    carry = [np.zeros((BATCH, *function.inputs[n].shape), np.float32) for n in function.carry]
    seen = [live[n] for n in function.inputs if n not in function.carry]
    rows = []
    for t in range(60):
        carry = [np.where(live["starts"][t][:, None, None], 0, x) for x in carry]
        out = loaded.call(*(x[t] for x in seen), *carry)
        carry = [np.asarray(out[f"next_{n}"]) for n in function.carry]
        rows.append({name: np.asarray(x) for name, x in out.items()})
    agree({n: np.stack([row[n] for row in rows]) for n in rows[0]}, live, env)


def session(data: bytes) -> Any:
    return onnxruntime.InferenceSession(data)


def answers(data: bytes, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    s = session(data)
    return dict(zip([x.name for x in s.get_outputs()], s.run(None, inputs)))


def test_a_policy_without_hidden_layers_is_a_product_and_a_softmax() -> None:
    """NumPy in double precision, and batches of any size from one file."""
    env = shoal.make("mpe/simple_spread")
    learner = registry.make_algorithm("ippo", hidden=(), agent_id=False)
    policy = learner.policy(learner.init(env.spec, jax.random.key(0)))
    weight = np.random.default_rng(0).normal(size=(1, 18, 5)).astype(np.float32)
    bias = np.array([[0.1, -0.2, 0.3, 0.0, 1.0]], np.float32)
    policy = eqx.tree_at(
        lambda p: (p.network.stack.head.weight, p.network.stack.head.bias),
        policy,
        (jnp.asarray(weight), jnp.asarray(bias)),
    )
    data = to_onnx(policy_function(policy, env))
    for batch in (1, 7):
        obs = np.random.default_rng(batch).normal(size=(batch, 3, 18)).astype(np.float32)
        logits = obs.astype(float) @ weight[0] + bias[0]
        odds = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        out = answers(data, obs=obs)
        assert out["probs"] == pytest.approx(odds, abs=1e-5)
        assert out["action"].tolist() == logits.argmax(-1).tolist()


def test_masks_are_inputs_where_they_change_and_only_there() -> None:
    policy, env = made("legal actions")
    data = to_onnx(policy_function(policy, env, env.spec.agents[0]))
    obs = np.zeros((1, env.spec.obs_sizes[0]), np.float32)
    for legal in ([True, False], [False, True]):
        out = answers(data, obs=obs, action_mask=np.array([legal]))
        assert out["probs"][0].tolist() == pytest.approx([float(x) for x in legal])
        assert out["action"].tolist() == [legal.index(True)]
    policy, env = made("padded actions")
    data = to_onnx(policy_function(policy, env))
    assert [x.name for x in session(data).get_inputs()] == ["obs", "carry"]
    out = answers(data, obs=np.zeros((3, 2, 11), np.float32), carry=np.zeros((3, 2, 8), np.float32))
    assert (out["probs"][:, 0, 3:] == 0).all()  # the speaker has three words
    assert (out["probs"][:, 1] > 0).all()


def test_greedy_box_actions_are_clipped_and_means_are_not() -> None:
    policy, env = made("padded box")
    function = policy_function(policy, env, "listener_0")
    obs = np.random.default_rng(0).normal(0, 30, (200, 11)).astype(np.float32)
    out = answers(to_onnx(function), obs=obs)
    low, high = env.spec.action.low, env.spec.action.high
    assert out["mean"].min() < low and out["mean"].max() > high
    assert out["action"].min() == low and out["action"].max() == high
    inside = (out["mean"] >= low) & (out["mean"] <= high)
    assert inside.any() and (out["action"] == out["mean"])[inside].all()


def test_a_file_of_one_agent_has_its_own_parameters_alone() -> None:
    policy, env = made("many groups")
    whole, one = (policy_function(policy, env, agent) for agent in (None, "agent_3"))
    size = env.spec.obs_size
    assert one.parameters == size * 8 + 8 + 8 * 5 + 5
    assert whole.parameters == 9 * one.parameters
    kept = onnx.load_from_string(to_onnx(one)).graph.initializer
    count = sum(int(np.prod(x.dims)) for x in kept if x.data_type == onnx.TensorProto.FLOAT)
    assert one.parameters <= count <= one.parameters + 4  # and a constant of the softmax


# Operations -----------------------------------------------------------------------------------

OPERATIONS = {
    "gelu": jax.nn.gelu,
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "elu": jax.nn.elu,
    "softplus": jax.nn.softplus,
    "leaky relu": jax.nn.leaky_relu,
    "layer norm": lambda x: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(1e-5 + x.var(-1))[..., None],
    "attention": lambda x: jax.nn.softmax(x @ x.swapaxes(-1, -2) / 2.0) @ x,
    "sums over axes": lambda x: jnp.einsum("bnd,bmd->bdn", x, jnp.flip(x, 1)[:, :2]),
    "columns": lambda x: x[..., jnp.array([3, 0, 0])],
    "rows": lambda x: x[:, jnp.array([2, 1])],
    "a row": lambda x: x[:, 1],
    "rows from a place": lambda x: jax.lax.dynamic_slice_in_dim(x, 1, 2, 1),
    "every other": lambda x: x[..., ::2],
    "shifted": lambda x: jnp.pad(x, ((0, 0), (1, 0), (0, 2)), constant_values=1.5)[:, :-1],
    "sums so far": lambda x: jnp.cumsum(x, 1) - jnp.cumsum(x, 1)[:, ::-1].max(1, keepdims=True),
    "folded batch": lambda x: (x.reshape(-1, 4) + jnp.arange(4.0)).reshape(-1, 3, 4),
    "constants beside": lambda x: jnp.concatenate(
        [x, jnp.broadcast_to(jnp.eye(3), (x.shape[0], 3, 3))], -1
    ),
    "powers": lambda x: x**2 + x**3 + x**5 + jnp.abs(x) ** 0.5 + 2.0 ** (x / 4),
    "clipped": lambda x: jnp.clip(x, -0.5, 0.7) + jnp.minimum(x, 0) * jnp.floor(x),
    "logarithms": lambda x: jnp.log1p(jnp.abs(x)) + jnp.expm1(x / 3) + jax.lax.rsqrt(1 + x**2),
    "choices": lambda x: jnp.where(((x > 0) & ~(x > 1)) | (x < -1), x, -x),
    "some and all": lambda x: jnp.where((x > 1).any(-1) ^ (x < 1).all(-1), 1.0, 2.0) * x.min(-1),
    "choices of truth": lambda x: jnp.where(x > 0, x < 1, x > -1).astype(jnp.float32),
    "least": lambda x: x.argmin(-1).astype(jnp.float32) + jnp.isfinite(x).sum(-1) + x.prod(-1),
    "normalised": lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True),
    "one hot": lambda x: jax.nn.one_hot(x.argmax(-1), 4) != 0,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_those_of_jax(name: str) -> None:
    operation = OPERATIONS[name]
    inputs = {"obs": jax.ShapeDtypeStruct((3, 4), jnp.float32)}
    data = to_onnx(PolicyFunction(lambda x: {"out": operation(x)}, inputs, (), 0))
    for batch in (1, 6):
        x = np.random.default_rng(batch).normal(0, 1.5, (batch, 3, 4)).astype(np.float32)
        expected = np.asarray(operation(jnp.asarray(x)))
        out = answers(data, obs=x)["out"]
        assert out.shape == expected.shape and out.dtype == expected.dtype
        assert out == pytest.approx(expected, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda x: jnp.sort(x), "'sort'"),
        (lambda x: x[:, x[0, 0].argmax().astype(int)], "at places that it computes"),
        (lambda x: x + jnp.arange(x.shape[0])[:, None, None], ""),
    ],
)
def test_what_has_no_form_is_named(operation: Any, name: str) -> None:
    inputs = {"obs": jax.ShapeDtypeStruct((3, 4), jnp.float32)}
    function = PolicyFunction(lambda x: {"out": operation(x)}, inputs, (), 0)
    with pytest.raises(UserError, match=f"{name}.*--format stablehlo"):
        to_onnx(function)
    assert len(to_stablehlo(function)) > 0


# Policies that no file can hold -----------------------------------------------------------------


class Odd(Policy):
    """Not one of Shoal's."""

    kind: str = eqx.field(static=True)

    def initial_carry(self) -> Float[Array, "N 1"] | None:
        return jnp.ones((3, 1)) if self.kind == "carry" else None

    def __call__(self, timestep, carry, key) -> tuple[Distribution, Any]:
        logits = timestep.obs[..., :5]
        if self.kind == "noise":
            logits += jax.random.normal(key, logits.shape)
        return (Unheard() if self.kind == "distribution" else Categorical(logits)), carry


class Unheard(Distribution):
    """Says nothing that a file could."""

    def sample(self, key):
        raise NotImplementedError

    mode = log_prob = entropy = kl = sample


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("carry", "Odd starts from a carry that is not zero"),
        ("noise", "Odd draws random numbers as it acts"),
        (
            "distribution",
            "acts by a Unheard .* one of Categorical, FactoredCategorical, ",
        ),
    ],
)
def test_policies_that_no_file_can_hold(kind: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        to_stablehlo(policy_function(Odd(kind), shoal.make("mpe/simple_spread")))


def test_a_policy_of_your_own_is_exported_too() -> None:
    env = shoal.make("mpe/simple_spread")
    obs = np.random.default_rng(0).normal(size=(4, 18)).astype(np.float32)
    out = answers(to_onnx(policy_function(Odd("plain"), env, "agent_1")), obs=obs)
    assert out["action"].tolist() == obs[:, :5].argmax(-1).tolist()


# From a run, by the command -----------------------------------------------------------------------

SMALL = {"num_envs": 8, "unroll": 25, "evaluations": 1, "eval_episodes": 4, "preset": "none"}
LISTENER = "mpe/simple_speaker_listener"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tiny"
    small = {"hidden": (8,), "recurrent": 4, "minibatches": 2, "epochs": 1}
    shoal.train("mappo", LISTENER, total_steps=400, seeds=2, out=out, **small, **SMALL)
    return out


@pytest.fixture
def tiny(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "tiny"))


@pytest.fixture(autouse=True)
def verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(main.VERBS, "export", "write a run's policy")


def command(*words: Any) -> int:
    return main.run(["export", *map(str, words)])


def test_the_command_writes_a_policy_its_card_and_its_page(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tiny, "--licence", "CC0-1.0") == 0
    printed = capsys.readouterr().out.split()
    assert printed == [str(tiny / n) for n in ("policy.onnx", "policy.card.json", "policy.md")]
    card = json.loads((tiny / "policy.card.json").read_text())
    data = (tiny / "policy.onnx").read_bytes()
    assert card["files"]["policy.onnx"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["evaluation"]["return"] == json.loads((tiny / "eval.json").read_text())["return"]
    assert card["training"]["steps"] == 400 and card["training"]["member"] == {"seed": 0}
    assert card["licence"] == "CC0-1.0" and "jax" in card["versions"] and card["hardware"]
    assert [a["obs_size"] for a in card["agents"]] == [3, 11]
    assert card["inputs"]["carry"]["shape"] == ["B", 2, 4]
    inside = session(data).get_modelmeta().custom_metadata_map["shoal"]
    assert json.loads(inside) == {k: v for k, v in card.items() if k != "files"}
    page = (tiny / "policy.md").read_text()
    assert (
        hashlib.sha256(data).hexdigest() in page
        and f"{card['evaluation']['return']['low']:.3f}" in page
    )
    live = played(shoal.load(tiny).policy, shoal.make(LISTENER), 60)
    agree(elsewhere({tiny / "policy.onnx": live})[0], live, shoal.make(LISTENER))


def test_the_second_member_is_another_policy(tiny: Path) -> None:
    path = export_run(tiny, member=1, agent="listener_0").policy
    assert path.name == "policy_listener_0.onnx"
    env = shoal.make(LISTENER)
    live = own(played(shoal.load(tiny).policies[1], env, 60), env, "listener_0")
    agree(elsewhere({path: live})[0], live, env)
    with pytest.raises(UserError, match="member is 2, expected 0 to 1"):
        export_run(tiny, member=2)


def test_one_card_tells_of_both_formats_of_one_policy(tiny: Path) -> None:
    export_run(tiny)
    export_run(tiny, "stablehlo")
    card = json.loads((tiny / "policy.card.json").read_text())
    assert set(card["files"]) == {"policy.onnx", "policy.stablehlo"}
    with pytest.raises(UserError, match=r"policy\.onnx exists: add --force"):
        export_run(tiny)
    (tiny / "policy.onnx").unlink()
    with pytest.raises(UserError, match=r"policy\.card\.json is there and tells of something else"):
        export_run(tiny, member=1)
    assert not (tiny / "policy.onnx").exists()
    export_run(tiny, member=1, force=True)
    card = json.loads((tiny / "policy.card.json").read_text())
    assert set(card["files"]) == {"policy.onnx"} and card["training"]["member"] == {"seed": 1}


def test_the_best_parameters_do_not_borrow_the_scores_of_the_last(tiny: Path) -> None:
    files = export_run(tiny, best=True)
    card = json.loads(files.card.read_text())
    assert set(card["evaluation"]) == {"missing"} and card["training"]["which"] == "best evaluated"
    assert "None: the run's evaluation is of its last parameters" in files.page.read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--format", "onx"), "unknown --format 'onx': did you mean 'onnx'?"),
        (("--agent", "speakr_0"), "unknown agent 'speakr_0': did you mean 'speaker_0'?"),
        (("--formt", "onnx"), "did you mean '--format'?"),
        (("--member", "-1"), "--member is -1, expected 0 or more"),
        (("--out", "card.json"), "card.json cannot name a policy"),
        (("--out", "."), "is a directory"),
        (("--out", "config/policy.onnx"), "cannot write config/policy.onnx"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...],
    line: str,
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tiny)
    Path("config").write_text("a file where a directory should be")
    before = sorted(tiny.rglob("*"))
    assert command(tiny, *words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and line in err, err
    assert sorted(tiny.rglob("*")) == before


def test_a_run_without_a_checkpoint_or_a_package(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnx", None)
        assert command(tiny) == 2
        assert "pip install 'shoal[export]'" in capsys.readouterr().err
        assert command(tiny, "--format", "stablehlo") == 0
    shutil.rmtree(tiny / "checkpoints")
    assert command(tiny) == 2
    assert "no usable checkpoint" in capsys.readouterr().err
    assert command(tiny / "nothing") == 2
    assert "holds no run" in capsys.readouterr().err


@pytest.mark.parametrize("case", ["padded actions", "box", "legal actions"])
def test_the_guide_runs_a_file_without_shoal(case: str, tmp_path: Path) -> None:
    policy, env = made(case)
    path = tmp_path / "policy.onnx"
    discrete = "mean" not in policy_function(policy, env).outputs()
    action = {"kind": "discrete"} if discrete else {"kind": "box", "low": -1.0, "high": 1.0}
    path.write_bytes(to_onnx(policy_function(policy, env), {"action": action}))
    without = "import sys; sys.modules['shoal'] = sys.modules['jax'] = None; import runpy; "
    code = f"{without}sys.argv[1:] = [{str(path)!r}]; runpy.run_path({str(GUIDE)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 25 and lines[-1].startswith("step 24: greedy [")
    drawn = np.array(json.loads(lines[-1].partition("drawn ")[2]))
    assert drawn.shape[:2] == (1, env.spec.num_agents)
    if discrete:
        assert (drawn < np.array(env.spec.action.sizes)).all()
