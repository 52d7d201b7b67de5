"""Whatever a run's files say, a comparison and a report are made, or refused in a line."""

import json
import math
import random
import warnings
from pathlib import Path
from typing import Any

from paper_runs import write_run

from shoal.core.errors import UserError
from shoal.reports.comparison import compare_groups
from shoal.reports.report import report_html
from shoal.reports.run_groups import read_groups

FILES = ("config.json", "eval.json", "metrics.jsonl", "replay.html")
VALUES: list[Any] = [
    *(None, True, 0, -1, 2**70, 10**400, 1.5, math.nan, math.inf, "x", "\ud800", "\x1b[2J"),
    *([], [None], [1] * 99, {}, {"a": None}, {"type": "os:system", "fields": {}}),
]


def places(value: Any, path: tuple = ()) -> list[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = [(key, x) for key, x in items if isinstance(x, dict | list)]
    keys = value if isinstance(value, dict) else range(len(value))
    return [(*path, key) for key in keys] + [p for k, x in inner for p in places(x, (*path, k))]


def change(text: str, rng: random.Random) -> str:
    """The same JSON values, a line each, with one within them changed or gone."""
    content = [json.loads(line) for line in text.splitlines()]
    *way, key = rng.choice(places(content))
    where: Any = content
    for step in way:
        where = where[step]
    if rng.random() < 0.3:
        del where[key]
    else:
        where[key] = rng.choice(VALUES)
    return "\n".join(map(json.dumps, content)) + "\n"


def damage(run: Path, rng: random.Random) -> None:
    path = run / rng.choice(FILES[:3])
    path.write_text(change(path.read_text(), rng))
    if rng.random() < 0.5:
        return
    path = run / rng.choice(FILES)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([0, 1, 9])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    cut = rng.choice([len(data), len(data), rng.randrange(len(data))])
    path.write_bytes(data[:cut] + rng.choice([b"", b"", b"\0", b"\xff\n"]))


def test_what_is_damaged_is_compared_or_refused_in_a_line(tmp_path):
    whole = write_run(tmp_path / "whole", [-3.0, -4.0])
    files = {name: (whole / name).read_bytes() for name in FILES[:3]}
    files["replay.html"] = b"<html><head></head><body>replay</body></html>"
    other, made = write_run(tmp_path / "other", [-8.0, -9.0], algorithm="a2c"), 0
    for seed in range(150):
        for name, content in files.items():
            (whole / name).write_bytes(content)
        damage(whole, random.Random(seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of rows that are left out
            try:
                groups = read_groups([whole, other])
                json.dumps(compare_groups(groups, reference="observed"), allow_nan=False)
                report_html(groups, reference="observed").encode()
                made += 1
            except UserError as error:
                assert "\n" not in str(error), seed
    assert 25 < made < 125
