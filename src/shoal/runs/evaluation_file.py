"""`eval.json`: the scores of a run's last parameters, as a file says them."""

from pathlib import Path
from typing import NotRequired, TypedDict

from shoal.runs.durable import Json, read_object
from shoal.runs.types import check_values


class Score(TypedDict):
    """A summary over seeds or episodes; null where it was not finite."""

    mean: float | None
    iqm: float | None
    low: float | None
    high: float | None


Evaluation = TypedDict(
    "Evaluation",
    {
        "episodes": int,
        "seeds": int,
        "return": Score,
        "metrics": dict[str, Score],
        "members": NotRequired[list[dict[str, float | None]]],
    },
)
"""What readers of the file rely on; there may be more in it."""


def read_evaluation(path: Path) -> Json:
    """The content of an `eval.json`. Raises `UserError` where it is not what `Evaluation` says."""
    content = read_object(path)
    check_values(Evaluation, content, str(path))
    return content
