"""What a check found: what was seen and where, what was expected, and how to mend it."""

import dataclasses
import traceback
from pathlib import Path
from typing import Any, Literal

from shoal.core.errors import in_a_line

Severity = Literal["error", "warning"]
_NOT_THE_USERS = (
    *("jax", "jaxlib", "equinox", "jaxtyping", "beartype", "numpy", "gymnasium", "pettingzoo", "<"),
)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One defect, where it was first seen.

    The episode of `seed` starts with `env.reset(jax.random.key(seed))`, and the key of its step `t`
    is `jax.random.fold_in(jax.random.key(seed), t)`. The first step is 1, and 0 is the reset.
    Those of Gymnasium and PettingZoo start with `env.reset(seed=seed)`.
    """

    check: str
    severity: Severity
    seen: str
    expected: str
    mend: str
    agent: str | None = None
    step: int | None = None
    seed: int | None = None

    @property
    def where(self) -> str:
        """Agent, step and seed in words; nothing where the defect is everywhere."""
        parts = (
            ("agent ", self.agent),
            ("step ", self.step),
            ("seed ", self.seed),
        )
        return ", ".join(f"{word}{value}" for word, value in parts if value is not None)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return dataclasses.asdict(self)


def error(check: str, seen: str, expected: str, mend: str, **place: Any) -> Finding:
    """A defect with which learning goes wrong."""
    return Finding(check, "error", seen, expected, mend, **place)


def warning(check: str, seen: str, expected: str, mend: str, **place: Any) -> Finding:
    """Something that may be meant."""
    return Finding(check, "warning", seen, expected, mend, **place)


def raised(error: BaseException) -> str:
    """An exception in a line: its type, the line of the world that raised it, what it says."""
    here = Path(__file__).parent
    ours = (str(here), str(here.parent / "host"), str(here.parents[1] / "core"))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        foreign = set(Path(frame.filename).parts) & set(_NOT_THE_USERS)
        if not foreign and frame.filename[0] != "<" and not frame.filename.startswith(ours):
            place = f"{Path(frame.filename).name}, line {frame.lineno}"
            said = in_a_line(error, named=False)
            return f"{type(error).__name__} in {place} (`{frame.line}`): {said}"
    return in_a_line(error)
