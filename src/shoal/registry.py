"""Names of algorithms and environments. Nothing here imports JAX: `shoal list` stays instant.

Code of yours needs no line here: its address, `path/to/file.py:NAME` or `module:NAME`, is a name as
good as `mpe/simple_spread` or `mappo`. Nor do those of other suites: `gymnasium:CartPole-v1`,
`jumanji:RobotWarehouse-v0`.
"""

import difflib
import importlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple

from shoal.core import addresses
from shoal.core.errors import UserError, unknown
from shoal.core.names import is_address

ON_DEVICE = "shoal.training.on_device:OnDevice"
EVOLUTION = "shoal.agents.evolution.evolution:Evolution"  # what is told scalars alone


class Entry(NamedTuple):
    """Where a name leads, and what it is in a line."""

    target: str  # "module:attribute"
    summary: str
    discrete: bool = False  # an algorithm for discrete actions alone
    outside: Callable[[str], Any] | None = None  # what imports one of the user's own: its entry
    factory: Callable[..., Any] | None = None  # what has been imported
    task: str = ""  # what a suite of others calls the environment
    learner: str = ON_DEVICE  # what runs an algorithm

    def imported(self) -> "Entry":
        """The entry that one of the user's own turns out to be."""
        return self.outside(self.target) if self.outside else self

    def load(self) -> Callable[..., Any]:
        """Imports what the entry points to."""
        if self.factory is not None:
            return self.factory
        if self.outside:
            return self.imported().load()
        return load(self.target)


def load(target: str) -> Any:
    """Imports what `module:attribute` names."""
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


