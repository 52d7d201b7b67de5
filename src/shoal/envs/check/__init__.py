"""Whether a world keeps what Shoal's learners rely on, and how to mend it where it does not.

    for finding in check_environment(MyWorld()):
        print(finding.seen, "->", finding.mend)

What must hold is the contract of `shoal.core.env`; the checks are modelled on those of Gymnasium
and PettingZoo, and add what compiled worlds need: purity, batches, one compilation, keys.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shoal.core.errors import require
from shoal.envs.check.finding import Finding, error, raised
from shoal.envs.check.report import CHECKS, Report

if TYPE_CHECKING:  # a process that tries a world of the host does without JAX
    from shoal.core.env import Env
    from shoal.envs.host.world import World

__all__ = ["CHECKS", "Finding", "Report", "check_environment", "inspect_environment"]


def check_environment(env: "World", *, episodes: int = 16, seed: int = 0) -> list[Finding]:
    """What is wrong with a world; nothing where all is well.

    Args:
        env: the world.
        episodes: how many to play, half of them at random and half with extreme actions.
        seed: of the first; each has a seed of its own.

    Raises:
        UserError: `episodes` is not positive.

    >>> import shoal
    >>> check_environment(shoal.make("mpe/simple"), episodes=2)
    []
    """
    return inspect_environment(env, episodes=episodes, seed=seed).findings


def inspect_environment(env: Any, *, episodes: int = 16, seed: int = 0) -> Report:
    """As `check_environment`, with what was not checked and why."""
    from shoal.core.env import Env
    from shoal.envs.check.spec import check_fields, check_spec
    from shoal.envs.host.world import HostWorld

    if isinstance(env, HostWorld):
        from shoal.envs.check.host import inspect_host

        return inspect_host(env, episodes=episodes, seed=seed)
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    report, checks = Report(), list(CHECKS)
    if not isinstance(env, Env):
        seen = f"it is a {type(env).__name__}"
        report.findings.append(
            error("spec", seen, "an object of a class of shoal.Env", "write class World(shoal.Env)")
        )
        report.skip("it is no environment", *checks)
        return report
    report.findings += check_spec(env)
    if report.errors:
        report.skip("the spec comes first", *checks)
        return report
    report.findings += check_fields(env)
    if _traces(env, report):
        _plays(env, report, episodes, seed)
    return report


def _traces(env: "Env", report: Report) -> bool:
    """What can be known without running; whether it is good enough to run."""
    from shoal.envs.check import keys, signature, tracing

    found, signatures = tracing.check_compiles(env)
    report.findings += found
    if len(signatures) < 2:
        report.skip("reset and step do not compile", *list(CHECKS)[2:])
        return False
    report.findings += signature.check_timestep(env, signatures)
    report.findings += signature.check_carry(signatures)
    if report.errors:
        report.skip("the errors above come first", *list(CHECKS)[5:])
        return False
    report.findings += keys.check_keys(env)
    return True


def _plays(env: "Env", report: Report, episodes: int, seed: int) -> None:
    """What shows in episodes."""
    from shoal.envs.check import episodes as ends, showing, values
    from shoal.envs.check.play import play

    try:
        played, same = play(env, episodes, seed)
    except Exception as problem:
        mend = "run the world by itself with these actions and mend the line that raises"
        seen = f"playing {episodes} episodes raises {raised(problem)}"
        report.findings.append(error("compile", seen, "episodes can be played", mend))
        report.skip("no episode could be played", *list(CHECKS)[6:])
        return
    if not same:
        seen = "the same seeds and actions played twice give different episodes"
        mend = "draw with jax.random and the key; callbacks must not draw or count"
        report.findings.append(error("pure", seen, "the same each time", mend))
    on_play: tuple[Callable[[Any], list[Finding]], ...] = (
        ends.check_start,
        ends.check_ended,
        ends.check_no_reset,
        values.check_masks,
        values.check_finite,
        values.check_padding,
        values.check_reward,
    )
    for check in on_play:
        report.findings += check(played)
    found, reached = ends.check_limit(played)
    report.findings += found
    if not reached:
        report.skip(f"no episode came to step {env.spec.horizon}", "limit")
    for check_both in (values.check_batch, values.check_inactive, showing.check_draw):
        report.findings += check_both(env, played)
    scripted = showing.check_scripted(env, played)
    report.findings += scripted or []
    if scripted is None:
        report.skip("the world has no scripted controller", "scripted")
