"""What was checked, what was found, and what was not checked."""

import dataclasses

from shoal.envs.check.finding import Finding

CHECKS = {
    "spec": "the spec is static, can be hashed and agrees with itself",
    "compile": "reset and step compile",
    "pure": "the same key and state give the same result",
    "timestep": "every array has the shape and type that the spec promises",
    "carry": "a step returns what a reset returns: it compiles once, and loops",
    "keys": "each key is used once",
    "batch": "a batch is its members, one by one",
    "end": "who has ended stays so, does not act and is paid nothing; a step never resets",
    "limit": "the time limit falls on the horizon",
    "masks": "every agent has a legal action at all times",
    "inactive": "who is not active changes nothing",
    "numbers": "observations, rewards and metrics are finite, padding is zero",
    "reward": "rewards differ",
    "draw": "pictures can be drawn",
    "scripted": "the scripted controller acts legally",
}


@dataclasses.dataclass
class Report:
    """All findings, and why some checks were not made; `checks` says what each promises."""

    findings: list[Finding] = dataclasses.field(default_factory=list)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    checks: dict[str, str] = dataclasses.field(default_factory=lambda: CHECKS)

    @property
    def errors(self) -> int:
        return sum(f.severity == "error" for f in self.findings)

    @property
    def warnings(self) -> int:
        return len(self.findings) - self.errors

    def outcome(self, check: str) -> str:
        """`passed`, `warning`, `failed` or `skipped`."""
        severities = {f.severity for f in self.findings if f.check == check}
        if severities:
            return "failed" if "error" in severities else "warning"
        return "skipped" if check in self.skipped else "passed"

    def skip(self, why: str, *checks: str) -> None:
        """Notes that checks were not made, unless they have found something already."""
        found = {f.check for f in self.findings}
        self.skipped |= {check: why for check in checks if check not in found}
