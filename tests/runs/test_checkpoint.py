import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from shoal.agents.policy_gradient.ppo import PPO
from shoal.core.errors import UserError
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.runs import checkpoint, durable
from shoal.runs.checkpoint import CheckpointError, latest_step, load, save, save_named
from shoal.training.on_device import OnDevice

RUN = "a" * 64


def numbered(step: int) -> dict:
    """A state that says in every element which step it is of."""
    return {"x": jnp.full((5, 3), step, jnp.float32), "n": jnp.full(4, step, jnp.int32)}


def commit(root: Path, step: int, keep: int = 3, **changes) -> Path:
    settings = {"config_hash": RUN, "extra": {"step": step}, "keep": keep} | changes
    return save(root, step, numbered(step), **settings)


def recover(root: Path, config_hash: str = RUN, name: str | None = None) -> checkpoint.Loaded:
    template = jax.eval_shape(lambda: numbered(0))
    return load(root, template, config_hash=config_hash, name=name, fall_back=True)


def assert_is_step(loaded: checkpoint.Loaded, step: int) -> None:
    assert loaded.step == step and loaded.extra == {"step": step}
    assert all((np.asarray(leaf) == step).all() for leaf in jax.tree.leaves(loaded.state))


def assert_same(a, b) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = jnp.asarray(x), jnp.asarray(y)
        assert x.dtype == y.dtype and x.shape == y.shape
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            assert jax.random.key_impl(x) == jax.random.key_impl(y)
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()  # NaN and -0.0 too


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Steps 1 and 2 are committed here."""
    commit(tmp_path / "checkpoints", 1)
    commit(tmp_path / "checkpoints", 2)
    return tmp_path / "checkpoints"


# What is saved comes back.


def random_tree(rng: random.Random, depth: int = 3):
    kind = rng.choice(["dict", "list", "none", "leaf", "leaf"] if depth else ["leaf"])
    if kind == "none":
        return None
    if kind == "list":
        return tuple(random_tree(rng, depth - 1) for _ in range(rng.randrange(4)))
    if kind == "dict":
        names = rng.sample(["a", "a.b", "['a']", "é\n", "", 7], rng.randrange(4))
        return {str(name): random_tree(rng, depth - 1) for name in names}
    shape = tuple(rng.choice([0, 1, 2, 5]) for _ in range(rng.randrange(4)))
    bits = np.random.default_rng(rng.randrange(2**32)).bytes(4 * int(np.prod(shape)))
    words = np.frombuffer(bits, np.uint32).reshape(shape)
    leaf = rng.choice(["float32", "int32", "uint32", "bool", "numpy", "turned", "key", "python"])
    if leaf == "key":
        impl = rng.choice(["threefry2x32", "rbg", "unsafe_rbg"])
        return jax.random.split(jax.random.key(rng.randrange(99), impl=impl), shape)
    if leaf == "python":
        return rng.choice([True, 3, -0.5])
    if leaf == "numpy":
        return words.view(np.float32)
    if leaf == "turned":
        return words.T
    return jnp.asarray(words % 2 == 1 if leaf == "bool" else words.view(leaf))


@pytest.mark.parametrize("seed", range(12))
def test_random_trees_come_back_bit_for_bit(tmp_path, seed):
    rng = random.Random(seed)
    tree = {"first": random_tree(rng), "second": random_tree(rng), "third": random_tree(rng)}
    path = save(tmp_path, seed, tree, config_hash=RUN, extra={}, keep=1)
    assert path == tmp_path / f"step_{seed}"
    assert {file.name for file in path.iterdir()} == {"state.safetensors", "manifest.json"}
    loaded = load(tmp_path, jax.eval_shape(lambda x: x, tree), config_hash=RUN)
    assert_same(loaded.state, tree)
    assert (loaded.step, loaded.path, loaded.warnings) == (seed, path, ())


def test_a_bare_leaf_and_an_empty_tree_come_back(tmp_path):
    for step, tree in enumerate([jnp.float32(2.5), None, {}, jax.random.key(1)]):
        save(tmp_path, step, tree, config_hash=RUN, extra={}, keep=1)
        assert_same(load(tmp_path, tree, config_hash=RUN).state, tree)


def test_arrays_of_any_layout_come_back(tmp_path):
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    tree = {"turned": x.T, "strided": x[::2, ::-3], "column": x[:, 1], "spread": x[:, None] * 1}
    tree["one"] = np.broadcast_to(np.float32(7), (3, 2))
    save(tmp_path, 1, tree, config_hash=RUN, extra={}, keep=1)
    assert_same(load(tmp_path, tree, config_hash=RUN).state, tree)


def test_extra_comes_back_as_it_was(tmp_path):
    extra = {"offset": 2**53 + 1, "best": float("-inf"), "log": {"ü": [1.1, None, True]}}
    commit(tmp_path, 1, extra=extra)
    assert recover(tmp_path).extra == extra


def test_the_file_is_plain_safetensors_named_by_tree_paths(root):
    tensors = safetensors.numpy.load_file(root / "step_2" / "state.safetensors")
    assert tensors.keys() == {"['x']", "['n']"}
    np.testing.assert_array_equal(tensors["['x']"], np.full((5, 3), 2.0, np.float32))


@pytest.mark.parametrize(
    "leaf", [np.zeros(2), np.arange(3), jnp.zeros(2, jnp.bfloat16), "text", jnp.tanh]
)
def test_a_leaf_that_would_not_come_back_is_refused(root, leaf):
    with pytest.raises(TypeError):
        save(root, 3, {"x": leaf}, config_hash=RUN, extra={}, keep=1)
    assert {path.name for path in root.iterdir()} == {"step_1", "step_2"}


def test_the_whole_state_of_a_learner_comes_back_bit_for_bit(tmp_path):
    algorithm = PPO(hidden=(8,), recurrent=4)
    learner = OnDevice(
        algorithm, SimpleSpread(num_agents=2), num_envs=4, unroll=3, total_updates=9.0
    )
    init = jax.jit(learner.init)
    state = init(jax.random.key(0))
    save(tmp_path, 1, state, config_hash=RUN, extra={}, keep=1)
    loaded = load(tmp_path, jax.eval_shape(init, jax.random.key(0)), config_hash=RUN)
    assert_same(loaded.state, state)
    names = safetensors.numpy.load_file(loaded.path / "state.safetensors").keys()
    for part in ("params['actor']", "optimizers['critic'].moments", "kept.mean"):
        assert any(name.startswith(f".algorithm.{part}") for name in names)
    assert {".key", ".updates", ".loop.episodes.returns", ".loop.timestep.obs"} <= names


# Series.


def test_only_the_newest_are_kept(tmp_path):
    for step in (9, 10, 11, 100):
        commit(tmp_path, step, keep=2)
    assert {path.name for path in tmp_path.iterdir()} == {"step_11", "step_100"}
    assert latest_step(tmp_path) == 100
    assert_is_step(recover(tmp_path), 100)


def test_best_and_latest_do_not_touch_each_other(tmp_path):
    save_named(tmp_path, "best", 5, numbered(5), config_hash=RUN, extra={"step": 5})
    for step in range(6, 12):
        commit(tmp_path, step, keep=1)
    assert_is_step(recover(tmp_path, name="best"), 5)
    assert_is_step(recover(tmp_path), 11)
    save_named(tmp_path, "best", 8, numbered(8), config_hash=RUN, extra={"step": 8})
    assert_is_step(recover(tmp_path, name="best"), 8)
    assert (latest_step(tmp_path), latest_step(tmp_path, "best")) == (11, 8)
    assert len(list((tmp_path / "best").iterdir())) == 1


@pytest.mark.parametrize("name", ["", "..", "a/b", "step_3", ".tmp-x", "x" * 65])
def test_series_names_stay_inside_the_directory(tmp_path, name):
    with pytest.raises(UserError, match="not usable"):
        save_named(tmp_path, name, 1, numbered(1), config_hash=RUN, extra={})


def test_no_checkpoint_is_an_error_and_not_step_0(tmp_path):
    assert latest_step(tmp_path / "none") is None
    with pytest.raises(UserError, match="there is none"):
        recover(tmp_path / "none")


def test_a_run_that_went_back_replaces_the_history_it_left(root):
    (root / "step_2" / "manifest.json").write_text("{}")
    (root / "step_2").rename(root / "step_9")  # damaged and far ahead: it must not stay "latest"
    assert_is_step(recover(root), 1)
    commit(root, 2, keep=1)
    assert {path.name for path in root.iterdir()} == {"step_2"}
    assert recover(root).warnings == ()


def test_saving_a_step_again_replaces_it(root):
    again = save(root, 2, numbered(7), config_hash=RUN, extra={}, keep=2)
    assert {path.name for path in root.iterdir()} == {"step_1", again.name}
    assert recover(root).step == latest_step(root) == 2
    assert (recover(root).state["x"] == 7).all()


def test_a_reader_never_finds_nothing_while_a_run_retires_checkpoints(tmp_path):
    commit(tmp_path, 0, keep=1)
    writer = threading.Thread(target=lambda: [commit(tmp_path, s, keep=1) for s in range(1, 40)])
    writer.start()
    steps = []
    while writer.is_alive():
        loaded = recover(tmp_path)
        assert_is_step(loaded, loaded.step)
        steps.append(loaded.step)
    writer.join()
    assert steps == sorted(steps)
    assert_is_step(recover(tmp_path), 39)


# Damage.


def damaged(path: Path, content: bytes, root: Path) -> checkpoint.Loaded:
    """What `load` makes of it when `path` has other content."""
    good = path.read_bytes()
    path.write_bytes(content)
    try:
        return recover(root)
    finally:
        path.write_bytes(good)


FILES = ("state.safetensors", "manifest.json")


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_caught(root, name):
    rng, path, caught = random.Random(0), root / "step_2" / name, 0
    good = path.read_bytes()
    for place in rng.sample(range(8 * len(good)), 80):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        loaded = damaged(path, bytes(bad), root)
        assert_is_step(loaded, 2 - len(loaded.warnings))  # a newer step without a warning is whole
        caught += len(loaded.warnings)
    assert caught == 80


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_and_extension_is_caught(root, name):
    path = root / "step_2" / name
    good = path.read_bytes()
    for length in [0, 1, 7, 8, 9, *random.Random(1).sample(range(len(good) - 1), 40)]:
        loaded = damaged(path, good[:length], root)
        assert_is_step(loaded, 1)
        assert len(loaded.warnings) == 1 and "\n" not in loaded.warnings[0]
    assert_is_step(damaged(path, good + b"x", root), 1)
    assert_is_step(damaged(path, bytes(len(good)), root), 1)
    path.unlink()
    assert_is_step(recover(root), 1)


def test_a_reader_refuses_a_damaged_checkpoint_and_names_the_one_before(root):
    commit(root, 3)
    template = jax.eval_shape(lambda: numbered(0))
    (root / "step_3" / "manifest.json").unlink()
    with pytest.raises(UserError) as error:
        load(root, template, config_hash=RUN)
    assert str(error.value) == (
        f"cannot read checkpoint {root / 'step_3'}: No such file or directory (manifest.json): "
        "read an older one with --checkpoint 2"
    )
    assert_is_step(load(root, template, config_hash=RUN, step=2), 2)
    assert_is_step(load(root, template, config_hash=RUN, step=1), 1)
    with pytest.raises(UserError, match="no checkpoint of step 7: choose one of 1, 2, 3"):
        load(root, template, config_hash=RUN, step=7)


def test_the_warning_names_the_checkpoint_and_the_reason(root):
    (root / "step_2" / "manifest.json").unlink()
    assert recover(root).warnings == (
        f"skipped checkpoint {root / 'step_2'}: No such file or directory (manifest.json); "
        "step 1 is read instead",
    )


def test_all_bad_refuses_and_names_each_reason(root):
    (root / "step_1" / "state.safetensors").write_bytes(b"")
    (root / "step_2" / "manifest.json").write_text("not JSON")
    with pytest.raises(UserError) as error:
        recover(root)
    message = str(error.value)
    assert "step_1: state.safetensors is damaged (0 bytes)" in message
    assert "step_2: manifest.json is not JSON" in message
    assert "\n" not in message


def test_checkpoints_of_another_run_or_another_step_are_passed_over(root):
    commit(root, 3, config_hash="b" * 64)
    (root / "step_1").rename(root / "step_4")
    loaded = recover(root)
    assert_is_step(loaded, 2)
    assert "step_4: its manifest is of step 1" in loaded.warnings[0]
    assert "another run (configuration bbbbbbbbbbbb, expected aaaaaaaaaaaa)" in loaded.warnings[1]
    with pytest.raises(UserError, match="another run"):
        recover(root, config_hash="c" * 64)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ({"x": jnp.zeros((5, 3))}, r"has \['n'\]"),
        (numbered(0) | {"y": jnp.zeros(1)}, r"lacks \['y'\]"),
        (numbered(0) | {"x": jnp.zeros((3, 5))}, r"\['x'\] is float32\[5, 3\], expected .*3, 5"),
        (numbered(0) | {"n": jnp.zeros(4)}, r"\['n'\] is int32\[4\], expected float32\[4\]"),
        (numbered(0) | {"n": jax.random.key(0)}, r"expected key<fry>\[\]"),
    ],
)
def test_another_structure_is_refused(root, template, reason):
    with pytest.raises(UserError, match=reason):
        load(root, template, config_hash=RUN)


def test_keys_of_another_generator_are_refused(tmp_path):
    save(tmp_path, 1, jax.random.key(0, impl="rbg"), config_hash=RUN, extra={}, keep=1)
    with pytest.raises(UserError, match=r"key<rbg>\[\], expected key<fry>\[\]"):
        load(tmp_path, jax.random.key(0), config_hash=RUN)


def forge(directory: Path, **changes) -> None:
    """Rewrites a manifest as someone would who knows how its checksum is made."""
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text()) | changes
    del manifest["checksum"]
    manifest["checksum"] = durable.json_digest(manifest)
    path.write_text(json.dumps(manifest))


def test_a_future_format_is_passed_over(root):
    forge(root / "step_2", format=2, novelty={})
    loaded = recover(root)
    assert_is_step(loaded, 1)
    assert "format 2, this version of shoal reads 1" in loaded.warnings[0]


def test_other_versions_are_said_but_not_refused(root):
    versions = json.loads((root / "step_2" / "manifest.json").read_text())["versions"]
    forge(root / "step_2", versions=versions | {"jax": "0.1"})
    loaded = recover(root)
    assert_is_step(loaded, 2)
    assert len(loaded.warnings) == 1 and "jax 0.1" in loaded.warnings[0]


def test_a_forged_manifest_of_the_wrong_types_is_passed_over(root):
    for changes in ({"extra": []}, {"file": None}, {"tensors": {"['x']": 3}}, {"step": "2"}):
        forge(root / "step_2", **changes)
        assert_is_step(recover(root), 1)
    (root / "step_2" / "manifest.json").write_text("[" * 100_000)
    assert_is_step(recover(root), 1)


def header(entries: dict, length: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return (length or len(text)).to_bytes(8, "little") + text


def declared(dtype: str, shape: list[int], size: int) -> dict:
    """The header of `numbered`, but with another leaf `n`."""
    x = {"dtype": "F32", "shape": [5, 3], "data_offsets": [0, 60]}
    n = {"dtype": dtype, "shape": shape, "data_offsets": [60, 60 + size]}
    return {"['x']": x, "['n']": n}


HUGE = 2**32
BOMBS = {  # the start of the file, its size, and what the manifest says of the leaf `n`
    "file and manifest are huge": (declared("I32", [HUGE], 4 * HUGE), 4 * HUGE, f"int32[{HUGE}]"),
    "file is huge": (declared("I32", [HUGE], 4 * HUGE), 4 * HUGE, "int32[4]"),
    "shape is huge": (declared("I32", [HUGE], 16), 76, "int32[4]"),
    "shape overflows": (declared("I32", [2**62, 2**62], 16), 76, "int32[4]"),
    "shape is another": (declared("I32", [2, 2], 16), 76, "int32[4]"),
    "type is another": (declared("F32", [4], 16), 76, "int32[4]"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_refused_before_anything_is_allocated(root, case):
    entries, size, table = BOMBS[case]
    refuse_bomb(root, header(entries), size, table)


def test_a_huge_header_is_refused_before_anything_is_allocated(root):
    refuse_bomb(root, header({}, length=2**62), 76, "int32[4]")


def refuse_bomb(root: Path, start: bytes, size: int, table: str) -> None:
    bomb = root / "step_2" / "state.safetensors"
    bomb.write_bytes(start)
    os.truncate(bomb, len(start) + size)  # a hole: it takes no space
    identity = {"bytes": bomb.stat().st_size, "sha256": ""}
    if size < HUGE:
        identity = checkpoint._identity(bomb)
    forge(root / "step_2", file=identity, tensors={"['n']": table, "['x']": "float32[5, 3]"})
    tracemalloc.start()
    began = time.perf_counter()
    loaded = recover(root)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_is_step(loaded, 1)
    assert peak < 4 * 2**20 and time.perf_counter() - began < 5


def test_a_huge_manifest_is_not_read(root):
    os.truncate(root / "step_2" / "manifest.json", 2**40)
    loaded = recover(root)
    assert_is_step(loaded, 1)
    assert "larger than" in loaded.warnings[0]


def test_links_are_not_followed(root, tmp_path):
    commit(tmp_path / "elsewhere", 7)
    (root / "step_7").symlink_to(tmp_path / "elsewhere" / "step_7")
    assert_is_step(recover(root), 2)
    assert latest_step(root) == 2


# Interruption.

SAVER = """
import os, sys
from pathlib import Path
import numpy as np
from shoal.runs import checkpoint

