"""The walk, and a recording of it."""

from walk import recording, two_of_three, walk  # noqa: F401