class Worlds(dict[str, Entry]):
    """Environments by name. Those of other suites, and those that are found by their address, are
    not listed."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and is_address(name))

    def __missing__(self, name: str) -> Entry:
        if not is_address(name):
            raise KeyError(name)
        suite, _, task = name.partition(":")
        if suite in SUITES:
            entry = SUITES[suite]
            return entry._replace(task=name if entry.target == _HOST else task)
        address = addresses.resolve(name)
        target = _HOST if addresses.is_foreign(address) else address
        return Entry(target, "an environment of your own", outside=lambda _: _own_world(address))


_POLICY_GRADIENT = "shoal.agents.policy_gradient"
_COOPERATIVE = "shoal.agents.cooperative"
_EVOLUTION = "shoal.agents.evolution"
_PARTICLE = "shoal.envs.particle"
_CLASSIC = "shoal.envs.game.classic"
_TREES = "shoal.envs.game.trees"
_TEAMS = "shoal.envs.cooperative"

ALGORITHMS: dict[str, Entry] = {
    "ppo": Entry(f"{_POLICY_GRADIENT}.ppo:ippo", "proximal policy optimization, as ippo"),
    "ippo": Entry(f"{_POLICY_GRADIENT}.ppo:ippo", "independent PPO: each agent a PPO learner"),
    "mappo": Entry(f"{_POLICY_GRADIENT}.ppo:mappo", "PPO with a centralised critic"),
    "sable": Entry(f"{_COOPERATIVE}.sable:sable", "PPO of a team that decides one after another"),
    "happo": Entry(f"{_POLICY_GRADIENT}.happo:happo", "PPO agent by agent, for unlike agents"),
    "trpo": Entry(
        f"{_POLICY_GRADIENT}.trpo:trpo", "trust-region policy optimization: natural steps"
    ),
    "npg": Entry(f"{_POLICY_GRADIENT}.trpo:npg", "natural policy gradient: TRPO's whole step"),
    "hatrpo": Entry(f"{_POLICY_GRADIENT}.happo:hatrpo", "TRPO agent by agent, for unlike agents"),
    "a2c": Entry(f"{_POLICY_GRADIENT}.a2c:a2c", "advantage actor-critic, one pass over the data"),
    "maa2c": Entry(f"{_POLICY_GRADIENT}.a2c:maa2c", "A2C with a centralised critic"),
    "a3c": Entry(
        f"{_POLICY_GRADIENT}.a2c:a3c", "A2C whose workers send gradients to a server of parameters"
    ),
    "impala": Entry(
        f"{_POLICY_GRADIENT}.impala:impala", "actor-critic for steps of older policies, by V-trace"
    ),
    "reinforce": Entry(
        f"{_POLICY_GRADIENT}.reinforce:reinforce",
        "policy gradient from the returns of whole episodes",
    ),
    "sac": Entry(f"{_POLICY_GRADIENT}.sac:sac", "soft actor-critic, each agent for itself"),
    "isac": Entry(f"{_POLICY_GRADIENT}.sac:sac", "independent SAC: each agent a SAC learner"),
    "masac": Entry(
        f"{_POLICY_GRADIENT}.sac:masac", "SAC with critics of the state and of everyone's actions"
    ),
    "ddpg": Entry(
        f"{_POLICY_GRADIENT}.ddpg:ddpg",
        "deep deterministic policy gradient, for continuous actions",
    ),
    "td3": Entry(
        f"{_POLICY_GRADIENT}.ddpg:td3",
        "DDPG with twin critics, a delayed actor and smoothed targets",
    ),
    "iql": Entry(f"{_COOPERATIVE}.iql:iql", "independent Q-learning with replay", discrete=True),
    "vdn": Entry(
        f"{_COOPERATIVE}.vdn:vdn",
        "value decomposition: a team's Q is the sum of its agents'",
        discrete=True,
    ),
    "qmix": Entry(
        f"{_COOPERATIVE}.qmix:qmix",
        "value decomposition: a team's Q rises with each of its agents'",
        discrete=True,
    ),
    "wqmix": Entry(
        f"{_COOPERATIVE}.wqmix:wqmix",
        "QMIX, fitted best where actions are good, by a value of any sign",
        discrete=True,
    ),
    "qplex": Entry(
        f"{_COOPERATIVE}.qplex:qplex",
        "value decomposition: any value with the agents' best actions, by duelling",
        discrete=True,
    ),
    "qfix": Entry(
        f"{_COOPERATIVE}.qfix:qfix",
        "value decomposition: any value with the agents' best actions, by a thin correction",
        discrete=True,
    ),
    "qtran": Entry(
        f"{_COOPERATIVE}.qtran:qtran",
        "value decomposition: a joint value, and agents' values that keep its best action",
        discrete=True,
    ),
    "coma": Entry(
        f"{_COOPERATIVE}.coma:coma",
        "actor-critic whose advantage is the difference that an agent's own action made",
        discrete=True,
    ),
    "maac": Entry(
        f"{_COOPERATIVE}.maac:maac",
        "soft actor-critic with a central critic that attends to the other agents",
        discrete=True,
    ),
    "maddpg": Entry(
        f"{_COOPERATIVE}.maddpg:maddpg",
        "DDPG for teams: critics of the state and of everyone's actions",
    ),
    "matd3": Entry(
        f"{_COOPERATIVE}.maddpg:matd3", "MADDPG with TD3's twin critics and delayed actor"
    ),
    "iddpg": Entry(f"{_COOPERATIVE}.maddpg:iddpg", "independent DDPG, also for discrete actions"),
    "facmac": Entry(
        f"{_COOPERATIVE}.facmac:facmac",
        "DDPG for a team: all actors climb one value, mixed from each agent's",
    ),
    "pqn_iql": Entry(
        f"{_COOPERATIVE}.pqn:pqn_iql",
        "Q-learning from rollouts with layer norm: no replay, no target network",
        discrete=True,
    ),
    "pqn_vdn": Entry(
        f"{_COOPERATIVE}.pqn:pqn_vdn",
        "the same of a team's Q, which is the sum of its agents'",
        discrete=True,
    ),
    "jal": Entry(
        f"{_COOPERATIVE}.jal:jal",
        "joint-action learners: tables of what all do, and a model of the others",
        discrete=True,
    ),
    "openai_es": Entry(f"{_EVOLUTION}.openai_es:openai_es", "evolution strategies"),
    "snes": Entry(
        f"{_EVOLUTION}.snes:snes", "natural evolution strategy with a width for each parameter"
    ),
    "cma_es": Entry(
        f"{_EVOLUTION}.cma_es:cma_es",
        "evolution strategy that adapts the whole covariance of a small network's parameters",
    ),
    "nses": Entry(f"{_EVOLUTION}.novelty_es:nses", "evolution strategies that seek novelty alone"),
    "nsres": Entry(
        f"{_EVOLUTION}.novelty_es:nsres", "evolution strategies that seek novelty and reward"
    ),
}

_WORLDS: dict[str, Entry] = {
    "mpe/simple": Entry(f"{_PARTICLE}.simple:Simple", "one agent goes to a landmark"),
    "mpe/simple_spread": Entry(
        f"{_PARTICLE}.simple_spread:SimpleSpread", "cover every landmark without collisions"
    ),
    "mpe/simple_speaker_listener": Entry(
        f"{_PARTICLE}.simple_speaker_listener:SimpleSpeakerListener",
        "a speaker tells a listener which landmark to go to",
    ),
    "mpe/simple_reference": Entry(
        f"{_PARTICLE}.simple_reference:SimpleReference", "two agents tell each other where to go"
    ),
    "mpe/simple_adversary": Entry(
        f"{_PARTICLE}.simple_adversary:SimpleAdversary",
        "reach the goal without giving it away to an adversary",
    ),
    "mpe/simple_push": Entry(
        f"{_PARTICLE}.simple_push:SimplePush", "an adversary pushes an agent off its goal"
    ),
    "mpe/simple_tag": Entry(
        f"{_PARTICLE}.simple_tag:SimpleTag", "slow predators chase faster prey among obstacles"
    ),
    "mpe/simple_crypto": Entry(
        f"{_PARTICLE}.simple_crypto:SimpleCrypto", "Alice and Bob talk past Eve with a shared key"
    ),
    "mpe/simple_world_comm": Entry(
        f"{_PARTICLE}.simple_world_comm:SimpleWorldComm",
        "tag with food, forests to hide in and a leader who speaks",
    ),
    "game/prisoners_dilemma": Entry(
        f"{_CLASSIC}:prisoners_dilemma", "each gains by betraying the other, and both lose by it"
    ),
    "game/stag_hunt": Entry(f"{_CLASSIC}:stag_hunt", "hunt a stag together, or a hare alone"),
    "game/chicken": Entry(
        f"{_CLASSIC}:chicken", "who swerves loses a little; if nobody does, both lose all"
    ),
    "game/hawk_dove": Entry(
        f"{_CLASSIC}:hawk_dove", "fight or share: a fight costs more than the prize"
    ),
    "game/battle_of_the_sexes": Entry(
        f"{_CLASSIC}:battle_of_the_sexes", "both want to meet, each at another place"
    ),
    "game/matching_pennies": Entry(
        f"{_CLASSIC}:matching_pennies", "one wins if the coins match, the other if they do not"
    ),
    "game/rock_paper_scissors": Entry(
        f"{_CLASSIC}:rock_paper_scissors", "each action beats one and loses to one"
    ),
    "game/coordination": Entry(f"{_CLASSIC}:coordination", "all that counts is to do the same"),
    "game/shapley": Entry(
        f"{_CLASSIC}:shapley", "Shapley's game, in which fictitious play cycles for ever"
    ),
    "game/matrix": Entry("shoal.envs.game.repeated:RepeatedGame", "any payoffs, any players"),
    "game/kuhn": Entry(f"{_TREES}:Kuhn", "Kuhn poker: one card each, one bet"),
    "game/leduc": Entry(f"{_TREES}:Leduc", "Leduc hold'em: a private and a public card"),
    "game/goofspiel": Entry(f"{_TREES}:Goofspiel", "bid a card of your hand for each prize"),
    "game/liars_dice": Entry(f"{_TREES}:LiarsDice", "bid on all dice until somebody says liar"),
    "game/efg": Entry(f"{_TREES}:GambitTree", "any tree of Gambit's .efg files"),
    "coop/matrix": Entry(f"{_TEAMS}.matrix:MatrixGame", "any payoff tensor, paid to a whole team"),
    "coop/climbing": Entry(
        f"{_TEAMS}.climbing:Climbing", "the best cell stands beside the worst ones"
    ),
    "coop/penalty": Entry(
        f"{_TEAMS}.penalty:Penalty", "two best cells, and a penalty for choosing one each"
    ),
    "coop/qtran": Entry(
        f"{_TEAMS}.qtran:QtranGame", "a matrix that no sum and no monotonic mixture of values is"
    ),
    "coop/two_step": Entry(
        f"{_TEAMS}.two_step:TwoStepGame", "a team chooses a safe matrix or a better one"
    ),
    "coop/allocation": Entry(
        f"{_TEAMS}.allocation:Allocation", "bids divide goods for the greatest welfare of all"
    ),
    "coop/coverage": Entry(
        f"{_TEAMS}.coverage:Coverage", "a swarm spreads so that its discs cover the area"
    ),
    "coop/flocking": Entry(
        f"{_TEAMS}.flocking:Flocking", "a swarm heads one way, keeps together and keeps apart"
    ),
    "coop/foraging": Entry(
        f"{_TEAMS}.foraging:Foraging", "a swarm collects items that take several robots at once"
    ),
    "coop/navigation": Entry(
        f"{_TEAMS}.navigation:Navigation", "each robot to its own goal, past obstacles and others"
    ),
}

ENVIRONMENTS: dict[str, Entry] = Worlds(_WORLDS)

_HOST = "shoal.envs.host.world:HostWorld"  # four suites in one class, whose tasks keep them

SUITES: dict[str, Entry] = {
    "gymnasium": Entry(_HOST, "a world of Gymnasium's, stepped by worker processes"),
    "pettingzoo": Entry(_HOST, "a world of PettingZoo's, stepped by worker processes"),
    "mpe2": Entry(_HOST, "a particle world of MPE2's, stepped by worker processes"),
    "mamujoco": Entry(_HOST, "a robot of MaMuJoCo's, its joints shared out among agents"),
    "jaxmarl": Entry("shoal.envs.suites.jaxmarl:JaxMARLWorld", "a world of JaxMARL's, compiled"),
    "jumanji": Entry("shoal.envs.suites.jumanji:JumanjiWorld", "a world of Jumanji's, compiled"),
    "gymnax": Entry("shoal.envs.suites.gymnax:GymnaxWorld", "a world of Gymnax's, compiled"),
    "playground": Entry(
        "shoal.envs.suites.playground:PlaygroundWorld", "a robot of MuJoCo Playground's, compiled"
    ),
}


def is_own_code(name: str) -> bool:
    """Whether a name is the address of code that is neither Shoal's nor of a suite."""
    return is_address(name) and name.partition(":")[0] not in SUITES


