"""What the tables of distributed/ say, as Markdown, every figure with its interval."""

import json
from collections.abc import Iterable
from pathlib import Path

import distributed_lag
import distributed_scaling
import numpy as np
import rows
from scipy.special import stdtrit

from shoal.math.statistics import summary

Row = dict[str, str]
WORKERS = (("return", 2), ("steps_per_second", 0), ("lag", 2), ("lag_max", 0), ("idle", 2))
SERVERS = (("return", 2), ("steps_per_second", 0), ("staleness", 2), ("dropped", 2), ("idle", 2))

SCALE = (
    "In spread per agent over 25 steps, in CartPole the sum of an episode; 100 episodes a seed, "
    "95 % intervals by Student's t, but all numbers of two or three."
)

RLLIB = (
    "**IMPALA beside RLlib**, in turns on the same cores: CartPole-v1, 4 workers of 16 "
    "environments, otherwise each library with its own settings, RLlib those of its example, with "
    "which it ends at a training return of 450. `target steps` and `target seconds` are those to "
    "there, starting and compiling apart, where every seed got there; return is greedy, final "
    "parameters, 100 episodes a seed"
)
EVOSAX = (
    "**OpenAI-ES beside evosax**, in turns on one core: Gymnax's CartPole-v1, 128 members of 450 "
    "parameters, 500 steps a generation, the same hyper-parameters; return is that of the final "
    "mean, greedy, 100 episodes a round"
)
RLLIB_COLUMNS = (
    *(("steps", 0), ("start_seconds", 1), ("target_steps", 0), ("target_seconds", 1)),
    ("return", 1),
)
EVOSAX_COLUMNS = (("generations", 0), ("start_seconds", 1), ("return", 1))


def tables(folder: Path) -> str:
    """All of them that there are."""
    parts = [
        *(_gang(folder), _lag(folder)),
        _runs(folder / "workers.csv", "IMPALA's workers", WORKERS),
        _runs(folder / "servers.csv", "Servers of parameters", SERVERS),
        _runs(folder / "evolution.csv", "Evolution strategies with workers", WORKERS[:2]),
        *(_kills(folder), _driver(folder), _scaling(folder), _overhead(folder), _soak(folder)),
        _beside(folder / "rllib.csv", RLLIB, "steps_per_second", RLLIB_COLUMNS),
        _beside(folder / "evosax.csv", EVOSAX, "generations_per_second", EVOSAX_COLUMNS),
    ]
    return "\n\n".join(part for part in parts if part)


def interval(numbers: Iterable[str | float], digits: int) -> str:
    """A mean and its 95 % interval, by Student's t with fewer than ten; all of at most three, with
    their mean where they are three; one where they are the same; "" of none."""
    known = [float(x) for x in numbers if x != ""]
    each = list(dict.fromkeys(f"{x:,.{digits}f}" for x in known))
    if len(known) <= 2 or len(each) == 1:
        return " and ".join(each)
    if len(known) == 3:
        return f"{np.mean(known):,.{digits}f} ({'; '.join(f'{x:,.{digits}f}' for x in known)})"
    score = summary(np.array(known)[:, None])
    mean, low, high = (f"{score[part]:,.{digits}f}" for part in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _table(note: str, head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return f"{note}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _groups(table: list[Row], *names: str) -> dict[tuple[str, ...], list[Row]]:
    """Rows that are alike but for the seed."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in table:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def _gang(folder: Path) -> str:
    table = rows.read(folder / "gang.csv")
    if not table:
        return ""
    columns = (("return", 2), ("steps_per_second", 0), ("seconds", 0))
    groups = _groups(table, "devices", "processes")
    body = [
        [*key, str(len(each)), *(interval((r[n] for r in each), d) for n, d in columns)]
        for key, each in groups.items()
    ]
    steps, cores, device = (table[0][name] for name in ("steps", "cores", "device"))
    note = (
        "**PPO on more devices and in more processes**, the same training in spread: return per "
        f"agent over 25 steps, {int(steps):,} steps, final parameters, greedy, 1,000 episodes a "
        f"seed; seconds from the command to its end, on {cores} cores of {device} "
        "([data](benchmarks/distributed/gang.csv), `benchmarks/distributed.py gang`)."
    )
    names = ("devices", "processes", "seeds", "return", "steps per second", "seconds")
    return _table(note, [*names], body)


def _lag(folder: Path) -> str:
    found = distributed_lag.returns(folder)
    if not found:
        return ""
    worlds = list(dict.fromkeys((world, algorithm) for world, algorithm, _ in found))
    lags = sorted({lag for *_, lag in found})
    body = [
        [*worlds_algorithm, *(interval(found.get((*worlds_algorithm, lag), ()), 1) for lag in lags)]
        for worlds_algorithm in worlds
    ]
    note = (
        "**Lag.** Final greedy return, by updates that what acts is behind: IMPALA, and A2C with "
        f"its settings, which differs in V-trace alone. {SCALE} 5 seeds; spread 1,000,000 steps, "
        "CartPole 500,000 ([data](benchmarks/distributed/lag.csv), "
        "`benchmarks/distributed.py lag`)."
    )
    return _table(note, ["", "", *map(str, lags)], body)


def _runs(path: Path, title: str, columns: tuple[tuple[str, int], ...]) -> str:
    table = rows.read(path)
    if not table:
        return ""
    body = [
        [
            *(algorithm, environment, _in_words(options), f"{int(steps):,}", str(len(each))),
            *(interval((row[name] for row in each), digits) for name, digits in columns),
        ]
        for (algorithm, environment, options, steps), each in _groups(
            table, "algorithm", "environment", "options", "steps"
        ).items()
    ]
    beside = any(not row["steps_per_second"] for row in table)
    machines = dict.fromkeys(f"{row['cores']} cores of {row['device']}" for row in table)
    note = (
        f"**{title}.** Final greedy return. {SCALE} Seeds from 0, on {' and '.join(machines)} "
        f"([data](benchmarks/distributed/{path.name}), "
        f"`benchmarks/distributed.py {path.stem}`)."
        + " Rates are left out where other work ran beside."
        * beside
    )
    head = ["", "", "", "steps", "seeds", *(name.replace("_", " ") for name, _ in columns)]
    return _table(note, head, body)


def _in_words(options: str) -> str:
    known = json.loads(options) if options else {}
    words = [f"{name} {value}" for name, value in known.items() if name != "env.in_process"]
    return ", ".join(words) or "no workers"


def _kills(folder: Path) -> str:
    table = rows.read(folder / "kills.csv")
    if not table:
        return ""
    columns = (("return", 1), ("replaced", 0), ("twice", 0))
    body = [
        [
            kills,
            ", ".join(f"{int(r['steps_to_threshold']):,}" for r in each),
            *(interval((r[n] for r in each), d) for n, d in columns),
            _ends(each),
        ]
        for (kills,), each in _groups(table, "kills").items()
    ]
    note = (
        f"**Workers killed**, IMPALA in CartPole, {int(table[0]['steps']):,} steps, 8 workers: "
        f"steps to a greedy return of {table[0]['threshold']}, seed by seed "
        "([data](benchmarks/distributed/kills.csv), "
        "`benchmarks/distributed.py kills`)."
    )
    head = ["kills", "steps to it", "return", "replaced", "calls counted twice", "clean"]
    return _table(note, head, body)


def _driver(folder: Path) -> str:
    table = [row for row in rows.read(folder / "driver.csv") if row["too_late"] == "False"]
    if not table:
        return ""
    body = [
        [moment, str(len(each)), f"{sum(r['same_rows'] == 'True' for r in each)}", _ends(each)]
        for (moment,), each in _groups(table, "moment").items()
    ]
    note = (
        "**Whoever learns killed**, and the run resumed "
        "([data](benchmarks/distributed/driver.csv), "
        "`benchmarks/distributed.py driver`)."
    )
    return _table(note, ["when", "tries", "rows byte for byte the same", "clean"], body)


def _ends(each: list[Row]) -> str:
    """How many left nothing, and listened to nobody."""
    clean = sum(not row["left"] and not row["exposed"] for row in each)
    slowest = max(float(row["gone_after"]) for row in each)
    return f"{clean} of {len(each)}, gone after at most {slowest:.1f} s"


def _scaling(folder: Path) -> str:
    found = distributed_scaling.rates(folder)
    if not found:
        return ""
    model = {(r["environment"], r["workers"]): r for r in rows.read(folder / "scaling_model.csv")}
    said = {which: f"{float(row['predicted']):,.0f}" for which, row in model.items()}
    body = [
        [
            *(
                world,
                f"none, {devices} device{'s' * (devices > 1)}" if devices else str(workers),
                interval(each, 0),
            ),
            said.get((world, str(workers)), ""),
        ]
        for (world, workers, devices), each in found.items()
    ]
    last = [(which, row) for which, row in model.items() if which[1] == "1000"]
    body += [[w[0], "1,000", "", f"{said[w]} ({row['limit']})"] for w, row in last]
    note = (
        "**Scaling.** Steps a second, and what a queueing model says of as many workers "
        "([data](benchmarks/distributed/scaling_model.csv), `benchmarks/distributed.py scaling`)."
    )
    return _table(note, ["", "workers", "measured", "model"], body)


def _overhead(folder: Path) -> str:
    table = rows.read(folder / "overhead.csv")
    ways = _groups(table, "options")
    if len(ways) < 2:
        return ""
    none, one = ([float(r["steps_per_second"]) for r in each] for each in ways.values())
    ratio = interval((b / a for a, b in zip(none, one)), 2)
    text = (
        f"**One worker beside none**, in turns: {interval(one, 0)} and {interval(none, 0)} steps a "
        f"second, a ratio of {ratio} ([data](benchmarks/distributed/overhead.csv), "
        "`benchmarks/distributed.py overhead`)."
    )
    for row in rows.read(folder / "overhead_profile.csv"):
        parts = [n for n in row if n.endswith("_milliseconds")]
        said = (f"{n.removesuffix('_milliseconds')} {float(row[n]):.2g}" for n in parts)
        text += f" Milliseconds a sample of {row['sample_bytes']} bytes: {', '.join(said)}."
    return text


def _soak(folder: Path) -> str:
    table = rows.read(folder / "soak.csv")
    if not table:
        return ""
    columns = ("resident_megabytes", "descriptors", "threads")
    body = [
        [process, *(_slope(each, name) for name in columns)]
        for (_, process), each in _groups(table, "seed", "process").items()
    ]
    note = (
        f"**A long training**, {int(table[0]['updates']):,} updates: change in 10,000 updates over "
        "its last half ([data](benchmarks/distributed/soak.csv), "
        "`benchmarks/distributed.py soak`)."
    )
    return _table(note, ["", *(name.replace("_", " ") for name in columns)], body)


def _beside(path: Path, note: str, speed: str, columns: tuple[tuple[str, int], ...]) -> str:
    """Shoal and a peer, a line each for all seeds, and how many times as fast Shoal is, seed by
    seed."""
    table = rows.read(path)
    asked = _groups(table, "asked", "seed").values()
    pairs = [{r["library"]: float(r[speed]) for r in each} for each in asked]
    ratio = interval((pair["shoal"] / pair[path.stem] for pair in pairs if len(pair) == 2), 2)
    if not ratio:
        return ""
    body = [
        [
            "Shoal" if library == "shoal" else f"{library} {_version(each[0])}",
            *(str(len(each)), interval((r[speed] for r in each), 1)),
            *(_of_all(each, name, digits) for name, digits in columns),
        ]
        for (library,), each in _groups(table, "library").items()
    ]
    note += (
        f". Shoal makes {ratio} times as many {speed.partition('_')[0]} a second "
        f"([data](benchmarks/distributed/{path.name}), `benchmarks/distributed.py {path.stem}`)."
    )
    names = (speed, *(name for name, _ in columns))
    return _table(note, ["", "seeds", *(name.replace("_", " ") for name in names)], body)


def _of_all(each: list[Row], name: str, digits: int) -> str:
    """An interval, where every row has a number."""
    return interval((r[name] for r in each), digits) if all(r[name] for r in each) else ""


def _version(row: Row) -> str:
    """Of the peer that a row is of."""
    return json.loads(row["versions"])["ray" if row["library"] == "rllib" else row["library"]]


def _slope(each: list[Row], name: str) -> str:
    """Of the last half, by least squares; neighbours are alike, so that there are as many
    independent ones as their correlation leaves."""
    half = each[len(each) // 2 :]
    x, y = (np.array([float(row[n]) for row in half]) for n in ("update", name))
    if len(half) < 4:
        return ""
    x = (x - x.mean()) / 10_000
    slope = float(x @ y / (x @ x))
    rest = y - y.mean() - slope * x
    alike = float(rest[1:] @ rest[:-1] / max(rest @ rest, 1e-12))
    count = max(len(x) * (1 - max(alike, 0)) / (1 + max(alike, 0)), 3.0)
    # The variance of the rests, over so many independent places of the same spread.
    error = (rest @ rest / len(x) * count / (count - 2) / (x @ x / len(x) * count)) ** 0.5
    off = float(stdtrit(count - 2, 0.975) * error)
    return f"{slope:.2f} [{slope - off:.2f}, {slope + off:.2f}]"
