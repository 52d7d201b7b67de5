"""Ways to damage a run's directory, drawn by a seed.

`damage` changes the run in place and says how. Links lead to a folder outside of it, which no
command may change.
"""

import hashlib
import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from shoal.core.errors import UserError
from shoal.runs.config import Config
from shoal.runs.durable import json_digest

NASTY: list[Any] = [
    *(None, True, [], {}, "", "many", 0, -1, 0.5, -0.0, 2**31, 2**63, 2**70, 10**400, 1e308),
    *(float("nan"), float("inf"), "\x1b[2J\x1b]0;x\x07", "a\nb", "\ud800", "../../aside/secret"),
    *("x" * 100_000, [[[]]], [1] * 1000, {"type": "os:system", "fields": {}}, "10" * 3000),
    *({"type": "builtins:object", "fields": {}}, ["a", None, {}], {"": {"": None}}, "os:abort"),
]
BROKEN_TEXTS = [
    *(
        "",
        "null",
        "[]",
        "0",
        '"text"',
        "[" * 100_000,
        '{"a":' * 50_000,
        "1e999999999",
        "9" * 50_000,
    ),
    *("{" * 3, "\ufeff{}", '{"format": 99}', "NaN", "-Infinity\n", "\x00" * 4096, "\x1b[2J\n"),
]
BEST, JSON = "checkpoints/best", (".json", ".jsonl")
MINE = "import pathlib\npathlib.Path({ran!r}).write_text('ran')\n"


class Place(NamedTuple):
    """The run to damage, the folder that nobody may change, and the files that matter."""

    run: Path
    aside: Path
    random: Random
    files: tuple[str, ...]

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        steps = (self.run / "checkpoints").glob("step_*")
        return max(steps, key=lambda path: int(path.name.removeprefix("step_")))

    def file(self, ends: tuple[str, ...] = ("",)) -> Path:
        """One of the files, by chance."""
        best = next((self.run / BEST).glob("step_*")).name
        names = [name for name in self.files if name.endswith(ends)]
        name = self.random.choice(names).replace("BEST", f"{BEST}/{best}")
        return self.run / name.replace("LAST", f"checkpoints/{self.last.name}")


def damage(at: Place, kind: str) -> str:
    """Damages the run in the way that `kind` names; returns what was done, in a few words."""
    return KINDS[kind](at)


def _named(path: Path, run: Path, what: str) -> str:
    return f"{path.relative_to(run)}: {what}"


# Bytes ----------------------------------------------------------------------------------------


def _bits(at: Place) -> str:
    path, count = at.file(), at.random.choice([1, 1, 1, 8, 64])
    data = bytearray(path.read_bytes())
    for _ in range(count):
        data[at.random.randrange(len(data))] ^= 1 << at.random.randrange(8)
    path.write_bytes(data)
    return _named(path, at.run, f"{count} bits flipped")


def _length(at: Place) -> str:
    path = at.file()
    data, how = (
        path.read_bytes(),
        at.random.choice(["cut", "random bytes", "NULs", "itself", "hole"]),
    )
    end = {
        "cut": data[: at.random.randrange(len(data))],
        "random bytes": data + at.random.randbytes(at.random.choice([1, 100, 10_000])),
        "NULs": data + b"\0" * at.random.choice([1, 4096]),
        "itself": data + data,
        "hole": data,
    }
    path.write_bytes(end[how])
    if how == "hole":
        os.truncate(path, at.random.choice([2**30, 2**36]))
    return _named(path, at.run, f"length: {how}")


def _text(at: Place) -> str:
    path, text = at.file(), at.random.choice(BROKEN_TEXTS)
    path.write_text(text)
    return _named(path, at.run, f"is {text[:12]!r}, {len(text)} letters")


def _encoding(at: Place) -> str:
    path, how = at.file(JSON), at.random.choice(["utf-16", "latin-1", "bom", "ff"])
    text = path.read_text()
    data = {
        "utf-16": text.encode("utf-16"),
        "latin-1": text.replace("ippo", "ïppo").replace("return", "rétürn").encode("latin-1"),
        "bom": text.encode("utf-8-sig"),
        "ff": text.encode().replace(b'"', b'"\xff', 1),
    }
    path.write_bytes(data[how])
    return _named(path, at.run, f"encoded: {how}")


# JSON -----------------------------------------------------------------------------------------


def _places(value: Any, path: tuple = ()) -> list[tuple]:
    """Where the values within a JSON value are."""
    if not isinstance(value, dict | list):
        return []
    out = []
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        out += [(*path, key), *_places(inner, (*path, key))]
    return out


def _at(value: Any, path: tuple) -> Any:
    for key in path:
        value = value[key]
    return value


