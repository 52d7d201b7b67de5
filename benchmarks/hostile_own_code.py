"""Runs of others whose config.json names code: whether it is said first, and whether it is run."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hostile_altered import Outcome, command, prepare, sandbox

WORLDS = Path(__file__).with_name("hostile_worlds.py")
NAMES = {"environment": "simple", "algorithm": "Reinforce", "torso": "Torso"}
PLACES = ("beside the run", "in the run", "in the run, trusted")
RUN_IT = ("eval", "render", "export", "resume")  # the verbs that need the code
VERBS = (*RUN_IT, "compare", "compare json", "report", "track")


def tries(folder: Path, first: int, last: int) -> Iterator[dict[str, Any]]:
    """Every verb with every kind of code in every place."""
    prepare(folder)
    cases = [(verb, name, place) for verb in VERBS for name in NAMES for place in PLACES]
    for number, (verb, name, where) in [*enumerate(cases)][first:last]:
        place = sandbox(folder, verb)
        file = (place / "run" if where.startswith("in") else place) / "theirs.py"
        shutil.copy(WORLDS, file)
        config = json.loads((place / "run" / "config.json").read_text())
        fields = config["algorithm_fields"] if name == "torso" else config
        fields[name] = f"{file}:{NAMES[name]}"
        (place / "run" / "config.json").write_text(json.dumps(config))
        trust = where.endswith("trusted") and verb in RUN_IT
        os.chdir(folder)
        found = command(place, verb, *["--trust"] * trust)
        missed = [*_missed(found, verb, file, "in the run" if not trust else "", where)]
        yield {
            "try": number,
            "setting": f"{verb}; {name} {where}",
            "held": not missed,
            "seconds": "",
            "detail": f"{found.code} {_last(found.err)}"
            + (f" MISSED: {', '.join(missed)}" if missed else ""),
        }


def _missed(found: Outcome, verb: str, file: Path, refused: str, where: str) -> Iterator[str]:
    """In what a command does not do what it should."""
    ran, said = found.err.find("HOSTILE_RAN"), found.err.find(str(file))
    if "Traceback" in found.err:
        yield "traceback"
    if verb not in RUN_IT:
        if ran >= 0:
            yield "ran it"
        if found.code != 0 and "different worlds" not in found.err:
            yield f"exit code {found.code}"
    elif where.startswith(refused or "nowhere"):
        if ran >= 0 or found.code != 2 or "--trust" not in found.err:
            yield "not refused"
    elif said < 0 or not (ran < 0 or said < ran):
        yield "not said first"
    elif ran < 0:
        yield "not run"


def _last(err: str) -> str:
    return (err.strip().splitlines() or [""])[-1][:160]
