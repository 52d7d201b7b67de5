"""Nothing that others wrote steers a terminal."""

import contextlib
import io
import os
import random
import subprocess
import sys

import pytest

from shoal.core.errors import UserError
from shoal.core.terminal import LONGEST, PlainOutput, as_text, say


def test_what_steers_is_written_out(capsys):
    say("a\x1b[2J\x9b\r\n\u202eb\ud800 ü 鱼 \U0001f41f")
    assert capsys.readouterr().err == "a\\x1b[2J\\x9b\\r\\n\\u202eb\\ud800 ü 鱼 \U0001f41f\n"
    assert as_text("a\tb\n\x07", keep="\t\n") == "a\tb\n\\x07"
    say("x" * 10**6)
    assert capsys.readouterr().err == "x" * (LONGEST - 1) + "…\n"


def test_any_text_is_one_line_that_can_be_printed():
    letters, rng = [*map(chr, range(0x300)), "\u2028", "\u2066", "\ud900"], random.Random(0)
    for _ in range(500):
        line = as_text("".join(rng.choices(letters, k=40)))
        line.encode()
        assert len(line.splitlines()) <= 1 and "\x1b" not in line and "\x9b" not in line


def test_output_is_text_and_its_refusal_is_told():
    raw = io.BytesIO()
    output = PlainOutput.instead_of(io.TextIOWrapper(raw, encoding="ascii"))
    print("a\x1b[2J\té", file=output, flush=True)
    assert raw.getvalue() == b"a\\x1b[2J\t\\xe9\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
@pytest.mark.parametrize("text", ["x", "x" * 10**6])
def test_a_disk_that_is_full_is_a_mistake(text):
    output = PlainOutput.instead_of(open("/dev/full", "w"))  # noqa: SIM115
    with pytest.raises(UserError, match="cannot write to standard output: No space left on device"):
        print(text, file=output, flush=True)
    with contextlib.suppress(OSError):
        output.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
@pytest.mark.parametrize("words", [["--version"], ["list", "algorithms"], ["train", "--help"]])
def test_the_command_says_it_in_a_line(words):
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "shoal", *words], stdout=full, stderr=subprocess.PIPE, text=True
        )
    said = "shoal: cannot write to standard output: No space left on device\n"
    assert (found.returncode, found.stderr) == (2, said)