def _change(at: Place, do: Callable[[Any, Any], str]) -> str:
    """Does something to one value of a JSON file, or of a row of the log."""
    path = at.file(JSON)
    rows = path.name.endswith("l")
    content = [*map(json.loads, path.read_text().splitlines())] if rows else _read(path)
    places = [place for place in _places(content) if place != (0,) or not rows]
    place = at.random.choice(places)
    said = do(_at(content, place[:-1]), place[-1])
    texts = map(json.dumps, content) if rows else [json.dumps(content)]
    path.write_text("\n".join(texts) + "\n")
    signed = at.random.random() < 0.7 and _sign_again(at.run)
    where = ".".join(map(str, place))
    return _named(path, at.run, f"{where[:40]} {said}{', signed' if signed else ''}")


def _read(path: Path) -> Any:
    return json.loads(path.read_text() or "{}")


def _type(at: Place) -> str:
    new = at.random.choice(NASTY)

    def do(where: Any, key: Any) -> str:
        where[key] = new
        return f"is {ascii(new)[:30]}"

    return _change(at, do)


def _missing(at: Place) -> str:
    def do(where: Any, key: Any) -> str:
        del where[key]
        return "is missing"

    return _change(at, do)


def _sign_again(run: Path) -> bool:
    """Makes the checkpoints those of the configuration as it now is; whether that can be."""
    try:
        found = Config.from_json(_read(run / "config.json")).hash
    except (UserError, ValueError, AttributeError, TypeError, RecursionError):
        return False
    for manifest in run.rglob("manifest.json"):
        try:
            content = _read(manifest)
            content["config_hash"] = found
            _sign(manifest, content)
        except (ValueError, TypeError, AttributeError):
            return False
    return True


def _sign(manifest: Path, content: dict[str, Any]) -> None:
    """Writes a manifest whose sums are right."""
    state = manifest.with_name("state.safetensors").read_bytes()
    if isinstance(content.get("file"), dict):
        content["file"] = {"bytes": len(state), "sha256": hashlib.sha256(state).hexdigest()}
    content.pop("checksum", None)
    try:
        checksum = json_digest(content)
    except (ValueError, UnicodeError):
        checksum = ""
    manifest.write_text(json.dumps(content | {"checksum": checksum}, indent=1))


# What is no file ------------------------------------------------------------------------------


def _special(at: Place) -> str:
    places = [at.file(), at.run / "checkpoints", at.last, at.run]
    path = at.random.choices(places, [8, 1, 1, 1])[0]
    how = at.random.choice(
        ["link away", "link to secret", "dangling", "loop", "pipe", "zero", "zero node", "folder"]
    )
    kept = at.aside / f"moved_{path.name}"
    path.rename(kept)
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "zero node":
        os.mknod(path, 0o20666, os.makedev(1, 5))
    else:
        to = {"link away": kept, "link to secret": at.aside / "secret", "loop": path}
        path.symlink_to(to.get(how, Path("/dev/zero" if how == "zero" else "/no/such/file")))
    return f"{path.relative_to(at.run.parent)}: {how}"


def _foreign(at: Place) -> str:
    path, how = at.file(), at.random.choice(["config", "pickle", "npz", "text", "rows"])
    if how == "pickle":
        path.write_bytes(pickle.dumps(_Gift()))
    elif how == "npz":
        with open(path, "wb") as file:
            np.savez(file, a=np.arange(1000), b=np.array([_Gift()], object))
    elif how == "text":
        path.write_bytes(Path(__file__).read_bytes())
    elif how == "rows":
        path.write_text('{"epoch": 1, "val": "good"}\n' * 3)
    else:
        model = {"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "algorithm": {"a": 1}}
        path.write_text(json.dumps(model | {"seed": "42", "environment": ["x"], "format": "pt"}))
    return _named(path, at.run, f"foreign {how}")


class _Gift:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(Path("ran").absolute()),)


def _future(at: Place) -> str:
    how = at.random.choice(["format", "format text", "fields", "rows", "settings"])
    manifest = at.last / "manifest.json"
    content = _read(manifest)
    if how.startswith("format"):
        content["format"] = at.random.choice([2, 99, 1.5]) if how == "format" else "1"
        _sign(manifest, content)
    elif how == "fields":
        content |= {"compression": "zstd", "parts": [1, 2]}
        _sign(manifest, content)
    elif how == "rows":
        with open(at.run / "metrics.jsonl", "a") as file:
            file.write('{"version": 3, "kind": "header", "step": {"from": 1}}\n')
    else:
        config = _read(at.run / "config.json")
        config["algorithm_fields"]["a_field_to_come"] = 1
        config |= {"format": 7, "hardware": None, "versions": ["9"]}
        (at.run / "config.json").write_text(json.dumps(config))
        _sign_again(at.run)
    return f"future {how}"


# Signed checkpoints ---------------------------------------------------------------------------


