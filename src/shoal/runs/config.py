"""All that is needed to run a training again, as plain data."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Literal

from shoal.core.errors import require
from shoal.core.limits import Count, Natural, NonNegative, Positive, Seed, check_fields
from shoal.runs.durable import Json
from shoal.runs.types import check_values

MOST_STEPS = 2**31 - 1  # in a rollout: they are counted in an int32
MOST_MEMBERS = 1_000_000  # trained together; far more than any memory holds
Server = Literal["none", "sync", "async", "ssp"]
# Where a run runs: it may go on elsewhere, and among others.
WHERE = ("processes", "workers", "servers", "coordinators", "address", "deadline")


@dataclass(frozen=True)
class Config:
    """One training. Steps are steps of one environment (all its agents)."""

    algorithm: str
    algorithm_fields: Json
    environment: str
    environment_fields: Json
    total_steps: Count
    num_envs: Count
    unroll: Count
    seed: Seed = 0
    seeds: Count = 1
    sweep: dict[str, list[int | float]] = field(default_factory=dict)
    devices: Count = 1  # that share the environments of one member
    member_devices: Count = 1  # groups of them, among which members are shared out
    deterministic: bool = False
    evaluations: Count = 10
    eval_episodes: Count = 1000
    checkpoint_seconds: NonNegative = 30.0
    preset: str = "none"
    processes: Count = 1  # that share the devices, each a rank of a gang
    workers: Natural = 0  # on Ray, that collect for whoever learns; 0: it collects itself
    server: Server = "none"  # of parameters, to which workers send gradients
    staleness: Natural = 4  # updates that a worker may be ahead of the slowest, or a sample behind
    servers: Count = 1  # that share out the parameters, each in a process of its own
    backups: Natural = 0  # workers that a synchronous server does not wait for
    coordinators: Natural = 0  # between whoever learns and its workers; 0: none
    address: str = ""  # of a cluster; none: one is started here
    deadline: Positive = 60.0  # seconds in which a worker or rank makes a step, or is replaced
    pictures: bool = True  # whether the commands that end the run draw it

    def __post_init__(self) -> None:
        check_fields(self)
        batch = self.num_envs * self.unroll
        require(
            batch <= MOST_STEPS,
            f"num_envs times unroll is {batch:,}, expected at most {MOST_STEPS:,}",
        )
        members = self.seeds * math.prod(map(len, self.sweep.values()))
        require(
            1 <= members <= MOST_MEMBERS,
            f"seeds and sweeps make {members} members, expected 1 to {MOST_MEMBERS:,}",
        )
        check_workers(members=members, **{name: getattr(self, name) for name in OF_WORKERS})

    def members(self) -> list[Json]:
        """The settings of each of the K runs that are trained together: every seed with every
        combination of the sweep's values."""
        combinations: list[Json] = [{}]
        for name, values in self.sweep.items():
            combinations = [{**c, name: v} for c in combinations for v in values]
        return [{"seed": self.seed + s, **c} for c in combinations for s in range(self.seeds)]

    @property
    def alone(self) -> bool:
        """Whether each worker makes updates of its own."""
        return self.server in ("async", "ssp")

    def to_json(self) -> Json:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(data: Json) -> "Config":
        """What `to_json` gave, beside which there may be more.

        Raises:
            UserError: a setting is missing, or is not what it must be.
        """
        known = {f.name: f for f in dataclasses.fields(Config)}
        missing = [n for n, f in known.items() if n not in data and not _has_default(f)]
        require(not missing, f"it lacks {', '.join(missing)}")
        given = {name: value for name, value in data.items() if name in known}
        check_values(Config, given, "config.json")
        return Config(**given)

    def among(self, processes: int) -> "Config":
        """The same run in so many processes. Raises `UserError` where its bits depend on them."""
        before = self.processes
        keep = f"the run is deterministic in {before} processes: keep to them"
        require(not self.deterministic or processes == before, keep)
        return dataclasses.replace(self, processes=processes)

    def here(self) -> "Config":
        """The same run in one process, for who only reads it: ranks have the same state."""
        return dataclasses.replace(self, processes=1)

    @property
    def hash(self) -> str:
        """Of what a run is, however long and wherever it runs and whatever is drawn of it; a
        checkpoint of another hash is foreign."""
        settings = self.to_json()
        if self.alone:  # there may be more workers, each with its share
            settings["num_envs"] //= max(self.workers, 1)
        for name in ("total_steps", "pictures", *WHERE):
            del settings[name]
        text = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


OF_WORKERS = (
    *("workers", "server", "servers", "backups", "coordinators", "address", "deterministic"),
)


def check_workers(
    *,
    workers: int,
    server: str,
    servers: int,
    backups: int,
    coordinators: int,
    address: str,
    deterministic: bool,
    members: int,
) -> None:
    """Raises `UserError` where settings of workers do not go together."""
    served, sync = server != "none", server == "sync"
    require(
        workers > 0 or not served,
        f"server is {server}, and there are no workers that it could serve: --workers N",
    )
    require(workers > 0 or not address, f"address is {address}, and no workers there: --workers N")
    require(
        workers == 0 or members == 1,
        f"workers train one member, and seeds and sweeps make {members}: one run each",
    )
    host, _, port = address.rpartition(":")
    require(
        not address or bool(host and port.isdigit()), f"address is '{address}', expected HOST:PORT"
    )
    require(
        backups == 0 or (sync and backups < workers),
        f"backups is {backups}, expected fewer than the {workers} workers, and --server sync",
    )
    require(
        servers == 1 or served,
        f"servers is {servers}, and there is no server of parameters: --server sync, async or ssp",
    )
    require(
        servers == 1 or not coordinators,
        f"coordinators add up gradients for one server, and servers is {servers}: leave out one",
    )
    require(
        not (served and deterministic) or (sync and backups == 0),
        "a deterministic server waits for everyone: --server sync, and no backups",
    )
    require(
        coordinators == 0
        or ((sync or not served) and not backups and workers > 0 and workers % coordinators == 0),
        f"coordinators is {coordinators}, expected a number that divides the {workers} workers, "
        "and --server sync without backups, or no server",
    )


def _has_default(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing
