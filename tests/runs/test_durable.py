"""Files that are there whole or not at all."""

import os
from pathlib import Path

import pytest

from shoal.runs.durable import replacing, write_atomic


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "page.html"
    write_atomic(path, "Ä")
    assert path.read_bytes() == "Ä".encode()
    write_atomic(path, b"\x00")
    assert path.read_bytes() == b"\x00" and names(tmp_path) == {"page.html"}


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.suffix == ".mp4" and temporary.name.startswith(".tmp-")
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert path.read_text() == "new" and names(tmp_path) == {"film.mp4"}


@pytest.mark.parametrize("writes", [True, False])
def test_what_is_raised_leaves_the_old_file_alone(writes, tmp_path):
    path = tmp_path / "film.mp4"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        if writes:
            temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and names(tmp_path) == {"film.mp4"}


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor):
        events.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def rename(old, new):
        events.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    write_atomic(tmp_path / "a.md", "text")
    assert events == [f".tmp-{os.getpid()}-a.md", "replace", tmp_path.name]


def test_links_are_replaced_and_pipes_are_written_to(tmp_path):
    there, link = tmp_path / "there", tmp_path / "link"
    there.mkdir()
    link.symlink_to(there / "page.html")
    (there / "page.html").write_text("another's")
    write_atomic(link, "page")
    assert not link.is_symlink() and link.read_text() == "page"
    assert (there / "page.html").read_text() == "another's"
    read, write = os.pipe()
    write_atomic(Path(f"/dev/fd/{write}"), "page")
    assert os.read(read, 9) == b"page"
    os.close(read)
    os.close(write)
