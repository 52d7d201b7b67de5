"""Every verb shows its help also where no optional package is installed."""

import json
import subprocess
import sys

from shoal.cli.main import VERBS

NAMES = {
    "train": "ippo mpe/simple",
    "tune": "ippo mpe/simple",
    "resume": "runs/one",
    "eval": "runs/one",
    "render": "runs/one",
    "track": "runs/one",
    "export": "runs/one",
    "compare": "runs/one runs/two",
    "report": "runs/one runs/two",
    "new": "environment pond",
    "check": "mpe/simple",
    "list": "algorithms",
    "info": "ippo",
    "bench": "train ippo mpe/simple",
    "solve": "chicken",
}
BARE = """
import contextlib, io, json, re, sys
from importlib import metadata

needed = {re.match(r"[\\w-]+", line)[0].lower() for line in metadata.requires("shoal")
          if "extra ==" in line and "cuda" not in line}
needed -= {re.match(r"[\\w-]+", line)[0].lower() for line in metadata.requires("shoal")
           if "extra ==" not in line}
for module, owners in metadata.packages_distributions().items():
    if {owner.lower() for owner in owners} & needed:
        sys.modules[module] = None

from shoal.cli.main import run

for verb, names in json.loads(sys.argv[1]).items():
    said, code = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = run([verb, *names.split(), "--help"])
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps([verb, code, said.getvalue()]))
assert sys.modules.get("optuna", 0) is None
"""


def test_help_needs_no_optional_package() -> None:
    assert set(NAMES) == set(VERBS)
    command = [sys.executable, "-c", BARE, json.dumps(NAMES)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    for verb, code, said in map(json.loads, ended.stdout.splitlines()):
        assert code == 0 and f"shoal {verb}" in said, (verb, said)
