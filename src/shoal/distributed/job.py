"""What a supervisor tells a rank when it starts it."""

import dataclasses
import json
from dataclasses import dataclass

LOST = 75  # the exit code of a rank that lost another one: all are to be started again
# What a rank shows its supervisor: it lives, all have joined, a step begins and ends.
ALIVE, JOINED, BEGIN, END = b".+()"


@dataclass(frozen=True)
class Gang:
    """N processes that run one command together."""

    coordinator: str
    """HOST:PORT where rank 0 listens."""
    ranks: int
    words: list[str]
    """The command, as rank 0 carries it out."""
    said: list[str]
    """The command as it was typed, but for what may differ from rank to rank."""
    devices: int = 1
    """Of each rank."""
    together: bool = False
    """Whether all ranks carry it out, and not rank 0 alone."""
    deterministic: bool = False
    deadline: float = 60.0
    """Seconds in which a rank must make a step, or show that it lives."""

    @property
    def beat(self) -> float:
        """Seconds between two signs of life."""
        return min(0.5, self.deadline / 4)


@dataclass(frozen=True)
class Job:
    """One rank of a gang."""

    gang: Gang
    rank: int
    cores: list[int]
    first: int
    """The number of its first accelerator, on a machine that has some."""
    lifeline: int
    """A socket to the supervisor, which closes with it, to which the rank shows that it lives."""
    terminal: list[int]
    """Standard output and error of the user, for rank 0; what is printed else is a log."""

    def write(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def read(text: str) -> "Job":
        fields = json.loads(text)
        return Job(**fields | {"gang": Gang(**fields["gang"])})


_TAKEN: list[Job] = []


def take(text: str) -> Job:
    """The job of this process, from now on."""
    _TAKEN[:] = [Job.read(text)]
    return _TAKEN[0]


def is_rank() -> bool:
    """Whether this process is a rank of a gang, which has its supervisor."""
    return bool(_TAKEN)