root = Path(sys.argv[1])
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        step = checkpoint.latest_step(root) or 0
        while True:
            step += 1
            state = {"x": np.full((300, 300), step, np.float32), "n": np.full(9999, step, np.int32)}
            extra = {"step": step}
            checkpoint.save(root, step, state, config_hash="a" * 64, extra=extra, keep=2)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


def test_kill_9_at_any_moment_leaves_whole_checkpoints(tmp_path):
    rng, newest, interrupted = random.Random(0), 0, 0
    template = {"x": jnp.zeros((300, 300)), "n": jnp.zeros(9999, jnp.int32)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path)], **pipes) as saver:
        for _ in range(20):
            print(file=saver.stdin, flush=True)
            child = int(saver.stdout.readline())
            while latest_step(tmp_path) in (None, newest):  # it has begun
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
            assert saver.stdout.readline() == "dead\n"
            loaded = load(tmp_path, template, config_hash=RUN)
            assert loaded.warnings == ()
            assert_is_step(loaded, latest_step(tmp_path))
            assert loaded.step > newest
            newest = loaded.step
            names = [path.name for path in tmp_path.iterdir()]
            interrupted += any(name.startswith(".tmp-") for name in names)
            assert 1 <= sum(name.startswith("step_") for name in names) <= 3
        saver.stdin.close()
    assert interrupted >= 3  # the kills did fall inside saves
    save(tmp_path, newest + 1, template, config_hash=RUN, extra={}, keep=2)
    assert {path.name for path in tmp_path.iterdir()} == {f"step_{newest}", f"step_{newest + 1}"}


