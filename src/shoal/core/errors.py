"""What goes wrong, in one line each: mistakes of the user's with the nearest name, and failures."""

import contextlib
import difflib
import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from typing import Any

LONGEST = 400  # letters of an exception in one line


class UserError(ValueError):
    """A mistake that the user can mend. The command line prints it and exits with 2."""


class Failure(RuntimeError):
    """What stopped the work and is no mistake in a command. The command line prints it and exits
    with 1."""


MOST_NAMES = 30  # that a line has room for
# What other libraries call what has a name here, as the last part of it.
CALLED = {
    **{"lr": "learning_rate", "step_size": "learning_rate"},
    **{"gamma": "discount", "lam": "gae_lambda", "lambda": "gae_lambda", "tau": "target_rate"},
    **{"ent_coef": "entropy_weight", "entropy_coef": "entropy_weight", "vf_coef": "value_weight"},
    **{"clip_range": "clip", "clip_eps": "clip", "n_epochs": "epochs", "n_steps": "unroll"},
    **{"rollout_length": "unroll", "n_envs": "num_envs", "buffer_size": "capacity"},
    **{"timesteps": "steps", "total_timesteps": "steps", "total_steps": "steps"},
    **{"n_agents": "num_agents", "dqn": "iql", "ddqn": "iql", "es": "openai_es", "cmaes": "cma_es"},
}


def unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the one that is meant: what others call so, or
    the nearest one that does, in whatever case. Where none is near, with all of them, if they are
    few."""
    names = sorted(valid)
    meant = CALLED.get(_last_part(name))
    near = [n for n in names if meant and _last_part(n) == meant]
    lower = {n.lower(): n for n in names}
    near += [lower[n] for n in difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)]
    line = f"unknown {kind} '{name}'"
    if near:
        return UserError(f"{line}: did you mean '{near[0]}'?")
    few = len(names) <= MOST_NAMES
    return UserError(f"{line}: choose one of: {', '.join(names)}" if few else line)


def _last_part(name: str) -> str:
    """`learning_rate` of `--algo.learning-rate`."""
    return name.rpartition(".")[2].lstrip("-").replace("-", "_").lower()


def not_installed(name: str, extra: str) -> UserError:
    """The error for an optional package that is missing, with the command that installs it."""
    return UserError(f"{name} is not installed: pip install 'shoal[{extra}]'")


def is_installed(module: str) -> bool:
    """Whether a package can be imported; it is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # it stands among the imported, and is none
        return False


def optional(module: str, name: str, extra: str) -> Any:
    """An optional package, imported. Raises `not_installed(name, extra)` where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise not_installed(name, extra) from error


def in_a_line(error: BaseException, *, named: bool = True, whole: bool = False) -> str:
    """An exception in one line that UTF-8 can say: its type, and the first line of what it says.

    Args:
        error: what was raised.
        named: whether the type comes first; else it stands only where nothing is said.
        whole: whether all that it says is in the line, not its first line alone.

    >>> in_a_line(KeyError("a")), in_a_line(ValueError("bad\\n action"), named=False, whole=True)
    ("KeyError: 'a'", 'bad action')
    """
    lines = [" ".join(line.split()) for line in _text(error).splitlines() if line.strip()]
    said, kind = " ".join(lines if whole else lines[:1]), type(error).__name__
    line = f"{kind}: {said}" if said and named else said or kind
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _text(error: BaseException) -> str:
    """What an exception says; nothing where that raises too."""
    try:
        return str(error).encode(errors="backslashreplace").decode()
    except Exception:
        return ""


def require(condition: bool, message: str) -> None:
    """Raises `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)


@contextlib.contextmanager
def may_fail_to(do: str) -> Iterator[None]:
    """Within it, what the disk refuses is a `UserError`: `cannot write x: Permission denied`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot {do}: {error.strerror}") from error