def full_name(name: str) -> str:
    """An environment's name as runs remember it: an address becomes good in any folder."""
    suite, colon, _ = name.partition(":")
    for ending, option in {
        ".nfg": "game/matrix --env.payoffs",
        ".efg": "game/efg --env.tree",
    }.items():
        if name.lower().endswith(ending):
            raise UserError(f"{name} is a game's file: the environment is {option} {name}")
    if not is_own_code(name):
        return name
    if colon and difflib.get_close_matches(suite, SUITES, n=1, cutoff=0.75):
        raise unknown("suite", suite, SUITES)
    return addresses.resolve(name)


def full_algorithm(name: str) -> str:
    """An algorithm's name as runs remember it."""
    return addresses.resolve(name) if is_address(name) else name


def on_host(name: str) -> bool:
    """Whether processes of the host step an environment, so far as its name and its source tell."""
    return name in ENVIRONMENTS and ENVIRONMENTS[name].target == _HOST


def find(kind: str, name: str, entries: dict[str, Entry]) -> Entry:
    """The entry of that name; `UserError` with the nearest name where there is none."""
    if name not in entries:
        raise unknown(kind, name, entries)
    return entries[name]


def find_algorithm(name: str) -> Entry:
    """The entry of an algorithm's name, or of the address of a class, as runs remember those that
    were passed as objects."""
    if is_address(name):
        return Entry(name, "an algorithm of your own", outside=_own_algorithm)
    return find("algorithm", name, ALGORITHMS)


