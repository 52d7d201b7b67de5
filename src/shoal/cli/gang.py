"""Options of a gang, which several verbs have: what they ask for, and what starts it."""

import dataclasses
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shoal.cli.arguments import Arguments
from shoal.cli.output import terminal
from shoal.core.errors import require
from shoal.distributed.job import Gang
from shoal.distributed.supervisor import supervise
from shoal.runs.run_directory import clear_unsaved

OWN = ("--processes", "--coordinator", "--rank", "--devices")
_APART = ("--rank", "--out")  # what ranks may be told differently
MOST = 1024  # ranks


def start(
    verb: str, arguments: Arguments, gang: Gang, again: Callable[[Gang], Gang] | None = None
) -> int:
    """Runs the ranks that this machine has a part in, and returns the exit code."""
    said = [verb, *_without(arguments, _APART).words()]
    gang = dataclasses.replace(gang, said=said, words=[verb, *_without(arguments, OWN).words()])
    rank = arguments.value("--rank")
    ranks = range(gang.ranks) if rank is None else [int(rank)]
    return supervise(gang, ranks, terminal(), again)


def read(arguments: Arguments, processes: int, **run: Any) -> Gang:
    """The gang of that many processes that the options ask for, or `run` in their place: `devices`
    in all, one each if 0, `deterministic`, `deadline`. Raises `UserError` for options that do not
    fit each other."""
    deterministic = run.get("deterministic", arguments.is_on("--deterministic"))
    deadline = run.get("deadline", float(arguments.value("--deadline") or 60.0))
    devices = run.get("devices", int(arguments.value("--devices") or 0)) or processes
    require(processes <= MOST, f"processes is {processes}, expected at most {MOST}")
    coordinator, rank = arguments.value("--coordinator") or "", arguments.value("--rank")
    require(
        devices % processes == 0,
        f"devices is {devices}, expected a multiple of processes, which is {processes}",
    )
    require(
        devices == processes or not deterministic,
        f"devices is {devices}, expected {processes}: a deterministic process has one",
    )
    require(
        bool(coordinator) == (rank is not None),
        "--coordinator and --rank go together: HOST:PORT of rank 0, and which rank this is",
    )
    if rank is not None:
        most = processes - 1
        require(
            int(rank) <= most, f"rank is {rank}, expected 0 to {most}: processes is {processes}"
        )
        _check_address(coordinator, listens=int(rank) == 0)
    return Gang(
        *(coordinator, processes, [], []),
        devices=devices // processes,
        deterministic=deterministic,
        deadline=deadline,
    )


def wanted(arguments: Arguments, processes: int = 1) -> int:
    """How many processes are asked for; `processes` if that is not said. Raises `UserError` where
    other options of a gang need to be told."""
    count = int(arguments.value("--processes") or 0) or processes
    for option in ("--coordinator", "--rank"):
        alone = arguments.value(option) is not None and count == 1
        require(not alone, f"{option} is of a gang: say with --processes how many there are")
    return count


def going_on(directory: Path) -> Callable[[Gang], Gang]:
    """Turns a gang that trains into one that resumes the run, once there is a checkpoint."""

    def again(gang: Gang) -> Gang:
        if gang.words[0] == "resume":
            return gang
        if clear_unsaved(directory):
            return gang
        return dataclasses.replace(gang, words=["resume", str(directory)])

    return again


def _check_address(address: str, listens: bool) -> None:
    """Raises `UserError` for what is no HOST:PORT, or is in use where rank 0 is to listen."""
    host, _, port = address.rpartition(":")
    good = bool(host) and port.isdecimal() and 0 < int(port) < 2**16
    require(good, f"coordinator is '{address}', expected HOST:PORT, such as 10.0.0.1:29400")
    if not listens:
        return
    try:
        socket.create_server((host, int(port))).close()
    except OSError as error:
        require(False, f"coordinator {address} cannot listen here: {os.strerror(error.errno or 0)}")


def _without(arguments: Arguments, names: tuple[str, ...]) -> Arguments:
    options = [option for option in arguments.options if option.name not in names]
    return arguments._replace(options=options)
