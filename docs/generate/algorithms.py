"""A page for each algorithm of the registry."""

import functools
import importlib
import inspect

import jax

from generate import curves, results
from generate.cache import BUILD, kept, source
from generate.markdown import fields, prose, sections, table
from shoal import registry
from shoal.agents.evolution.evolution import Evolution
from shoal.agents.off_policy import OffPolicy
from shoal.agents.on_policy import Rollouts
from shoal.core.algorithm import Algorithm
from shoal.core.env import Env, EnvSpec
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete, Factored
from shoal.nn.mixers import NoMixer
from shoal.runs.fields import from_fields
from shoal.training import presets
from shoal.training.learners import make_learner
from shoal.training.metrics import EVERY_ROW, MEANINGS, logged

SECTIONS = ("Idea", "When to use it", "What breaks it", "Example", "Fields", "Presets", "Metrics")
FAMILIES = {
    "policy_gradient": "Policy gradients and actor-critics",
    "cooperative": "Values and teams",
    "evolution": "Evolution strategies",
}
LEARNS_FROM = {
    Rollouts: "the newest rollout (on-policy)",
    OffPolicy: "a replay (off-policy)",
    Evolution: "returns of a population",
    Algorithm: "the newest rollout, in tables",
}
CRITICS = {
    "local": "each agent's view",
    "global": "the global state",
    "attention": "attention over all agents",
    "retention": "what all agents see, by retention",
}
# What the classes' fields do not tell.
CENTRAL = {
    "reinforce": "no critic",
    "coma": "the global state and all actions",
    "jal": "tables of joint actions",
    "facmac": "each agent's view, mixed by the global state",
}
SPACES = {
    "discrete": Discrete((2, 2)),
    "continuous": Box(-1.0, 1.0, (2, 2)),
    "several at once": Factored(((2, 3), (2, 3))),
}
PLACES = (("mpe/simple_spread", False), ("mpe/simple_spread", True), ("coop/climbing", False))


