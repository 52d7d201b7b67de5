"""Says on standard error that long work is still going on."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

PATIENCE = 3.0  # seconds without a word


@contextlib.contextmanager
def still_at_work(what: str, patience: float = PATIENCE) -> Iterator[None]:
    """Within it, a line tells every now and then how long `what` has taken so far, twice as long
    after the last one each time."""
    done, started = threading.Event(), time.monotonic()

    def tell() -> None:
        wait = patience
        while not done.wait(wait):
            taken = time.monotonic() - started
            print(f"shoal: {what}: at work for {taken:.0f} s", file=sys.stderr, flush=True)
            wait = taken

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
