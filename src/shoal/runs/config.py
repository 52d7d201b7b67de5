"""All that is needed to run a training again, as plain data."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field

from shoal.core.limits import Count, NonNegative, Seed, check_fields
from shoal.runs.durable import Json


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
    devices: int = 1  # that share the environments of one member
    member_devices: int = 1  # groups of them, among which members are shared out
    deterministic: bool = False
    evaluations: Count = 10
    eval_episodes: Count = 1000
    checkpoint_seconds: NonNegative = 30.0
    preset: str = "none"

    def __post_init__(self) -> None:
        check_fields(self)

    def members(self) -> list[Json]:
        """The settings of each of the K runs that are trained together: every seed with every
        combination of the sweep's values."""
        combinations: list[Json] = [{}]
        for name, values in self.sweep.items():
            combinations = [{**c, name: v} for c in combinations for v in values]
        return [{"seed": self.seed + s, **c} for c in combinations for s in range(self.seeds)]

    def to_json(self) -> Json:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(data: Json) -> "Config":
        names = {f.name for f in dataclasses.fields(Config)}
        return Config(**{k: v for k, v in data.items() if k in names})

    @property
    def hash(self) -> str:
        """Of all that shapes a state or its numbers; a checkpoint of another hash is foreign."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