def page(name: str) -> str:
    """The whole page."""
    entry, algorithm = registry.ALGORITHMS[name], registry.make_algorithm(name)
    module = importlib.import_module(entry.target.partition(":")[0])
    _, said = sections(entry.load())
    parts = [
        f"# {name}",
        f"{entry.summary[0].upper()}{entry.summary[1:]}.{_other_names(name)}",
        table(["", ""], properties(name).items()),
        f"## Idea\n\n{prose(inspect.getdoc(module))}",
        f"## When to use it\n\n{prose(said['When to use it'])}",
        f"## What breaks it\n\n{prose(said['What breaks it'])}",
        _example(name),
        curves.learning(name),
        _fields(name, algorithm),
        _presets(name),
        _metrics(name),
        _results(name),
        curves.games(name),
        f"## In the code\n\n{{py:mod}}`{module.__name__}`",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def index(names: list[str]) -> str:
    """All algorithms by family."""
    parts = ["# Algorithms", "[Which one](../guides/algorithms.md) compares them at length."]
    parts[1] += " `shoal info NAME` prints what stands on a page."
    for folder, title in FAMILIES.items():
        own = [n for n in names if _family(n) == folder]
        head = ["", "", "actions", "learns from", "critic or mixture", "GRU", "for"]
        body = [
            [f"[{n}]({n}.md)", registry.ALGORITHMS[n].summary, *_row(n), recommended_for(n)]
            for n in own
        ]
        toctree = "\n".join(("```{toctree}", ":hidden:", "", *own, "```"))
        parts += [f"## {title}", table(head, body), toctree]
    return "\n\n".join(parts) + "\n"


@functools.cache
def properties(name: str) -> dict[str, str]:
    """What an algorithm takes and learns from."""
    algorithm = registry.make_algorithm(name)
    taken = [word for word, space in SPACES.items() if takes(algorithm, space)]
    source = next(text for kind, text in LEARNS_FROM.items() if isinstance(algorithm, kind))
    recurrent = "with `recurrent`" if hasattr(algorithm, "recurrent") else "no"
    return {
        "Actions": ", ".join(taken),
        "Learns from": source,
        "Critic or mixture": _critic(name, algorithm),
        "Recurrent": recurrent,
    }


def takes(algorithm: Algorithm, space: Discrete | Box | Factored) -> bool:
    """Whether an algorithm learns in such an action space."""
    try:
        algorithm.check(EnvSpec("actions", ("a", "b"), (3, 3), space, horizon=5, state_size=2))
    except UserError:
        return False
    return True


def example(name: str) -> tuple[str, dict[str, bool]]:
    """An environment, and its settings, in which the algorithm learns: best one that it has a
    preset for."""
    tuned = [p for p in PLACES if set(presets.matching(name, *p)) - {"default"}]
    world, continuous = next(place for place in (*tuned, *PLACES) if _starts(name, *place))
    return world, {"continuous_actions": True} if continuous else {}


def seeds_at_once(name: str) -> int:
    """How many seeds the example trains in one run: with workers, one."""
    world, settings = example(name)
    return 1 if presets.resolve(name, world, bool(settings))["workers"] else 3


def recommended_for(name: str) -> str:
    """The first sentence of when to use it."""
    text = sections(registry.ALGORITHMS[name].load())[1]["When to use it"]
    return prose(" ".join(text.split()).partition(". ")[0].rstrip("."))


def _starts(name: str, world: str, continuous: bool) -> bool:
    env: Env = registry.make(world, **({"continuous_actions": True} if continuous else {}))
    algorithm = registry.make_algorithm(name)
    try:
        algorithm.check(env.spec)
        settings = presets.resolve(name, world, continuous)
        algo = registry.make_algorithm(name, **from_fields(settings["algo"]))
        learner = make_learner(algo, env, settings["num_envs"], settings["unroll"])
        jax.eval_shape(learner.init, jax.random.key(0))
    except UserError:
        return False
    return True


def _family(name: str) -> str:
    return registry.ALGORITHMS[name].target.split(".")[2]


def _row(name: str) -> list[str]:
    actions, source, critic, recurrent = properties(name).values()
    return [actions, source, critic, "yes" if recurrent != "no" else "no"]


def _critic(name: str, algorithm: Algorithm) -> str:
    if name in CENTRAL:
        return CENTRAL[name]
    if isinstance(algorithm, Evolution):
        return "no critic"
    if critic := getattr(algorithm, "critic", None):
        everyone = critic == "global" and isinstance(algorithm, OffPolicy)
        return CRITICS[critic] + (" and everyone's action" if everyone else "")
    spec = registry.make("coop/climbing").spec
    mixer = algorithm.mixer(spec, jax.random.key(0))
    if isinstance(mixer, NoMixer):
        return "each agent's value"
    return "agents' values, mixed by the global state" if mixer.needs_state else "a sum of values"


def _other_names(name: str) -> str:
    target = registry.ALGORITHMS[name].target
    same = [n for n, e in registry.ALGORITHMS.items() if e.target == target and n != name]
    return "".join(f" The same algorithm is called [{n}]({n}.md)." for n in same)


def _example(name: str) -> str:
    world, settings = example(name)
    option = " --env.continuous-actions True" if settings else ""
    words = "".join(f", {key}={value}" for key, value in settings.items())
    several = seeds_at_once(name) > 1
    asked, keyword = (" --seeds 3", ", seeds=3") if several else ("", "")
    return f"""## Example

```console
$ shoal train {name} {world}{option}{asked} --out runs/{name}
$ shoal eval runs/{name}
```

```python
import shoal

env = shoal.make("{world}"{words})
run = shoal.train("{name}", env{keyword})
print(run.evaluation)
```"""


def _fields(name: str, algorithm: Algorithm) -> str:
    rows = [[f"`{f.name}`", f.kind, f.default, f.meaning] for f in fields(algorithm)]
    option = fields(algorithm)[0].name.replace("_", "-")
    return (
        f"## Fields\n\n`--algo.{option} VALUE` on the command line, keywords of `shoal.train` in "
        "Python. Defaults are those without a preset.\n\n"
        + table(["field", "type", "default", "meaning"], rows)
    )


def _presets(name: str) -> str:
    known = presets.tables(name)
    if not known:
        return "## Presets\n\nNone: defaults are used everywhere."
    rows = [[f"`{world}`", _settings(values)] for world, values in known.items()]
    return (
        "## Presets\n\nOf those that match an environment the last one counts; what you give goes "
        "before them.\n\n" + table(["for", "settings"], rows)
    )


def _settings(values: presets.Table) -> str:
    flat = {k: v for k, v in values.items() if k != "algo"}
    flat |= {f"algo.{k}": v for k, v in values.get("algo", {}).items()}
    return ", ".join(f"`{k} = {v}`" for k, v in flat.items())


def _metrics(name: str) -> str:
    stamp = source("agents", "core", "math", "nn", "training")
    names = kept(BUILD / "stamps" / f"metrics_{name}.json", stamp, lambda: logged(name))
    found = EVERY_ROW | {metric: MEANINGS[metric] for metric in names}
    rows = [[f"`{metric}`", prose(text)] for metric, text in found.items()]
    return (
        "## Metrics\n\nColumns of `metrics.jsonl`; those from the environment are explained on its "
        "page. Runs with `--workers` have [more](../guides/distributed.md).\n\n"
        + table(["metric", "meaning"], rows)
    )


def _results(name: str) -> str:
    found = results.of_algorithm(name)
    return f"## Results\n\n{results.shown(found, but='algorithm')}" if found else ""
