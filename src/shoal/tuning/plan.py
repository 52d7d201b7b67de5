"""A study as plain data: what is trained, what is searched, what counts. Kept in `study.json`.

The same plan goes on with the same study; another plan in its place is a mistake.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoal.core.errors import UserError
from shoal.core.limits import Count, Seed, check_fields
from shoal.runs.durable import Json, read_json, write_json_atomic
from shoal.tuning.space import Dimension, Value

FILE = "study.json"


@dataclass(frozen=True)
class Plan:
    """One study. A trial is one training of `seeds` members together; its value is the mean of
    `metric` over them in the final evaluation."""

    algorithm: str
    algorithm_fields: Json  # of trial 0, where the space has it, and of all that is not searched
    environment: str
    environment_fields: Json
    run: Json  # total_steps, num_envs, unroll and what else a preset's table has
    space: tuple[Dimension, ...]
    preset: str = "none"
    seed: Seed = 0
    seeds: Count = 2
    metric: str = "return"
    goal: Literal["max", "min"] = "max"
    deterministic: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def last_step(self) -> int:
        """The step of the final evaluation: whole updates, at least `total_steps`."""
        update = self.run["num_envs"] * self.run["unroll"]
        return -(-self.run["total_steps"] // update) * update

    def values(self, drawn: Json) -> dict[str, Value]:
        """The searched fields' values for a trial's parameters. A parameter that stands for the
        plan's own value gives that value, with all its digits."""
        own = self.start()
        return {
            d.field: self.algorithm_fields[d.field]
            if own.get(d.name) == drawn[d.name]
            else d.value(drawn[d.name])
            for d in self.space
        }

    def start(self) -> Json:
        """The parameters of the plan's own values, as far as the space has them."""
        drawn = {d.name: d.drawn(self.algorithm_fields[d.field]) for d in self.space}
        return {name: value for name, value in drawn.items() if value is not None}

    def to_json(self) -> Json:
        return dataclasses.asdict(self)


def read_plan(directory: Path) -> Plan:
    """The plan of a study. Raises `UserError` where there is none, or a damaged one."""
    path = directory / FILE
    try:
        data = read_json(path)
        space = [Dimension(**d | {"choices": tuple(d["choices"])}) for d in data["space"]]
        return Plan(**data | {"space": tuple(space)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def keep_plan(directory: Path, plan: Plan) -> None:
    """Writes the plan, or makes sure that the study that is there has the same one.

    Raises:
        UserError: the directory has a study of something else, and what that is.
    """
    if not (directory / FILE).exists():
        write_json_atomic(directory / FILE, plan.to_json())
        return
    old, new = _flat(read_plan(directory)), _flat(plan)
    for name in [*old, *new]:
        if old.get(name) != new.get(name):
            raise UserError(
                f"{directory} holds a study with {name} {_say(old, name)}, "
                f"not {_say(new, name)}: choose another --out"
            )


def _flat(plan: Plan) -> Json:
    """Its settings by the names of the command line."""
    data = {f.name: getattr(plan, f.name) for f in dataclasses.fields(plan)}
    fields = {f"algo.{k}": v for k, v in data.pop("algorithm_fields").items()}
    fields |= {f"env.{k}": v for k, v in data.pop("environment_fields").items()}
    fields |= data.pop("run")
    fields |= {f"search of {d.field}": d for d in data.pop("space")}
    return {**data, **fields}


def _say(settings: Json, name: str) -> str:
    value = settings.get(name)
    if isinstance(value, Dimension):
        return f"in {', '.join(map(str, value.choices)) or f'{value.low:g} to {value.high:g}'}"
    return "none" if value is None else str(value)
