"""Worlds of other suites by name: `gymnasium:CartPole-v1`, `pettingzoo:pistonball`, `mpe2:simple`,
`mamujoco:Ant-4x2`.

Names of PettingZoo's are those of its modules, which are listed without being imported: each needs
packages of its own. Without a version, the newest is meant.
"""

import functools
import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shoal.core import addresses
from shoal.core.errors import UserError, in_a_line, unknown
from shoal.core.names import heading, is_address
from shoal.envs.host.constructors import call, needs, require_package, settings_of
from shoal.envs.host.env import HostEnv
from shoal.envs.host.mujoco_warnings import hush
from shoal.envs.host.views import View

FAMILIES = ("butterfly", "classic", "atari", "sisl", "mpe")

_EXTRAS = {  # packages that Gymnasium's own environments need
    "mujoco": "pip install 'shoal[mujoco]'",
    "Box2D": "pip install 'shoal[box2d]'",
}
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


def names(suite: str) -> list[str]:
    """The names of a suite's worlds, those that need further packages too.

    Raises:
        UserError: the suite is not installed.
    """
    require_package(*_PACKAGES[suite], suite)
    if suite == "gymnasium":
        import gymnasium

        return sorted(gymnasium.registry)
    if suite == "mamujoco":
        from shoal.envs.host.mamujoco import SPLITS

        return sorted(f"{robot}-{split}" for robot, splits in SPLITS.items() for split in splits)
    own = _modules("pettingzoo", FAMILIES) if suite == "pettingzoo" else {}
    return sorted(own | _modules("mpe2"))


def is_own(task: str) -> bool:
    """Whether a task is the address of a class or a function of the user's own."""
    return is_address(task) and task.partition(":")[0] not in _SUITES


def make_own(address: str, settings: dict[str, Any]) -> Any:
    """What a class or a function of the user's own makes with these settings.

    Raises:
        UserError: there is no such thing, or it does not take such a setting.
    """
    creator, name = addresses.find(address), heading(address)
    return call(name, creator, creator, settings_of(name, creator, settings))


def _gymnasium(name: str, settings: dict[str, Any], view: View) -> HostEnv:
    from shoal.envs.host.single_agent import GymnasiumHostEnv

    require_package("gymnasium", "Gymnasium", "gymnasium")
    return GymnasiumHostEnv(functools.partial(_make_gymnasium, name, settings), view)


def _make_gymnasium(name: str, settings: dict[str, Any]) -> Any:
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    spec = _gymnasium_spec(name)
    with needs(name, ""):
        try:
            entry = spec.entry_point
            creator = load_env_creator(entry) if isinstance(entry, str) else entry
            if "mujoco" in sys.modules:
                hush(sys.modules["mujoco"])
            given = settings_of(name, creator, settings, own=("max_episode_steps",))
            return call(name, creator, functools.partial(_plain_make, spec), given)
        except gymnasium.error.DependencyNotInstalled as error:
            missing = getattr(error.__cause__, "name", None)
            if missing in _EXTRAS:
                raise UserError(f"{name} needs {missing}: {_EXTRAS[missing]}") from error
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
        with needs(name, "", "gymnasium[atari]" if module == "ale_py" else ""):
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
    require_package("pettingzoo", "PettingZoo", "pettingzoo")
    known = _modules("pettingzoo", FAMILIES) | _modules("mpe2")
    if name.startswith("simple") and not any(place.startswith("mpe2.") for place in known.values()):
        require_package("mpe2", f"{name} is one of MPE2's worlds, which", "mpe2")
    return _module_game("world of PettingZoo", name, known, settings, view)


def _mpe2(name: str, settings: dict[str, Any], view: View) -> HostEnv:
    require_package("mpe2", "MPE2", "mpe2")
    require_package("pettingzoo", "PettingZoo", "mpe2")
    return _module_game("world of MPE2", name, _modules("mpe2"), settings, view)


def _mamujoco(name: str, settings: dict[str, Any], view: View) -> HostEnv:
    from shoal.envs.host.mamujoco import make_mamujoco

    return make_mamujoco(name, settings, view)


def _module_game(
    kind: str, name: str, known: dict[str, str], settings: dict[str, Any], view: View
) -> HostEnv:
    """The game of one of these modules: parallel where there is such a constructor."""
    full = _newest(name, known)
    if full is None:
        raise unknown(kind, name, known)
    family = known[full].split(".")[-2]
    with needs(full, family), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of importing worlds by module
        module = importlib.import_module(known[full])
    parallel = getattr(module, "parallel_env", None)
    creator = getattr(module, "raw_env", None) or parallel or module.env
    given = settings_of(full, creator, settings)
    make = functools.partial(_make_known, full, family, creator, parallel or module.env, given)
    if parallel is not None:
        from shoal.envs.host.parallel import ParallelHostEnv

        return ParallelHostEnv(make, view)
    from shoal.envs.host.aec import AECHostEnv

    return AECHostEnv(make, view)


def _make_known(name: str, family: str, creator: Any, make: Any, given: dict[str, Any]) -> Any:
    with needs(name, family):
        return call(name, creator, make, given)


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


_SUITES: dict[str, Callable[[str, dict[str, Any], View], HostEnv]] = {
    "gymnasium": _gymnasium,
    "pettingzoo": _pettingzoo,
    "mpe2": _mpe2,
    "mamujoco": _mamujoco,
}
_PACKAGES = {
    "gymnasium": ("gymnasium", "Gymnasium"),
    "pettingzoo": ("pettingzoo", "PettingZoo"),
    "mpe2": ("mpe2", "MPE2"),
    "mamujoco": ("gymnasium_robotics", "Gymnasium-Robotics"),
}
