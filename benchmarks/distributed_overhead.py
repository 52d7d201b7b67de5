"""One worker on Ray beside none: the same work, in turns, and where the time goes."""

import argparse

import rows
from distributed_pieces import measure
from distributed_runs import CARTPOLE, KEY, Way, append, has, summed, train

ROUNDS, STEPS = 5, 200_000
WAYS = {"none": {"env.in_process": True}, "one": {"workers": 1}}
PIECES = ("collect", "compute", "pack", "message", "unpack", "learn")


def fill(options: argparse.Namespace) -> None:
    """Rounds of both, each of the same seed, and a profile of one sample's way."""
    table, steps = options.folder / "overhead.csv", options.steps or STEPS
    for seed in range(options.seeds or ROUNDS):
        for way in (Way("impala", CARTPOLE, steps, words) for words in WAYS.values()):
            if not has(table, KEY, way.key(seed)):
                row = summed(*train(way, seed))
                row = {n: row.get(n, "") for n in ("return", "steps_per_second", "idle", "seconds")}
                append(table, (*KEY, *row), dict(zip(KEY, way.key(seed))) | row)
    profile = options.folder / "overhead_profile.csv"
    if not rows.read(profile):
        found = measure(CARTPOLE, *sizes(), rounds=20, in_process=True)._asdict()
        row = {f"{name}_milliseconds": f"{1000 * found.pop(name):.4g}" for name in PIECES}
        row = {"environment": CARTPOLE} | row | found
        append(profile, tuple(row), row)


def sizes() -> tuple[int, int]:
    """Environments and steps of a rollout, as the preset has them."""
    from shoal.training import presets

    table = presets.resolve("impala", CARTPOLE, False, "auto", True)
    return table["num_envs"], table["unroll"]
