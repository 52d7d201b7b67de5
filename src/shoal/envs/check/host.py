"""Whether a world of Gymnasium's or PettingZoo's keeps what learners rely on.

It is tried in a process of its own (`trial`): whatever it does there, print, hang or end its
process, is a finding.
"""

import contextlib
import json
import os
import pickle
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from shoal.core import awake, child
from shoal.core.errors import UserError, require
from shoal.envs.check.finding import Finding, error
from shoal.envs.check.report import Report
from shoal.envs.check.trial import AT, DONE, FOUND, HOST_CHECKS, MAKE, SKIPPED, Job, Trial, broken
from shoal.envs.host import shared
from shoal.envs.host.process import GRACE, STARTING, begin, fate, wait
from shoal.envs.host.vector import pickled
from shoal.envs.host.world import HostWorld

Said = tuple[str, Any]


class _Place(NamedTuple):
    """What a trial is at."""

    check: str = "play"
    doing: str = MAKE
    step: int | None = None
    seed: int | None = None


def inspect_host(world: HostWorld, *, episodes: int = 16, seed: int = 0) -> Report:
    """What is wrong with a world that processes step, what was not checked, and why."""
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    report = Report(checks=HOST_CHECKS)
    try:
        _ = world.spec
    except UserError as problem:
        mend = "make it by itself; its constructor takes what --env.settings says"
        report.findings.append(error("spec", str(problem), "a world", mend))
        report.skip("it cannot be made", *HOST_CHECKS)
        return report
    job = Job(world.build, world.facts, world.endless, episodes, seed)
    for kind, content in _here(job) if world.in_process else _in_a_process(job, world.deadline):
        if kind == FOUND:
            report.findings.append(Finding(**content))
        else:
            for check, why in content.items():
                report.skip(why, check)
    return report


def _here(job: Job) -> list[Said]:
    """What a trial in this very process says, as `in_process` asks for."""
    said: list[Said] = []
    with contextlib.chdir("."):  # where it is left for another folder, that is undone
        Trial(job, lambda kind, content: said.append((kind, content))).run()
    return [(kind, content) for kind, content in said if kind not in (AT, DONE)]


def _in_a_process(job: Job, deadline: float) -> Iterator[Said]:
    """What a trial in a process of its own says. Each call of the world may take `deadline`
    seconds, and a constructor as long as a process to start, at least."""
    asked, starting = pickle.dumps((pickled(job.make), *job[1:])), max(deadline, STARTING)
    process, channel, lifeline = begin("shoal.envs.check.trial")
    place, allowed, grace, lost = _Place(), starting, 0.0, ""
    try:
        with channel:
            listener = shared.listener(channel)
            channel.settimeout(starting)
            shared.send_long(channel, asked)
            while True:
                wait(listener, allowed, awake.now())
                kind, content = json.loads(shared.receive_long(channel))
                if kind == DONE:
                    grace = GRACE
                    break
                if kind == AT:
                    place = _Place(*content)
                    allowed = starting if place.doing == MAKE else deadline
                else:
                    yield kind, content
    except TimeoutError:
        lost = f"{place.doing} did not answer within {allowed:g} s"
    except (EOFError, OSError):
        lost = f"in {place.doing}, {fate(process)}"
    finally:
        child.end(process, time.monotonic() + grace)
        os.close(lifeline)
    if lost:
        found = broken(place.check, lost, step=place.step, seed=place.seed)
        yield FOUND, found.to_json()
        later = [*HOST_CHECKS][[*HOST_CHECKS].index(place.check) :]
        yield SKIPPED, dict.fromkeys(later, "its process was lost before")
