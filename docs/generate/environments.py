"""A page for each environment of the registry."""

import importlib
import inspect
import json
import re
from collections import Counter
from itertools import groupby
from types import ModuleType

from generate import results
from generate.markdown import entries, fields, prose, sections, table
from shoal import registry
from shoal.core.env import Env
from shoal.core.teams import rival_teams
from shoal.training import presets

SECTIONS = ("Observation", "Actions", "Reward", "Metrics", "Agents", "Fields", "Scores", "Example")
SUITES = {
    "mpe": "Particle worlds: discs in the plane that move, touch and speak",
    "game": "Games of game theory: matrices and trees",
    "coop": "Cooperation: matrix games of one team, a market and swarms",
}
REDUCED = {
    "sum": "sum over steps",
    "mean": "mean over steps",
    "max": "highest",
    "last": "at the end",
}


def file_name(name: str) -> str:
    """An environment's name as a file's."""
    return name.replace("/", "-")


def page(name: str) -> str:
    """The whole page."""
    entry, env = registry.ENVIRONMENTS[name], registry.make(name)
    summary, about = f"{entry.summary[0].upper()}{entry.summary[1:]}.", sections(type(env))[0]
    said = sections_of(type(env))
    parts = [
        f"# {name}",
        summary,
        picture(name),
        prose(inspect.getdoc(_module(entry.target, type(env)))),
        prose(about) if about != summary else "",
        *(f"## {title}\n\n{prose(said[title])}" for title in ("Observation", "Actions", "Reward")),
        _metrics(env),
        _agents(env),
        _fields(env),
        _scores(name),
        _learned(name),
        _example(name),
        f"## In the code\n\n{{py:mod}}`{type(env).__module__}`",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def index(names: list[str]) -> str:
    """All environments by suite."""
    parts = ["# Environments"]
    parts.append(
        "Environments of [other suites](../suites/index.md) have names with a colon, and "
        "[your own](../guides/environments.md) that of their file."
    )
    for suite, title in SUITES.items():
        own = [n for n in names if n.partition("/")[0] == suite]
        body = []
        for n in own:
            spec = registry.make(n).spec
            actions = " or ".join(dict.fromkeys(map(spec.action.describe, range(spec.num_agents))))
            teams = len(set(spec.teams))
            link = f"[{n}]({file_name(n)}.md)"
            what = registry.ENVIRONMENTS[n].summary
            body.append([link, what, spec.num_agents, teams, actions, spec.obs_size, spec.horizon])
        head = ["", "", "agents", "teams", "actions", "observation", "steps"]
        files = map(file_name, own)
        toctree = "\n".join(("```{toctree}", ":hidden:", "", *files, "```"))
        parts += [f"## {title}", table(head, body), toctree]
    return "\n\n".join(parts) + "\n"


def sections_of(kind: type) -> dict[str, str]:
    """The sections of a class's docstring and of those that it is made from, the nearest first."""
    out: dict[str, str] = {}
    for base in reversed([k for k in kind.__mro__ if issubclass(k, Env)]):
        if "__doc__" in vars(base):
            out |= sections(base)[1]
    return out


def metric_meanings(env: Env) -> dict[str, str]:
    """What each metric of an environment means. Raises `KeyError` for one that is not explained."""
    said = entries(sections_of(type(env)).get("Metrics", ""))
    shapes = {re.sub(r"<\w+>", r"[^/]+", name): text for name, text in said.items()}

    def meaning(name: str) -> str:
        for shape, text in shapes.items():
            if re.fullmatch(shape, name):
                return text
        raise KeyError(f"{env.spec.name} does not say what {name} means")

    return {name: meaning(name) for name, _ in env.spec.metrics}


def picture(name: str) -> str:
    """Moments of an episode, and a page that plays it."""
    file = file_name(name)
    link = f'<a href="../replays/{file}.html">'
    image = f"![Moments of an episode of {name}](../_build/extra/replays/{file}.png)"
    return f"{link}{image}</a>\n\n{link}Play an episode</a>"


def _module(target: str, kind: type) -> ModuleType:
    """The module that tells of an environment: its own, or where several share one, that of what
    they are made from."""
    shared = Counter(e.target.partition(":")[0] for e in registry.ENVIRONMENTS.values())
    names = (target.partition(":")[0], *(base.__module__ for base in kind.__mro__))
    return importlib.import_module(next(name for name in names if shared[name] < 2))


def _metrics(env: Env) -> str:
    return f"## Metrics\n\n{_measured(env)}{_assessed(env)}"


def _assessed(env: Env) -> str:
    if type(env).assess is Env.assess:
        return ""
    return f"\n\nEvaluations also report, as `eval_...`, {prose(inspect.getdoc(type(env).assess))}"


def _measured(env: Env) -> str:
    if not env.spec.metrics:
        return "None besides returns."
    how = dict(env.spec.metrics)
    rows = [[f"`{m}`", REDUCED[how[m]], prose(text)] for m, text in metric_meanings(env).items()]
    note = (
        "Of each step, reduced over an episode; evaluations report their means as `eval_<metric>`."
    )
    return f"{note}\n\n{table(['metric', 'of an episode', 'meaning'], rows)}"


def _agents(env: Env) -> str:
    spec, rows = env.spec, []
    each = zip(spec.agents, spec.teams, spec.roles, spec.obs_sizes)
    alike = lambda x: (*x[1][1:], spec.action.describe(x[0]))  # noqa: E731
    for (team, role, obs, actions), group in groupby(enumerate(each), alike):
        names = [agent[0] for _, agent in group]
        who = f"`{names[0]}`" + (f" to `{names[-1]}`" if len(names) > 1 else "")
        rows.append([who, len(names), team, role, obs, actions])
    limit = f"no limit known, cut at {spec.horizon}" if spec.endless else str(spec.horizon)
    state = f"{spec.state_size} numbers" if spec.state_size else "none"
    text = f"## Agents\n\nSteps of an episode, at most: {limit}. "
    text += f"Global state for central critics: {state}.\n\n"
    text += table(["agents", "how many", "team", "role", "numbers seen", "actions"], rows)
    if teams := rival_teams(spec):
        text += f"\n\nTeams are rivals, and returns are told by team: {', '.join(teams)}."
    return text


def _fields(env: Env) -> str:
    rows = [[f"`{f.name}`", f.kind, f.default, f.meaning] for f in fields(env)]
    if not rows:
        return "## Fields\n\nNone."
    head = ["field", "type", "default", "meaning"]
    note = f"`--env.{rows[0][0].strip('`').replace('_', '-')} VALUE` on the command line, keywords "
    return f"## Fields\n\n{note}of `shoal.make` in Python.\n\n{table(head, rows)}"


def _scores(name: str) -> str:
    found = [r for r in results.rows("scores/scores.csv") if r["environment"] == name]
    spec, rows = registry.make(name).spec, []
    alone = {f"return/{agent}" for agent in set(spec.agents) - set(rival_teams(spec))}
    for r in found:
        told = {k: v for k, v in json.loads(r["metrics"]).items() if k not in alone}
        metrics = ", ".join(f"`{k}` {v:g}" for k, v in told.items())
        values = [float(r[k]) for k in ("return", "low", "high")]
        rows.append([r["policy"], "{:.2f} [{:.2f}, {:.2f}]".format(*values), metrics])
    head = ["policy", "return per agent", "metrics"]
    note = (
        "Reference scores: uniformly random actions, and the hand-written controller, which sees "
        "the whole state, where there is one. 1,000 episodes, seed 0, 95 % intervals "
        "(`python benchmarks/scores.py`, `scores/scores.csv`)."
    )
    return f"## Scores\n\n{note}\n\n{table(head, rows)}"


def _learned(name: str) -> str:
    found = results.of_environment(name)
    text = f"## Learned\n\n{results.shown(found, but='environment')}" if found else ""
    tuned = [a for a in registry.ALGORITHMS if _tuned(a, name)]
    if tuned:
        links = ", ".join(f"[{a}](../algorithms/{a}.md)" for a in tuned)
        text += (
            f"\n\nPresets for it: {links}." if text else f"## Learned\n\nPresets for it: {links}."
        )
    return text


def _tuned(algorithm: str, name: str) -> bool:
    return bool(set(presets.matching(algorithm, name, continuous=False)) - {"default"})


def _example(name: str) -> str:
    learner = "mappo" if name.partition("/")[0] != "game" else "ippo"
    return f"""## Example

```console
$ shoal train {learner} {name} --out runs/{file_name(name)}
$ shoal render runs/{file_name(name)}
```

```python
import jax
import shoal

env = shoal.make("{name}")
state, timestep = env.reset(jax.random.key(0))
timestep.obs.shape    # {registry.make(name).spec.num_agents, registry.make(name).spec.obs_size}
shoal.evaluate("random", env, episodes=100)
```"""
