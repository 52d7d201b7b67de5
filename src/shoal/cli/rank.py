"""A rank of a gang, as its supervisor starts it: `python -m shoal.cli.rank JSON`. Rank 0 does what
the command says, and the others follow it."""

import contextlib
import os
import sys
import traceback

from shoal.core import child
from shoal.distributed.job import LOST, Job, take


def main() -> None:
    """Settles, works, and ends at once: JAX would wait for ranks that are gone."""
    job = take(sys.argv[1])
    leads = job.rank == 0
    child.settle(job.lifeline, heeds_signals=leads)
    os.sched_setaffinity(0, job.cores)
    from shoal.cli.output import print_to
    from shoal.training.stopping import ended_in_a_line

    if leads:
        print_to(*job.terminal)
    with ended_in_a_line() if leads else contextlib.nullcontext():
        code = _work(job)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _work(job: Job) -> int:
    from shoal.cli.main import run
    from shoal.core.errors import UserError, require
    from shoal.core.terminal import say
    from shoal.distributed.membership import Lost, Pulse, join

    gang, rank = job.gang, job.rank
    try:
        devices = range(job.first, job.first + gang.devices)
        pulse = Pulse(job.lifeline, gang.beat)
        member = join(gang.coordinator, gang.ranks, rank, devices, gang.deterministic, pulse)
        if rank == 0:
            member.announce(gang.said)
        else:
            said = member.hear()
            other = f"rank {rank} was started with another command than rank 0"
            require(said == gang.said, f"{other}: shoal {' '.join(said)}")
        if rank == 0 or gang.together:
            return run(gang.words)
        from shoal.distributed.gang import follow

        follow(member)
        return 0
    except UserError as error:
        say(f"shoal: {error}")
        return 2
    except Lost as error:
        print(f"shoal: {error}", file=sys.__stderr__, flush=True)  # for the supervisor
        return LOST
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    main()
