"""Worlds of other suites by name: `gymnasium:CartPole-v1`, `pettingzoo:pistonball`, `mpe2:simple`.

Names of PettingZoo's are those of its modules, which are listed without being imported: each needs
packages of its own. Without a version, the newest is meant.
"""

import contextlib
import functools
import importlib
import importlib.util
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from shoal.core import addresses
from shoal.core.errors import UserError, in_a_line, not_installed, unknown
from shoal.core.names import heading, is_address
from shoal.envs.host.env import HostEnv
from shoal.envs.host.views import View
from shoal.envs.settings import not_taken

FAMILIES = ("butterfly", "classic", "atari", "sisl", "mpe")
RENDER = {"render_mode": "rgb_array"}

_VERSIONED = re.compile(r"(?P<name>\w+)_v(?P<version>\d+)")


def make_host_env(task: str, settings: dict[str, Any], view: View) -> HostEnv:
    """The world that `suite:name` stands for, made with these settings of its constructor.

    Raises:
        UserError: there is no such world or setting, or a package is missing.
    """
    suite, _, name = task.partition(":")
    if suite not in _SUITES:
        raise unknown("suite", suite, _SUITES)
    return _SUITES[suite](name, settings, view)


def is_own(task: str) -> bool:
    """Whether a task is the address of a class or a function of the user's own."""
    return is_address(task) and task.partition(":")[0] not in _SUITES


def make_own(address: str, settings: dict[str, Any]) -> Any:
    """What a class or a function of the user's own makes with these settings.

    Raises:
        UserError: there is no such thing, or it does not take such a setting.
    """
    creator, name = addresses.find(address), heading(address)
    return _call(name, creator, creator, _settings(name, creator, settings))


def _gymnasium(name: str, settings: dict[str, Any], view: View) -> HostEnv:
    from shoal.envs.host.single_agent import GymnasiumHostEnv

    _require_package("gymnasium", "Gymnasium", "gymnasium")
    return GymnasiumHostEnv(functools.partial(_make_gymnasium, name, settings), view)


def _make_gymnasium(name: str, settings: dict[str, Any]) -> Any:
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    spec = _gymnasium_spec(name)
    with _needs(name, ""):
        try:
            entry = spec.entry_point
            creator = load_env_creator(entry) if isinstance(entry, str) else entry
            given = _settings(name, creator, settings, own=("max_episode_steps",))
            return _call(name, creator, functools.partial(_plain_make, spec), given)
        except gymnasium.error.DependencyNotInstalled as error:
            why = in_a_line(error, named=False, whole=True)
            raise UserError(f"{name} cannot be made: {why}") from error


def _plain_make(spec: Any, **settings: Any) -> Any:
    import gymnasium

    return gymnasium.make(spec, **{"disable_env_checker": True, **settings})


def _gymnasium_spec(name: str) -> Any:
    """What Gymnasium knows of a world; `module:Name-v0` imports the module that registers it."""
    import gymnasium

    module, _, bare = name.rpartition(":")
    if bare.startswith("ALE/"):
        module = "ale_py"
    if module:
        with _needs(name, "", "gymnasium[atari]" if module == "ale_py" else ""):
            importlib.import_module(module)
    try:
        return gymnasium.spec(_with_version(bare))
    except gymnasium.error.NamespaceNotFound as error:
        why = in_a_line(error, named=False, whole=True)
        raise UserError(f"unknown world of Gymnasium '{name}': {why}") from error
    except gymnasium.error.Error as error:
        raise unknown("world of Gymnasium", name, gymnasium.registry) from error


def _with_version(name: str) -> str:
    """Gymnasium's `spec` wants the version that its `make` does without."""
    from gymnasium.envs.registration import find_highest_version, get_env_id, parse_env_id

    namespace, bare, version = parse_env_id(name)
    newest = find_highest_version(namespace, bare) if version is None else None
    return name if newest is None else get_env_id(namespace, bare, newest)


def _pettingzoo(name: str, settings: dict[str, Any], view: View) -> HostEnv:
    _require_package("pettingzoo", "PettingZoo", "pettingzoo")
    known = _modules("pettingzoo", FAMILIES) | _modules("mpe2")
    if name.startswith("simple") and not any(place.startswith("mpe2.") for place in known.values()):
        _require_package("mpe2", f"{name} is one of MPE2's worlds, which", "mpe2")
    return _module_game("world of PettingZoo", name, known, settings, view)


def _mpe2(name: str, settings: dict[str, Any], view: View) -> HostEnv:
    _require_package("mpe2", "MPE2", "mpe2")
    _require_package("pettingzoo", "PettingZoo", "mpe2")
    return _module_game("world of MPE2", name, _modules("mpe2"), settings, view)


def _module_game(
    kind: str, name: str, known: dict[str, str], settings: dict[str, Any], view: View
) -> HostEnv:
    """The game of one of these modules: parallel where there is such a constructor."""
    full = _newest(name, known)
    if full is None:
        raise unknown(kind, name, known)
    family = known[full].split(".")[-2]
    with _needs(full, family), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of importing worlds by module
        module = importlib.import_module(known[full])
    parallel = getattr(module, "parallel_env", None)
    creator = getattr(module, "raw_env", None) or parallel or module.env
    given = _settings(full, creator, settings)
    make = functools.partial(_make_known, full, family, creator, parallel or module.env, given)
    if parallel is not None:
        from shoal.envs.host.parallel import ParallelHostEnv

        return ParallelHostEnv(make, view)
    from shoal.envs.host.aec import AECHostEnv

    return AECHostEnv(make, view)


def _make_known(name: str, family: str, creator: Any, make: Any, given: dict[str, Any]) -> Any:
    with _needs(name, family):
        return _call(name, creator, make, given)


def _settings(
    name: str, creator: Any, settings: dict[str, Any], own: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The settings, checked against what the constructor takes, so far as it says; and the mode
    that draws into arrays, where the world has it."""
    known, is_open = _parameters(creator)
    for setting in settings:
        if not is_open and setting not in (*known, *own, "render_mode"):
            raise _no_setting(name, setting, [*known, *own])
    modes = getattr(creator, "metadata", None)
    drawn = not isinstance(modes, dict) or "rgb_array" in (modes.get("render_modes") or ())
    takes_mode = is_open or "render_mode" in known
    return (RENDER if drawn and takes_mode else {}) | settings


def _call(name: str, creator: Any, make: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Makes the world; a setting that an open constructor passed on in vain is one line."""
    try:
        return make(**given)
    except TypeError as error:
        odd = not_taken(error)
        if odd is None:
            raise
        if odd == "render_mode" and given.get("render_mode") == RENDER["render_mode"]:
            rest = {key: value for key, value in given.items() if key != "render_mode"}
            return _call(name, creator, make, rest)
        raise _no_setting(name, odd, _parameters(creator)[0]) from error


def _parameters(creator: Any) -> tuple[list[str], bool]:
    """The names that a constructor takes, and whether it takes any other."""
    try:
        each = inspect.signature(creator).parameters.values()
    except (TypeError, ValueError):
        return [], True
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    is_open = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in each)
    return [p.name for p in each if p.kind not in several and p.name != "self"], is_open


def _no_setting(name: str, setting: str, known: list[str]) -> UserError:
    named = [each for each in known if each != "render_mode"]
    takes = f": it takes {', '.join(named)}" if named else ""
    return UserError(f"{name} has no setting '{setting}'{takes}")


def _modules(package: str, families: tuple[str, ...] = ("",)) -> dict[str, str]:
    """Module names by the names of a package's worlds; nothing is imported."""
    found = importlib.util.find_spec(package)
    names = {}
    for folder in (found.submodule_search_locations if found else None) or ():
        for family in families:
            for file in sorted(Path(folder, family).glob("*_v*.py")):
                if _VERSIONED.fullmatch(file.stem):
                    names[file.stem] = ".".join(filter(None, (package, family, file.stem)))
    return names


def _newest(name: str, known: dict[str, str]) -> str | None:
    """The full name of a world, whose family and version may be left out or written as in
    PettingZoo's registry, `classic/chess-v6`; none where there is no such world."""
    family, _, name = name.rpartition("/")
    name = re.sub(r"-v(\d+)$", r"_v\1", name)
    versions = [(int(m["version"]), full) for full in known if (m := _VERSIONED.fullmatch(full))]
    fits = [(v, full) for v, full in versions if name in (full, full.rpartition("_v")[0])]
    within = [(v, full) for v, full in fits if family in ("", *_families(known[full]))]
    return max(within)[1] if within else None


def _families(module: str) -> tuple[str, ...]:
    """What a world's name may begin with; MPE2's worlds are registered as `mpe/...`."""
    return ("mpe", "mpe2") if module.startswith("mpe2.") else tuple(module.split(".")[:-1])


@contextlib.contextmanager
def _needs(name: str, family: str, extra: str = "") -> Iterator[None]:
    """A package that a world itself needs and that is missing becomes one line."""
    try:
        yield
    except ImportError as error:
        why = in_a_line(error, named=False, whole=True)
        what = f"{name} needs {error.name}" if error.name else f"{name}: {why}"
        if family:
            extra = "shoal[mpe2]" if family == "mpe2" else f"pettingzoo[{family}]"
        raise UserError(f"{what}: pip install '{extra}'" if extra else what) from error


def _require_package(package: str, label: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise not_installed(label, extra)


_SUITES: dict[str, Callable[[str, dict[str, Any], View], HostEnv]] = {
    "gymnasium": _gymnasium,
    "pettingzoo": _pettingzoo,
    "mpe2": _mpe2,
}
