"""shoal check MODULE:CLASS: whether a world keeps what learners rely on, and how to mend it."""

import sys
import textwrap
from dataclasses import dataclass
from typing import Any

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.declared import check_options
from shoal.cli.output import answer
from shoal.cli.parse import parse, take
from shoal.core.errors import UserError
from shoal.core.limits import Count, Seed

USAGE = "shoal check FILE.py:NAME|MODULE:NAME|NAME [--env.FIELD v] [--episodes N] [--json]"
MARKS = {"passed": "✓", "failed": "✗", "warning": "!", "skipped": "-"}
PLAIN_MARKS = {"passed": "ok", "failed": "ERROR", "warning": "warning", "skipped": "-"}
WIDTH = 100


@dataclass(frozen=True)
class Options:
    """Check a world."""

    episodes: Count = 16
    """Episodes to play, 2 at least: half of them at random and half with extreme actions."""
    seed: Seed = 0
    """Seed of the first episode."""
    json: bool = False
    """Print one JSON object and nothing else."""


@dataclass(frozen=True)
class WithFields(Options):
    """Check a world."""

    env: Any = None
    """Fields of the environment."""


def run(arguments: Arguments) -> int:
    """Checks and prints; 0 where there are no errors, 1 where there are some."""
    (name,), rest = take(arguments, ["MODULE:CLASS"], USAGE)
    target = registry.find("environment", name, registry.ENVIRONMENTS).target
    if not rest.help:
        check_options(rest, {"--env.": target, "--": f"{__name__}:Options"})

    from shoal.training.devices import prepare

    prepare()
    world, options = _build(name, rest)

    from shoal.envs.check import inspect_environment

    if isinstance(world, Exception):
        report = _unbuilt(world)
    else:
        report = inspect_environment(world, episodes=options.episodes, seed=options.seed)
    name = registry.full_name(name)
    if options.json:
        outcomes = {check: report.outcome(check) for check in report.checks}
        findings = [finding.to_json() for finding in report.findings]
        counts = {"errors": report.errors, "warnings": report.warnings}
        answer({"environment": name, **counts, "checks": outcomes, "findings": findings})
    else:
        _print(name, report)
    return 1 if report.errors else 0


def _build(name: str, arguments: Arguments) -> tuple[Any, Any]:
    """The world, or the exception that building it raises; and the options."""
    try:
        world = registry.make(name)
    except UserError:
        raise
    except Exception as problem:
        return problem, parse(Options(), arguments, f"shoal check {name}")
    if arguments.help or any(o.name.startswith("--env.") for o in arguments.options):
        options = parse(WithFields(env=world), arguments, f"shoal check {name}")
        return options.env, options
    return world, parse(Options(), arguments, f"shoal check {name}")


def _unbuilt(problem: Exception) -> Any:
    """The report of a world that cannot be built."""
    from shoal.envs.check import CHECKS, Report
    from shoal.envs.check.finding import error, raised

    seen = f"building it raises {raised(problem)}"
    mend = "give every field a default with which the world can be built"
    report = Report([error("spec", seen, "a world, from its defaults", mend)])
    report.skip("it cannot be built", *CHECKS)
    return report


def _print(name: str, report: Any) -> None:
    """A line a check, and under it what was found."""
    try:
        "".join(MARKS.values()).encode(sys.stdout.encoding or "ascii")
        marks = MARKS
    except (UnicodeEncodeError, LookupError):
        marks = PLAIN_MARKS
    print(name)
    width = max(map(len, report.checks))
    for check, promise in report.checks.items():
        outcome = report.outcome(check)
        more = f" (not checked: {report.skipped[check]})" if outcome == "skipped" else ""
        print(f"  {marks[outcome]} {check:<{width}}  {promise}{more}")
        for finding in report.findings:
            if finding.check == check:
                _print_finding(finding)
    print(f"{_count(report.errors, 'error')}, {_count(report.warnings, 'warning')}")


def _print_finding(finding: Any) -> None:
    place = f" ({finding.where})" if finding.where else ""
    lines = {
        finding.severity: finding.seen + place,
        "expected": finding.expected,
        "mend": finding.mend,
    }
    for title, text in lines.items():
        start = f"      {title:<9} "
        print(textwrap.fill(start + text, WIDTH, subsequent_indent=" " * len(start)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
