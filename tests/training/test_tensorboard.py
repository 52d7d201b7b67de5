"""TensorBoard's files: what is in them, and that a full disk costs one warning and no time."""

import io
import struct
import threading
import warnings
from pathlib import Path

import pytest
from tensorboardX import record_writer
from tensorboardX.proto.event_pb2 import Event, SessionLog

from shoal.training.tensorboard import TensorBoard

ROW = {"step": 40, "seed": 3, "return/team": 1.5, "loss": 0.25, "episodes": 7, "note": None}


def events(path: Path) -> list[Event]:
    """What a file holds: records of a length, its checksum, an event and its checksum."""
    file, found = io.BytesIO(path.read_bytes()), []
    while head := file.read(12):
        found.append(Event.FromString(file.read(struct.unpack("Q", head[:8])[0])))
        file.read(4)
    return found


def test_numbers_stand_under_their_names_and_steps(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    board.write(ROW)
    board.write(ROW | {"step": 80, "loss": 0.125})
    board.close()
    (file,) = (tmp_path / "seed_3").glob("events.out.tfevents.*")
    version, start, *rest = events(file)
    assert version.file_version == "brain.Event:2"
    assert (start.session_log.status, start.step) == (SessionLog.START, 40)
    values = [(e.step, v.tag, v.simple_value) for e in rest for v in e.summary.value]
    assert values == [
        (40, "return/team", 1.5),
        (40, "loss", 0.25),
        (80, "return/team", 1.5),
        (80, "loss", 0.125),
    ]


def test_a_full_disk_costs_one_warning_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = open("/dev/full", "wb")  # noqa: SIM115  closed by the board
    monkeypatch.setattr(record_writer, "open_file", lambda path: full)
    board = TensorBoard(tmp_path)

    def train() -> None:
        for step in range(100):
            board.write(ROW | {"step": step})
        board.close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thread = threading.Thread(target=train, daemon=True)
        thread.start()
        thread.join(20)
    assert not thread.is_alive()
    (warning,) = [w for w in caught if w.category is RuntimeWarning]
    assert "TensorBoard is off" in str(warning.message)
    assert "No space left on device" in str(warning.message)