def test_everything_is_on_the_disk_before_the_name_appears(root, monkeypatch):
    events = []

    def record(module, name):
        original = getattr(module, name)

        def wrapper(*args):
            path = args[0] if name == "rename" else os.readlink(f"/proc/self/fd/{args[0]}")
            events.append((name, Path(path).name))
            return original(*args)

        monkeypatch.setattr(module, name, wrapper)

    record(os, "fsync")
    record(os, "rename")
    commit(root, 3, keep=1)
    temporary = f".tmp-step_3-{os.getpid()}"
    assert events == [
        ("fsync", "state.safetensors"),
        ("fsync", "manifest.json"),
        ("fsync", temporary),
        ("rename", temporary),
        ("fsync", "checkpoints"),
        ("rename", "step_1"),  # only now are the old ones retired
        ("rename", "step_2"),
    ]


def test_a_failure_of_any_system_call_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    countdown = [0]

    def fragile(module, name):
        original = getattr(module, name)

        def wrapper(*args, **kwargs):
            countdown[0] -= 1
            if countdown[0] == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, wrapper)

    for module, name in [(os, "fsync"), (os, "rename"), (os, "mkdir"), (os, "open"), (os, "stat")]:
        fragile(module, name)
    fragile(checkpoint, "write_tensors")
    failures = 0
    for call in range(1, 100):
        root = tmp_path / str(call)
        for step in (1, 2):
            commit(root, step)
        countdown[0] = call
        try:
            commit(root, 3, keep=2)
        except CheckpointError as error:
            failures += 1
            assert "cannot save step 3" in str(error) and "No space left on device" in str(error)
            assert "\n" not in str(error)
        finished, countdown[0] = countdown[0] > 0, 0
        loaded = recover(root)
        assert loaded.warnings == ()
        assert_is_step(loaded, latest_step(root))
        commit(root, 4, keep=2)
        assert_is_step(recover(root), 4)
        assert not list(root.glob(".tmp-*"))
        if finished:
            break
    assert finished and failures >= 6


