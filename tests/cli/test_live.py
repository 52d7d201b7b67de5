"""A run in a pseudo-terminal, as a user sees it."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

SMALL = [
    *("--num-envs", "8", "--unroll", "25", "--eval-episodes", "4", "--algo.hidden", "8"),
    *("--algo.minibatches", "2", "--algo.epochs", "1"),
]


# Makes its standard input its terminal, so that Ctrl-C reaches it, and becomes what it is told.
BECOME = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def seen(
    folder: Path, *words: str, interrupt: str = "", term: str = "xterm-256color"
) -> tuple[int, str]:
    """The exit code, and all that a command writes to a terminal of that kind and of 70 columns.
    Once it shows the text `interrupt`, Ctrl-C is pressed."""
    terminal, theirs = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 70, 0, 0))
    run = subprocess.Popen(
        [sys.executable, "-c", BECOME, "-m", "shoal", *words],
        **dict.fromkeys(("stdin", "stdout", "stderr"), theirs),
        cwd=folder,
        env=os.environ | {"TERM": term},
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # the other side is closed
        while more := os.read(terminal, 65536):
            said += more
            if interrupt and interrupt in said.decode(errors="replace"):
                os.write(terminal, b"\x03")
                interrupt = ""
    os.close(terminal)
    return run.wait(), said.decode(errors="replace")


def left(said: str) -> list[str]:
    """The lines that stay on the screen."""
    above = r"[^\n]*\n(\x1b\[\?25h)?\r\x1b\[1A\x1b\[2K"  # up a line, which is cleared
    said = re.sub(above, "", said.replace("\r\n", "\n"))
    lines = said.split("\n")
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line.rpartition("\x1b[2K")[2]) for line in lines]


def test_every_stage_is_shown_and_the_panel_alone_is_left(tmp_path: Path) -> None:
    words = ("train", "ippo", "mpe/simple", "--steps", "40_000", *SMALL, "--out", "run")
    code, said = seen(tmp_path, *words)
    assert code == 0, said
    stages = re.findall(r"(starting|compiling|training|evaluating|drawing|playing)", said)
    assert [*dict.fromkeys(stages)] == [
        *("starting", "compiling", "training", "evaluating", "playing", "drawing"),
    ]
    assert len(set(re.findall(r"([⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]) compiling", said))) > 3  # it moved
    lines = [line for line in left(said) if line]
    assert lines[0].startswith("ippo in mpe/simple · 40,000 steps, 1 seed · ")
    assert lines[-1] == "  shoal resume run --steps 80000"
    assert not [line for line in lines if re.search("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏━]", line)]


def test_ctrl_c_leaves_no_line_behind(tmp_path: Path) -> None:
    words = ("train", "ippo", "mpe/simple", "--steps", "50_000_000", *SMALL, "--out", "run")
    code, said = seen(tmp_path, *words, interrupt="s left")
    assert code == 1 and "^C" in said
    lines = [line for line in left(said) if line]
    assert len(lines) == 1 and lines[0].startswith("shoal: stopped by SIGINT"), lines
    assert lines[0].endswith("continue with: shoal resume run")
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")  # the cursor is back


def test_a_terminal_that_cannot_move_its_cursor_gets_a_line_a_stage(tmp_path: Path) -> None:
    words = ("train", "ippo", "mpe/simple", "--steps", "2000", *SMALL, "--out", "run")
    code, said = seen(tmp_path, *words, "--pictures", "False", term="dumb")
    assert code == 0 and "\x1b" not in said
    assert re.findall(r"^(\w+).* · after ", said, re.M) == [
        *("compiling", "training", "evaluating", "playing"),
    ]
