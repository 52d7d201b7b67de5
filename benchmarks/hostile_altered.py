"""Commands on damaged runs, each in a process of its own that is forked after the imports."""

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from hostile_damage import KINDS, Place, damage

SECONDS, BYTES = 5.0, 500 * 2**20  # more than the same command takes on a healthy run
PATIENCE = 60.0  # seconds by the clock after which a command is ended
TRAIN = ["train", "ippo", "mpe/simple", "--steps", "4000", "--num-envs", "8", "--unroll", "25"]
TRAIN += ["--evaluations", "2", "--eval-episodes", "20", "--algo.hidden", "8"]
HALF = """
import os, signal, sys
from shoal.cli.main import main
from shoal.training import progress

def stop(self, row, last=False):
    if row["step"] == 2000:
        os.kill(os.getpid(), signal.SIGTERM)

progress.Reporter.update = stop
main()
"""
VERBS = {
    "eval": ["eval", "run", "--episodes", "20", "--json"],
    "eval best": ["eval", "run", "--episodes", "20", "--json", "--best"],
    "render": ["render", "run", "--episodes", "1", "--out", "out.html"],
    "export": ["export", "run", "--out", "out.onnx"],
    "report": ["report", "run", "--out", "out.html"],
    "compare": ["compare", "run", "other"],
    "compare json": ["compare", "run", "other", "--json"],
    "resume": ["resume", "run"],
    "go on": ["resume", "run", "--pictures", "False"],
    "track": ["track", "run", "--to", "wandb"],
    "train": [*TRAIN, "--out", "run"],
}
UNSIGNED = ("report", "compare", "compare json", "track")  # what these read bears no signature
STATE = ("LAST/manifest.json", "LAST/state.safetensors")
POLICY = ("config.json", "config.json", *STATE)
READS = {
    "eval": POLICY,
    "eval best": ("config.json", "config.json", "BEST/manifest.json", "BEST/state.safetensors"),
    "render": POLICY,
    "export": POLICY,
    "report": ("config.json", "eval.json", "metrics.jsonl", "replay.html"),
    "compare": ("config.json", "eval.json", "metrics.jsonl"),
    "compare json": ("config.json", "eval.json", "metrics.jsonl"),
    "resume": (*POLICY, "metrics.jsonl", "eval.json", "tracker.json", "lock", "BEST/manifest.json"),
    "go on": ("config.json", *STATE, "LAST/manifest.json", "metrics.jsonl", "BEST/manifest.json"),
    "track": ("config.json", "metrics.jsonl", "metrics.jsonl", "tracker.json"),
    "train": ("config.json", "lock", "metrics.jsonl", "tracker.json"),
}
FAKE_WANDB = Path(__file__).parents[1] / "tests" / "trackers" / "fake_wandb.py"


class Outcome(NamedTuple):
    """What became of one command."""

    code: int
    out: str
    err: str
    seconds: float  # of a core, so that other work on the machine does not count
    peak: int  # bytes
    answer: str