def _own_algorithm(address: str) -> Entry:
    return Entry(address, "", factory=addresses.load_algorithm(address))


def _own_world(address: str) -> Entry:
    """The entry of an environment's address, imported: a class of ours, what replaces fields of one
    of ours that a function has made, or what processes step."""
    from shoal.core.env import Env

    factory = addresses.load(address)
    if isinstance(factory, type) and issubclass(factory, Env):
        return Entry(address, "", factory=factory)
    made = None if isinstance(factory, type) else addresses.call(factory, address)
    if not isinstance(made, Env):
        with suppress(Exception):  # it has not been reset; worlds that need not close do not
            made.close()  # pyright: ignore
        return Entry(_HOST, "", task=address)
    values = {field.name: getattr(made, field.name) for field in fields(made)}
    named = addresses.named(type(made), address)(**values)
    return Entry(address, "", factory=partial(replace, named))


def make(name: str, /, **settings: Any) -> Any:
    """The environment of that name: `make("mpe/simple_spread", num_agents=5)`.

    An address is a name too: `make("path/to/file.py:NAME")`, `make("module:NAME")`, of a class of
    ours, of Gymnasium's or PettingZoo's, or of a function that makes an object of one. Settings of
    another's world are its own: `make("jumanji:LevelBasedForaging-v0", time_limit=50)`.

    Args:
        name: of `shoal list environments`, of a suite, or an address.
        settings: its fields that are to differ from their defaults.

    Raises:
        UserError: there is no such environment or field, or a value will not do.
    """
    return _build(name, find("environment", name, ENVIRONMENTS), settings)