# Disks that refuse.


@contextmanager
def file_size_limit(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 300])
def test_a_file_that_cannot_grow_leaves_the_last_good_checkpoint(root, size):
    with (
        pytest.raises(CheckpointError, match=r"cannot save step 3 .* too large"),
        file_size_limit(size),
    ):
        commit(root, 3, keep=1)
    assert {path.name for path in root.iterdir()} == {"step_1", "step_2"}
    assert_is_step(recover(root), 2)
    commit(root, 3, keep=1)
    assert_is_step(recover(root), 3)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path):
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True
    )
    if mount.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        commit(tmp_path, 1)
        ballast = tmp_path / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(2**20))
        with pytest.raises(CheckpointError, match="No space left on device"):
            commit(tmp_path, 2, keep=1)
        assert {path.name for path in tmp_path.iterdir()} == {"step_1", "ballast"}
        assert_is_step(recover(tmp_path), 1)
        ballast.unlink()
        commit(tmp_path, 2, keep=1)
        assert_is_step(recover(tmp_path), 2)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@contextmanager
def ordinary_user():
    """Permissions bind everybody but root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_read_only_directory_is_a_clear_error():
    root = Path(tempfile.mkdtemp())  # not below `tmp_path`, which only its owner can enter
    try:
        commit(root, 1)
        for path in (root, root / "step_1"):
            path.chmod(0o555)
        with ordinary_user():
            with pytest.raises(CheckpointError, match=r"cannot save step 2 .*: Permission denied"):
                commit(root, 2, keep=1)
            assert_is_step(recover(root), 1)
    finally:
        root.chmod(0o755)
        (root / "step_1").chmod(0o755)
        shutil.rmtree(root)


def test_a_path_through_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot save step 1 .*: Not a directory"):
        commit(tmp_path / "file" / "checkpoints", 1)
    with pytest.raises(CheckpointError, match=r"cannot save step 1 .*: File exists"):
        commit(tmp_path / "file", 1)
