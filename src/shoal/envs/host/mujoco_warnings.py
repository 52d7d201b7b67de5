"""One warning of MuJoCo's that says nothing to who trains: it is printed for each environment made.

Gymnasium's half cheetah sets `settotalmass` in its own XML. All other warnings go to standard error
as before, but no longer to a file `MUJOCO_LOG.TXT` in the working directory.
"""

import sys
from typing import Any

DEPRECATED = "compiler attribute 'settotalmass' is deprecated"


def hush(mujoco: Any) -> None:
    """Leaves that warning out, unless warnings have a handler already."""
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_warn)


def _warn(message: str) -> None:
    if not message.startswith(DEPRECATED):
        print(f"WARNING: {message}", file=sys.stderr)
