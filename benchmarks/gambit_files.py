"""Runs `shoal solve` over all Gambit files of a folder: text and JSON, every concept.

    python benchmarks/gambit_files.py FOLDER [--deadline 60] [--concepts nash pure ...]

Writes under games/: gambit_files.csv, one row a file and concept (answered, refused with the line,
traceback, too long; how many answers, and the largest of their regrets), and gambit_counts.csv, how
many of each. A refusal has to be one line with exit code 2, text and JSON have to agree, and with
`--exact` every regret has to be 0 exactly: else the row says "wrong". Files are solved in a process
that is replaced when it takes longer than the deadline. Goes on where it was stopped: rows that are
there are not made again. Gambit's own files are at https://github.com/gambitproject/gambit.
"""

import argparse
import collections
import contextlib
import csv
import io
import json
import multiprocessing
import time
import traceback
from fractions import Fraction
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CONCEPTS = [
    *("nash", "nash --exact", "pure", "pure --exact", "subgame_perfect --exact"),
    *("correlated", "coarse", "stackelberg", "logit", "iterated_elimination", "pareto"),
    *("ess", "alpha_rank", "cfr --iterations 100"),
]
CERTIFICATES = ("regret", "nash_conv", "one_move_regret", "follower_regret", "residual")
FIELDS = ["file", "concept", "outcome", "answers", "complete", "regret", "seconds", "line"]


def main() -> None:
    """Solves what is not yet in the table, then counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "games")
    parser.add_argument("--deadline", type=float, default=60.0, help="seconds for one answer")
    parser.add_argument("--concepts", nargs="+", default=CONCEPTS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "gambit_files.csv"
    known = {(row["file"], row["concept"]) for row in read(path)}
    files = sorted(p for p in options.folder.iterdir() if p.suffix in (".efg", ".nfg"))
    worker = Worker()
    with path.open("a", newline="") as out:
        table = csv.DictWriter(out, FIELDS)
        if not known:
            table.writeheader()
        for file in files:
            for concept in options.concepts:
                if (file.name, concept) not in known:
                    row = solved(worker, file, concept, options.deadline)
                    table.writerow({"file": file.name, "concept": concept, **row})
                    out.flush()
            print(file.name, flush=True)
    worker.end()
    counts = collections.Counter((row["concept"], row["outcome"]) for row in read(path))
    outcomes = sorted({outcome for _, outcome in counts})
    with (options.out / "gambit_counts.csv").open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["concept", *outcomes])
        for concept in options.concepts:
            rows.writerow([concept, *(counts[concept, outcome] for outcome in outcomes)])
    print((options.out / "gambit_counts.csv").read_text())


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table, if it is there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def solved(worker: "Worker", file: Path, concept: str, deadline: float) -> dict[str, Any]:
    """One row: what text and JSON say."""
    words = ["solve", str(file), "--concept", *concept.split()]
    started, ends = time.monotonic(), []
    for arguments in (words, [*words, "--json"]):
        end = worker.run(arguments, deadline)
        if end is None:
            return {"outcome": "too long", "seconds": f"> {deadline:g}"}
        ends.append(end)
    row = judged(*ends, exact="--exact" in concept)
    return {"seconds": f"{(time.monotonic() - started) / 2:.2f}", **row}


def judged(text: Any, found: Any, exact: bool) -> dict[str, Any]:
    """What came of the text and of the JSON."""
    for code, _, errors in (text, found):
        if code not in (0, 2):
            return {"outcome": "traceback", "line": errors.strip().splitlines()[-1]}
    lines = [line for line in text[2].splitlines() if ": at work for " not in line]
    if text[0] != found[0] or len(lines) != (text[0] == 2):
        return {"outcome": "wrong", "line": " / ".join(lines)[:300]}
    if text[0] == 2:
        return {"outcome": "refused", "line": lines[0]}
    report = json.loads(found[1])
    regrets = [a[key] for a in report["answers"] for key in CERTIFICATES if key in a]
    largest = max((Fraction(r) for r in regrets), default=Fraction(0))
    right = largest == 0 if exact else float(largest) < float("inf")
    nothing = not report["answers"] and report["concept"] == "nash"
    return {
        "outcome": "answered" if right and not nothing else "wrong",
        "answers": len(report["answers"]),
        "complete": report["complete"],
        "regret": f"{float(largest):.1e}" if largest else 0,
    }


class Worker:
    """A process that runs commands one after the other."""

    def __init__(self) -> None:
        self.process = None

    def run(self, arguments: list[str], deadline: float) -> Any:
        """Exit code (1 with a traceback), output and errors; None if it took too long."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=work, args=(theirs,), daemon=True)
            self.process.start()
            self.pipe.recv()  # it has imported what it needs
        self.pipe.send(arguments)
        if self.pipe.poll(deadline):
            with contextlib.suppress(EOFError):
                return self.pipe.recv()
        self.end()
        return None

    def end(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def work(pipe: Any) -> None:
    """Runs what comes down the pipe."""
    import jax

    import shoal.cli.solutions  # noqa: F401, what takes long
    from shoal.cli.main import run

    pipe.send("ready")
    for count in range(10**9):
        arguments = pipe.recv()
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                code = run(arguments)
            except Exception:
                code = 1
                traceback.print_exc()
        pipe.send((code, out.getvalue(), errors.getvalue()))
        if count % 100 == 99:  # each tree leaves compiled programs
            jax.clear_caches()


if __name__ == "__main__":
    main()
