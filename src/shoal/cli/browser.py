"""`--open`: shows a file that was made in the web browser."""

import os
import sys
import webbrowser
from pathlib import Path

from shoal.core.terminal import say


def show(path: Path) -> None:
    """Opens a file; where there is no screen or no browser, a line says so. A browser for text,
    which would take the terminal, is none."""
    screen = (
        sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if not (screen and webbrowser.open(path.resolve().as_uri())):
        say(f"shoal: no browser is found here: open {path.resolve()}")