def prepare(folder: Path) -> None:
    """Makes the runs that are damaged, once, and imports what the commands need."""
    healthy = folder / "healthy"
    library = folder / "library" / "wandb"
    if not (healthy / "other" / "eval.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        library.mkdir(parents=True)
        shutil.copy(FAKE_WANDB, library / "__init__.py")
        healthy.mkdir()
        for name, seed in (("run", "0"), ("other", "1")):
            shoal = [sys.executable, "-m", "shoal", *TRAIN, "--seed", seed, "--out", name]
            subprocess.run(shoal, cwd=healthy, check=True, capture_output=True)
        shoal = [sys.executable, "-c", HALF, *TRAIN, "--out", "half"]
        subprocess.run(shoal, cwd=healthy, capture_output=True)
        for name in ("run", "other", "half"):
            note = {"id": "0123456789ab", "trackers": []}
            (healthy / name / "tracker.json").write_text(json.dumps(note))
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    os.environ |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    os.environ |= {"JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    sys.path.append(str(library.parent))
    import shoal.cli.main
    import shoal.cli.train
    import shoal.export.export
    import shoal.recording.replay_html
    import shoal.reports.report
    import shoal.runs.curve
    import shoal.trackers.upload
    import shoal.training.run


def sandbox(folder: Path, verb: str) -> Path:
    """A fresh copy of the healthy runs, with things beside them that nobody may change."""
    place, healthy = folder / "sandbox", folder / "healthy"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(healthy / ("half" if verb == "go on" else "run"), place / "run")
    shutil.copytree(healthy / "other", place / "other")
    (place / "aside").mkdir()
    (place / "aside" / "secret").write_text("a secret\n" * 100)
    return place


def command(place: Path, verb: str, *more: str) -> Outcome:
    """Runs one in a forked process, and watches its time and memory."""
    out, err = place.parent / "stdout", place.parent / "stderr"
    start = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _be_shoal(place, [*VERBS[verb], *more], out, err)
    code, usage = None, None
    while code is None:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
        elif time.monotonic() - start > PATIENCE or _resident(child) > 2 * 2**30:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    seconds = usage.ru_utime + usage.ru_stime
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    said = [path.read_bytes().decode(errors="replace") for path in (out, err)]
    answer = _answer(place, verb, said[0]) if code == 0 else ""
    return Outcome(code, *said, seconds, usage.ru_maxrss * 1024, answer)


def _be_shoal(place: Path, words: list[str], out: Path, err: Path) -> None:
    """Becomes the command; never returns."""
    code: Any = 1
    try:
        os.setsid()
        os.chdir(place)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ["FAKE_WANDB_FILE"] = str(place / "told.jsonl")
        sys.argv = ["shoal", *words]
        from shoal.cli.main import main

        main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code or 0
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _resident(child: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{child}/statm").read_text().split()[1]) * 4096
    return 0


def _answer(place: Path, verb: str, out: str) -> str:
    """What a command found, without the clock and the directory."""
    found = out
    if verb.startswith("eval"):
        found = json.dumps(json.loads(out)["return"])
    elif verb == "render":
        found = (place / "out.html").read_text()
    elif verb == "export":
        found = (place / "out.onnx").read_bytes().hex()
    elif verb == "report":
        found = (place / "out.html").read_text()
    elif verb in ("resume", "go on"):
        found = str(json.loads((place / "run" / "eval.json").read_text())["return"])
    elif verb == "track":
        told = (place / "told.jsonl").read_text().splitlines()
        found = str([{**json.loads(line), "pid": 0, "id": 0} for line in told])
    return hashlib.sha256(found.encode()).hexdigest()[:12]


def outside(place: Path) -> dict[str, str]:
    """What lies beside the run, by name: nothing of it may change."""
    known = {}
    for path in sorted([*(place / "aside").rglob("*"), *(place / "other").rglob("*")]):
        plain = path.is_file() and not path.is_symlink()
        digest = hashlib.sha256()
        if plain and path.stat().st_size < 2**28:
            digest.update(path.read_bytes())
        kind = f"{path.lstat().st_mode} {path.lstat().st_size}" if not path.is_dir() else "folder"
        known[str(path)] = f"{kind} {digest.hexdigest()[:12]}"
    return known


def faults(found: Outcome, healthy: Outcome, changed: bool, free: bool) -> Iterator[str]:
    """In what an outcome misses the bar. `free`: the answer is that of what the files now say."""
    lines = [line for line in found.err.splitlines() if not _is_notice(line)]
    if "Traceback" in found.err or "\n  File " in found.err:
        yield "traceback"
    if found.code not in (0, 2) and not (found.code == healthy.code == 2):
        yield f"exit code {found.code}"
    if found.code == 2 and len(lines) != 1:
        yield f"{len(lines)} lines"
    if found.code == -signal.SIGKILL:
        yield "never ended"
    if found.seconds > healthy.seconds + SECONDS:
        yield f"{found.seconds - healthy.seconds:.0f} s more"
    if found.peak > healthy.peak + BYTES:
        yield f"{(found.peak - healthy.peak) >> 20} MB more"
    if changed:
        yield "changed outside"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", found.out + found.err):
        yield "raw control characters"
    if found.code == 0 and found.answer != healthy.answer and not lines and not free:
        yield "another answer"


def _is_notice(line: str) -> bool:
    """Whether it says whose code is run or what was left out, or shows a training's progress."""
    said = line.startswith("shoal: warning: ") or line.startswith("shoal: runs ")
    return (line.startswith("shoal: ") and said) or "steps/s" in line


def tries(folder: Path, first: int, last: int) -> Iterator[dict[str, Any]]:
    """Damages and commands, by number. A damage that is drawn is the same each time."""
    prepare(folder)
    healthy = {}
    for _ in range(2):  # the second time from the cache
        for verb in VERBS:
            healthy[verb] = command(sandbox(folder, verb), verb)
    for verb, known in healthy.items():
        expected = 2 if verb == "train" else 0
        assert known.code == expected, (verb, known.code, known.err)
    kinds, verbs = list(KINDS), list(VERBS)
    for number in range(first, last):
        random = Random(number)
        kind, verb = kinds[number % len(kinds)], random.choice(verbs)
        place = sandbox(folder, verb)
        os.chdir(place)
        said = damage(Place(place / "run", place / "aside", random, READS[verb]), kind)
        os.chdir(folder)
        before = outside(place)
        found = command(place, verb)
        changed = outside(place) != before or (place / "aside" / "ran").exists()
        free = verb in UNSIGNED or "numbers" in said or "versions." in said
        missed = [*faults(found, healthy[verb], changed, free)]
        other = " (another answer)" if found.answer not in ("", healthy[verb].answer) else ""
        yield {
            "try": number,
            "setting": f"{verb}; {kind}",
            "held": not missed,
            "seconds": f"{found.seconds - healthy[verb].seconds:.1f}",
            "detail": f"{said} -> {found.code}{other} {_last(found.err)}"
            + (f" MISSED: {', '.join(missed)}" if missed else ""),
        }


def _last(err: str) -> str:
    return (err.strip().splitlines() or [""])[-1][:160]
