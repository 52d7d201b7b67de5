"""Sweeps on the command line: comma lists of an algorithm's numbers, and what came of each setting.

    shoal train mappo mpe/simple_spread --algo.learning-rate 1e-4,3e-4 --algo.clip 0.1,0.2 --seeds 4

Every setting is trained with every seed, in one program. Members are numbered from 0: the seeds of
the first setting, those of the second, and so on.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.declared import fields, leaves
from shoal.cli.table import table
from shoal.core.errors import UserError, require
from shoal.core.limits import read_value
from shoal.core.names import heading, in_digits, in_words
from shoal.runs.durable import Json

Sweep = dict[str, list[int | float]]
ALGO, ENV = "--algo.", "--env."
BEST = "*"


def read_sweep(arguments: Arguments, algorithm: str, environment: str) -> tuple[Sweep, Arguments]:
    """The swept fields with their values, and the arguments without them.

    What the algorithm and the environment declare is read off their source. A list is told by its
    commas: `--algo.clip 0.1,0.2`. Options that do not exist stay among the arguments, for who
    checks those.

    Raises:
        UserError: no such algorithm or environment; a list of a field that cannot be swept; an
            entry that is empty, there twice, or not what the field admits.
    """
    if arguments.help:
        return {}, arguments
    target = registry.find_algorithm(algorithm).target
    kinds, numbers, of_world = fields(target), leaves(target), []
    with suppress(LookupError):  # where its source does not tell
        of_world = leaves(registry.find("environment", environment, registry.ENVIRONMENTS).target)
    sweep: Sweep = {}
    rest, seen = [], set()
    for option in arguments.options:
        word, values, _ = option
        name, listed = option.field, any("," in text for text in values)
        if listed and word.startswith(ENV) and name in of_world:
            raise UserError(f"{word} takes one value: only the algorithm's numbers can be swept")
        if word.startswith(ALGO) and name in kinds:
            require(not (name in seen and (listed or name in sweep)), f"{word} is there twice")
            seen.add(name)
            if listed:
                sweep[name] = _entries(word, values, kinds[name], name in numbers, numbers)
                continue
        rest.append(option)
    return sweep, arguments._replace(options=rest)


def _entries(
    option: str, values: list[str], kind: Any, is_leaf: bool, numbers: Sequence[str]
) -> list[int | float]:
    """The numbers of a comma list, each as good as a single one."""
    if not is_leaf:
        many = "" if kind else f" (a single value of several words has spaces: {option} 64 64)"
        names = ", ".join(name.replace("_", "-") for name in numbers)
        raise UserError(
            f"{option} shapes the program: it cannot be swept{many}; sweep one of: {names}"
        )
    text = " ".join(values)
    words = text.split(",")
    require(
        len(values) == 1 and all(word.strip() for word in words),
        f"{option} is '{text}', expected numbers with a comma between each two and no spaces",
    )
    out: list[int | float] = []
    for word in words:
        number = read_value(option, word, kind)
        require(number not in out, f"{option} has {word} twice in '{text}'")
        out.append(number)
    return out


# Members --------------------------------------------------------------------------------------


def count_members(config: Json) -> int:
    """How many runs were trained together, from a run's `config.json`."""
    sizes = [len(values) for values in (config.get("sweep") or {}).values()]
    return config.get("seeds", 1) * math.prod(sizes)


def check_member(config: Json, member: int | None) -> None:
    """Raises `UserError` where the run has no such member. `None` stands for all."""
    last = count_members(config) - 1
    if member is not None and not 0 <= member <= last:
        wanted = f"0 to {last}" if last else "0: the run has one member"
        raise UserError(f"--member is {member}, expected {wanted}")


def describe_member(config: Any, member: int) -> str:
    """`member 3: learning_rate 0.001, seed 1`; `config` is a run's `Config`."""
    settings = config.members()[member]
    values = {name: settings[name] for name in config.sweep} | {"seed": settings["seed"]}
    return f"member {member}: " + in_words(values)


# What came of it ------------------------------------------------------------------------------


class Setting(NamedTuple):
    """One combination of the swept values; `low` and `high` bound the mean return of its seeds at
    95 %, and are `None` where there is one seed."""

    values: Json
    members: list[int]
    mean: float
    low: float | None
    high: float | None

    @property
    def name(self) -> str:
        """`learning_rate 0.001, clip 0.2`."""
        return in_words(self.values)

    def to_json(self) -> Json:
        score = {"mean": self.mean, "low": self.low, "high": self.high}
        return {**self.values, "members": self.members, "return": score}


def settings_of(sweep: Sequence[str], members: Sequence[Json]) -> list[Setting]:
    """Members of an evaluation (`seed`, swept values and `return` of each) by setting, the best
    mean first. Returns that are not numbers come last."""
    import numpy as np

    from shoal.math.statistics import mean_interval

    groups: dict[tuple, list[int]] = {}
    for i, member in enumerate(members):
        groups.setdefault(tuple(member[name] for name in sweep), []).append(i)
    out = []
    for values, indices in groups.items():
        scores = [members[i]["return"] for i in indices]
        returns = np.array([math.nan if x is None else x for x in scores], float)
        pair = map(float, mean_interval(returns)) if len(indices) > 1 else (None, None)
        out.append(Setting(dict(zip(sweep, values)), indices, float(returns.mean()), *pair))
    return sorted(out, key=lambda s: -math.inf if math.isnan(s.mean) else s.mean, reverse=True)


def settings_table(settings: Sequence[Setting]) -> list[str]:
    """A line a setting, in the order given; the first is marked as the best."""
    rows = [["", *settings[0].values, "members", "return", "95 %"]]
    for i, s in enumerate(settings):
        values = [in_digits(value) for value in s.values.values()]
        members = "-".join(str(k) for k in dict.fromkeys((s.members[0], s.members[-1])))
        known = s.low is not None and not math.isnan(s.mean)
        interval = f"[{s.low:.2f}, {s.high:.2f}]" if known else "\N{EN DASH}"
        rows.append([BEST if i == 0 else "", *values, members, f"{s.mean:.2f}", interval])
    return table(rows, left=[len(rows[0]) - 1])


def print_table(config: Any, members: Sequence[Json], episodes: int) -> None:
    """The table of a finished sweep, with what its numbers are."""
    settings = settings_of(list(config.sweep), members)
    seeds = f"mean of {config.seeds} seeds" if config.seeds > 1 else "one seed, so no interval"
    print(
        f"{heading(config.algorithm)} in {heading(config.environment)}: "
        f"return per agent of {len(settings)} settings, {seeds}, {episodes} episodes each"
    )
    print("\n".join(settings_table(settings)))
    best, second = settings[0], settings[1] if len(settings) > 1 else None
    print(f"best: {best.name}{_doubt(best, second)}")


def _doubt(best: Setting, second: Setting | None) -> str:
    """A warning where the next one could be as good."""
    if second is None or best.low is None or second.high is None or best.low > second.high:
        return ""
    return f" (its interval overlaps that of {second.name})"
