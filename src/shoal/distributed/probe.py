"""Asks whether a Ray cluster answers, in a process that can be given up: a connection of Ray's own
tries for minutes, and fills the screen."""

import sys

from shoal.core import child
from shoal.core.errors import in_a_line


def main() -> int:
    """Says a line once Ray is imported, and another if the cluster refuses: why."""
    child.settle(0)
    from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]

    print(flush=True)
    try:
        GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None)
    except Exception as error:  # Ray raises what it likes
        print(in_a_line(error, named=False).partition(". ")[0])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
