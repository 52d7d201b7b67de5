"""What Ray starts: a process that makes its worker, and says in a line what goes wrong in it."""

import time
from collections.abc import Callable
from typing import Any

from shoal.core.addresses import said
from shoal.core.errors import Failure, UserError


class Process:
    """A worker of the class `kind`, in a process of its own. It is made by the first call, so that
    what is raised meanwhile reaches who called, as what any other call raises does."""

    def __init__(self, kind: Callable[..., Any], *words: Any):
        self._kind, self._words = kind, words
        self._worker: Any = None

    def call(self, method: str, *words: Any) -> Any:
        """What that method of a crew's worker gives, (ident, content) and what it hands on, with
        the seconds that it took beside the content."""
        began = time.monotonic()
        (ident, content), *rest = self.run(method, *words)
        return (ident, content, time.monotonic() - began), *rest

    def run(self, method: str, *words: Any) -> Any:
        """What that method of the worker gives. What it raises may be of a class that only this
        process knows: that becomes a line, which says where."""
        try:
            if self._worker is None:
                self._worker = self._kind(*self._words)
            return getattr(self._worker, method)(*words)
        except (UserError, Failure) as error:
            raise type(error)(str(error)) from None
        except Exception as error:
            raise Failure(f"a worker failed: {said(error)}") from None
