"""The settings with which other people's environments are made: JSON, and what is wrong with it."""

import json
import re
from typing import Any

from shoal.core.errors import UserError, require


def read_settings(task: str, text: str) -> dict[str, Any]:
    """The settings that an environment is made with; `UserError` where they are no JSON object."""
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"settings of {task} are '{text}', expected JSON: {error}") from None
    require(
        isinstance(given, dict),
        f"settings of {task} are '{text}', expected a JSON object such as '{{\"name\": 1}}'",
    )
    return given


def not_taken(error: Exception) -> str | None:
    """The keyword argument that a constructor does not take, if that is what the error says."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    return found and found[1]
