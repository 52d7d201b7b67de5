"""All that is needed to run a training again, as plain data."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import jax

from shoal.core.errors import UserError
from shoal.core.limits import Count, NonNegative, Seed, check_fields

Json = dict[str, Any]


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
    normalise_observations: bool = False
    evaluations: Count = 10
    eval_episodes: Count = 1000
    checkpoint_seconds: NonNegative = 30.0
    preset: str = "none"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.unroll

    @property
    def total_updates(self) -> int:
        """Updates needed to make at least `total_steps` steps."""
        return -(-self.total_steps // self.steps_per_update)

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


def fields_of(thing: Any) -> Json:
    """The fields of an algorithm or environment as JSON values."""
    out = {}
    for f in dataclasses.fields(thing):
        if not f.metadata.get("saved", True):
            continue
        value = getattr(thing, f.name)
        if isinstance(value, tuple):
            value = list(value)
        if isinstance(value, jax.Array):
            value = value.tolist()
        if not isinstance(value, (bool, int, float, str, list, type(None))):
            kind = type(value).__name__
            raise UserError(
                f"{type(thing).__name__}.{f.name} is a {kind}: cannot be kept in a config"
            )
        out[f.name] = value
    return out


def from_fields(values: Json) -> Json:
    """The inverse of `fields_of`: lists become tuples again."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