def make_algorithm(name: str, /, **settings: Any) -> Any:
    """The algorithm of that name: `make_algorithm("ippo", clip=0.1)`.

    Args:
        name: of `shoal list algorithms`, or the address of a class of yours.
        settings: its hyper-parameters that are to differ from their defaults, which no preset has
            changed.

    Raises:
        UserError: there is no such algorithm or hyper-parameter, or a value will not do.
    """
    return _build(name, find_algorithm(name), settings)


def field_names(factory: Callable[..., Any]) -> list[str]:
    """The fields of what a class or another factory makes."""
    return [f.name for f in fields(factory if isinstance(factory, type) else factory())]


def _build(name: str, entry: Entry, settings: dict[str, Any]) -> Any:
    entry = entry.imported()
    factory = entry.load()
    if entry.task:
        settings = _of_suite(factory, entry.task, settings)
    try:
        valid = field_names(factory)
        for field in settings:
            if field not in valid:
                raise unknown(f"field of {name}", field, valid)
        made = factory(**settings)
        if entry.task:
            _ = made.spec  # whether there is such a world shows here
        return made
    except TypeError as error:
        raise UserError(f"{name}: {error}") from error


def _of_suite(kind: Any, task: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The fields of a suite's world: what it does not have is for the world within."""
    names = {f.name for f in fields(kind)}
    own = {name: value for name, value in settings.items() if name not in names}
    out = {name: settings[name] for name in settings if name in names} | {"task": task}
    if own and "settings" in names:
        try:
            out["settings"] = json.dumps(own, sort_keys=True)
        except TypeError as error:
            raise UserError(f"settings of {task} must be plain data: {error}") from error
        return out
    return out | own
