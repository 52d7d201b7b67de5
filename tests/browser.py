"""A real browser, for tests of pages."""

import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--hide-scrollbars", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=4000"),
    "--disable-dev-shm-usage",  # small in a container, and the browser falls over when it is full
    "--disable-features=IsolateSandboxedIframes",  # frames share the page's process and clock
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")


def chromium(page, *flags, profile):
    """What the browser prints, and what the page and its frames wrote to the console.

    A browser that falls over, as on a machine short of memory, is started once more.
    """
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, page]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=150)
        whole = "--dump-dom" not in flags or "</html>" in done.stdout
        if done.returncode == 0 and whole:
            return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    pytest.fail(f"no page from the browser: exit code {done.returncode}\n{done.stderr[-3000:]}")
