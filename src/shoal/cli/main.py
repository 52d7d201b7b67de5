"""The `shoal` command: one verb, one file. Nothing heavy is imported before a verb is known."""

import importlib
import os
import sys

from shoal.cli.arguments import Arguments
from shoal.cli.output import keep_for_answers
from shoal.cli.table import table
from shoal.core.errors import Failure, UserError, unknown

VERBS = {
    "train": "train an algorithm in an environment",
    "resume": "continue an interrupted run",
    "eval": "evaluate a run's policy",
    "render": "make a replay: html, gif or mp4",
    "compare": "compare finished runs",
    "report": "write one HTML page on some runs",
    "track": "send a run's rows to wandb, mlflow or trackio",
    "tune": "search hyper-parameters, and write what was found as a preset",
    "export": "write a run's policy as ONNX or StableHLO, with a card",
    "new": "write an environment or an algorithm to start from",
    "check": "check a world of your own, and say how to mend it",
    "list": "list algorithms or environments",
    "info": "show what is known of an algorithm or environment",
    "bench": "measure speed",
    "solve": "solve a game: equilibria and more, certified",
}

USAGE = """usage: shoal VERB ... (shoal VERB --help tells more)

{verbs}

  shoal train mappo mpe/simple_spread --steps 1000000
"""


def main() -> None:
    """Runs the command line: exit code 0 is success, 2 a mistake of the user's, 1 anything else."""
    if "--json" in sys.argv:
        keep_for_answers()
    code = run(sys.argv[1:])
    if code == 2:  # nothing is left to save, and taking JAX apart would keep the user waiting
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(verbs="\n".join(table([*VERBS.items()], left=(0, 1)))))
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib import metadata

        print(metadata.version("shoal"))
        return 0
    verb, *rest = arguments
    try:
        if verb not in VERBS:
            raise unknown("verb", verb, VERBS)
        return importlib.import_module(f"shoal.cli.{verb}").run(Arguments.of(rest))
    except UserError as error:
        print(f"shoal: {error}", file=sys.stderr)
        return 2
    except Failure as error:
        print(f"shoal: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("shoal: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stderr.close()
        return 1
    except OSError as error:  # of the disk, such as one that is full
        where = f": {error.filename}" if error.filename else ""
        print(f"shoal: {error.strerror or error}{where}", file=sys.stderr)
        return 1