def _signed(at: Place) -> str:
    manifest = at.last / "manifest.json"
    if at.random.random() < 0.3:
        manifest = next((at.run / "checkpoints" / "best").glob("step_*")) / "manifest.json"
    content = _read(manifest)
    how = at.random.choice([*_TENSORS, "extra", "extra", "extra", "value", "value"])
    if how in _TENSORS:
        state = manifest.with_name("state.safetensors")
        state.write_bytes(_TENSORS[how](state.read_bytes(), at.random))
        said = how
    else:
        inner = content["extra"] if how == "extra" else content
        name, new = at.random.choice([*inner, "more"]), at.random.choice(NASTY)
        inner[name] = new
        said = f"{how}.{name} is {ascii(new)[:30]}"
    try:
        _sign(manifest, content)
    except UnicodeError:
        manifest.write_text(json.dumps(content))
    return f"signed {manifest.parent.parent.name}: {said}"


def _header(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A safetensors file with another header."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _some(header: dict[str, Any], random: Random) -> dict[str, Any]:
    return header[random.choice([name for name in header if name != "__metadata__"])]


def _set(key: str, *values: Any) -> Callable[[bytes, Random], bytes]:
    def do(data: bytes, random: Random) -> bytes:
        return _header(data, lambda h: _some(h, random).update({key: random.choice(values)}))

    return do


def _numbers(data: bytes, random: Random) -> bytes:
    """Every number is NaN, an infinity, or huge."""
    (size,) = struct.unpack("<Q", data[:8])
    word = struct.pack("<f", random.choice([float("nan"), float("inf"), 3e38]))
    return data[: 8 + size] + (word * (len(data) // 4))[: len(data) - 8 - size]


_TENSORS: dict[str, Callable[[bytes, Random], bytes]] = {
    "shape": _set("shape", [], [2**62], [-1], [2**31, 2**31], "x", None),
    "dtype": _set("dtype", "F64", "I32", "BF16", "O", None, 7),
    "offsets": _set("data_offsets", [0, 2**63], [4, 0], [-8, 8], [0], None),
    "numbers": _numbers,
    "huge header": lambda data, random: struct.pack("<Q", 2**63) + data[8:],
    "generator": lambda data, random: _header(
        data, lambda h: h.update({"__metadata__": dict.fromkeys(h.get("__metadata__", ()), "rbg")})
    ),
    "no metadata": lambda data, random: _header(data, lambda h: h.pop("__metadata__", None)),
    "pickle": lambda data, random: pickle.dumps(_Gift()),
    "empty": lambda data, random: b"",
}


# Configurations -------------------------------------------------------------------------------


def _hostile(at: Place) -> str:
    mine = at.run / "mine.py"
    mine.write_text(MINE.format(ran=str(at.aside / "ran")))
    shutil.copy(mine, at.run / "w.py")
    names = [
        f"{mine}:World",
        "run/mine.py:World",
        "./run/../run/mine.py:f",
        "mine:World",
        "w:World",
    ]
    names += [
        "os:system",
        "subprocess:Popen",
        "builtins:eval",
        "shoal.core.child:start",
        ":",
        "a:b:c",
    ]
    names += ["shoal:train", "gymnasium:../x", "gymnasium:mine:World-v0", "pettingzoo:mine", "mpe/"]
    names += [
        f"{mine}",
        f"{at.aside}/no.py:World",
        "/dev/zero:x",
        "/dev/zero.py:x",
        "mpe/simple\n",
        "i",
    ]
    name = at.random.choice(names)
    key = at.random.choice(["environment", "environment", "algorithm", "torso", "inner"])
    config = _read(at.run / "config.json")
    if key == "torso":
        config["algorithm_fields"]["torso"] = name
    elif key == "inner":
        config["algorithm_fields"]["clip"] = {"type": name, "fields": {"a": 1}}
    else:
        config[key] = name
    (at.run / "config.json").write_text(json.dumps(config))
    _sign_again(at.run)
    return f"{key} is {name.replace(str(at.run), 'RUN')!r}"


def _steps(at: Place) -> str:
    """Checkpoints of other steps, and things with the names of checkpoints."""
    root, how = at.run / "checkpoints", at.random.choice(["later", "empty", "file", "huge", "none"])
    if how == "later":
        shutil.copytree(at.last, root / "step_5000")
    elif how == "empty":
        (root / "step_9000").mkdir()
    elif how == "file":
        (root / "step_9000").write_text("no folder")
    elif how == "huge":
        shutil.copytree(at.last, root / f"step_{'9' * 18}")
    else:
        shutil.rmtree(root)
    return f"checkpoints: {how}"


KINDS: dict[str, Callable[[Place], str]] = {
    "bits": _bits,
    "length": _length,
    "text": _text,
    "type": _type,
    "missing": _missing,
    "special": _special,
    "foreign": _foreign,
    "future": _future,
    "signed": _signed,
    "hostile": _hostile,
    "encoding": _encoding,
    "type again": _type,
    "signed again": _signed,
    "steps": _steps,
}
