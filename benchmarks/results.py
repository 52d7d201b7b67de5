"""Writes docs/results.md from the tables in this folder: python benchmarks/results.py"""

import csv
import json
import re
from pathlib import Path
from statistics import median

import distributed_tables
import numpy as np

from shoal.math.statistics import mean_interval, summary
from shoal.registry import ALGORITHMS, ENVIRONMENTS

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "results.md"


def main() -> None:
    """Replaces what stands between the two comments."""
    chapters = {
        "Teams": [_long_runs, _learning, _matrix_games, _teams, _team_peers],
        "Policy gradients": [_policy_gradients, _peers],
        "Speed": [_environment, _training, _time_to_return, _sweep, _hosts],
        "Suites of others": [_suites],
        "Distributed training": [lambda: distributed_tables.tables(HERE / "distributed")],
        "Games": [_equilibria, _batches, _trees, _self_play],
    }
    text = []
    for title, sections in chapters.items():
        text += [f"## {title}", *filter(None, (section() for section in sections))]
    written = "\n\n".join(text).replace("](benchmarks/", "](../benchmarks/")
    page = PAGE.read_text()
    pattern = r"(<!-- results: begin\..*?-->\n).*?(<!-- results: end -->)"
    PAGE.write_text(re.sub(pattern, lambda m: f"{m[1]}\n{written}\n\n{m[2]}", page, flags=re.S))


def _rows(name: str) -> list[dict[str, str]]:
    path = HERE / name
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _long_runs() -> str:
    rows = _rows("learning/spread_10m.csv")
    if not rows:
        return ""
    note = (
        "**Spread, three agents.** Return per agent over 25 steps with `local_ratio` 0.5, final "
        "parameters, greedy, 1,000 episodes a seed, mean over seeds with Student's 95 % interval "
        "([data](benchmarks/learning/spread_10m.csv), `benchmarks/learning.py`)."
    )
    body = [
        [
            f"{r['algorithm'].upper()}, {r['actions']} actions",
            f"{int(r['steps']):,} steps, {r['seeds']} seeds",
            f"**{float(r['return_mean']):.2f}** [{low:.2f}, {high:.2f}]",
            f"{float(r['scripted']):.2f}",
            f"{float(r['random']):.2f}",
        ]
        for r in rows
        for low, high in [mean_interval(np.array(json.loads(r["return_by_seed"])))]
    ]
    head = ["", "trained for", "return", "hand-written controller", "random"]
    return f"{note}\n\n{_table(head, body)}"


def _learning() -> str:
    rows = [r for r in _rows("learning/mpe.csv") if r["actions"] == "discrete"]
    if not rows:
        return ""
    rows.sort(key=lambda r: r["first_seed"] != "0")  # of two rows the later counts
    algorithms = [a for a in ALGORITHMS if any(r["algorithm"] == a for r in rows)]
    worlds = [w for w in ENVIRONMENTS if any(r["environment"] == w for r in rows)]
    cell = {
        (r["environment"], r["algorithm"]): f"{float(r['return_mean']):.2f}"
        + (" *" if r["first_seed"] == "0" else "")
        for r in rows
    }
    first = {w: next(r for r in rows if r["environment"] == w) for w in worlds}
    body = [
        [
            w.removeprefix("mpe/"),
            *(cell.get((w, a), "not run") for a in algorithms),
            f"{float(first[w]['scripted']):.2f}",
            f"{float(first[w]['random']):.2f}",
        ]
        for w in worlds
    ]
    note = (
        f"**Particle worlds**, {int(rows[0]['steps']):,} steps, the same scale; 5 seeds on which "
        "nothing was chosen, or where a star stands 3 seeds and the engine before it was recast. "
        "Where sides compete, all of them learn at once and the mean over agents says how they "
        "stand to each other; returns by team and agent, intervals and domain metrics are in [the "
        "data](benchmarks/learning/mpe.csv)."
    )
    return f"{note}\n\n{_table(['', *algorithms, 'hand-written', 'random'], body)}"


BEST = {"coop/two_step": 8, "coop/qtran": 8, "coop/climbing": 275, "coop/penalty": 250}


def _matrix_games() -> str:
    rows = [r for r in _rows("cooperative/results.csv") if r["environment"] in BEST]
    if not rows:
        return ""
    found: dict[tuple[str, str], list[float]] = {}
    for r in rows:
        known = {"hysteresis": ", hysteresis 0.1", "combined": ", combined exploration"}
        name = r["algorithm"] + "".join(s for key, s in known.items() if key in r["settings"])
        found.setdefault((name, r["environment"]), []).append(float(r["return"]))

    def cell(name: str, world: str) -> str:
        returns = found.get((name, world))
        if not returns:
            return "not run"
        best = sum(x > BEST[world] - 0.5 for x in returns)
        return f"{best} of {len(returns)} ({np.median(returns):,.0f})"

    body = [
        [name, *(cell(name, world) for world in BEST)]
        for name in dict.fromkeys(name for name, _ in found)
    ]
    note = (
        "**Cooperative games**: on how many seeds, from 0 up, the final greedy actions are the "
        "best ones, and in brackets the median return "
        "([data](benchmarks/cooperative/results.csv), `benchmarks/cooperative.py`). In the first "
        "two all actions are tried alike and errors squared, so that what a mixer cannot say is "
        "not learned; the others have their presets."
    )
    head = ["", *(f"{world.removeprefix('coop/')}, best {best}" for world, best in BEST.items())]
    return f"{note}\n\n{_table(head, body)}"


def _teams() -> str:
    rows = [r for r in _rows("cooperative/results.csv") if r["environment"] not in BEST]
    if not rows:
        return ""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for r in rows:
        settings = json.loads(r["settings"] or "{}")
        actions = "continuous" if settings.pop("continuous_actions", False) else "discrete"
        settings |= settings.pop("generator", {})
        said = [f"{name.replace('_', ' ')} {value}" for name, value in settings.items()]
        world = ", ".join([re.split("[/:]", r["environment"])[-1], *said, actions])
        key = (world, r["algorithm"], r["steps"], r["beside"])
        found.setdefault(key, []).append(r)
    body = []
    for (world, algorithm, steps, beside), seeds in found.items():
        returns = [float(r["return"]) for r in seeds]
        mean = f"**{np.mean(returns):,.2f}**"
        each = ", ".join(f"{x:,.2f}" for x in returns)
        line = [world, algorithm, f"{int(steps):,}", each, mean, _share(seeds), beside]
        body.append((world, -np.mean(returns), line))
    note = (
        "**Teams.** Return per agent, over 25 steps in spread, final parameters, greedy, 100 "
        "episodes of each seed, from 0 up ([data](benchmarks/cooperative/results.csv), "
        "`benchmarks/cooperative.py`). XuanCe's are of 10 M steps. Of one H200: MATD3 and IDDPG in "
        "spread, discrete MADDPG in tag. WQMIX's mixing weights start with a gain of 1. The share "
        "is of battles won, of food eaten, of the exact optimum, or of episodes that end with all "
        "at their landmarks."
    )
    head = ["", "", "steps", "seeds", "mean", "share", "others"]
    return f"{note}\n\n{_table(head, [line for *_, line in sorted(body)])}"


def _share(seeds: list[dict[str, str]]) -> str:
    """How much of what can be reached each seed reached, in per cent, where a metric says so."""
    metrics = [json.loads(row["metrics"]) for row in seeds]
    for name, scale in (
        *(("won", 100), ("percent_eaten", 1)),
        *(("share_of_optimum", 100), ("success", 100)),
    ):
        if name in metrics[0]:
            digits = 1 if name == "share_of_optimum" else 0
            return ", ".join(f"{scale * m[name]:.{digits}f}" for m in metrics) + " %"
    return ""


def _policy_gradients() -> str:
    rows = _rows("policy_gradients/results.csv")
    if not rows:
        return ""
    keys = ("algorithm", "environment", "steps", "beside")
    found: dict[tuple[str, ...], list[float]] = {}
    for r in rows:
        found.setdefault(tuple(r[k] for k in keys), []).append(float(r["return"]))
    by_environment = sorted(found.items(), key=lambda item: item[0][1])
    body = [
        [
            algorithm.upper(),
            environment.partition(":")[2] or environment,
            f"{int(steps):,}",
            ", ".join(f"{x:,.1f}" for x in returns),
            f"**{np.mean(returns):,.1f}**",
            beside,
        ]
        for (algorithm, environment, steps, beside), returns in by_environment
    ]
    note = (
        "**Policy gradients.** Final parameters, greedy, mean of 100 episodes (500 in Pendulum) of "
        "each seed, from 0 up ([data](benchmarks/policy_gradients/results.csv), "
        "`benchmarks/policy_gradients.py`). Beside them what others report: Stable-Baselines3's "
        "zoo of one run, Tianshou of 10 seeds in version 3, XuanCe of 5. Returns of teams are per "
        "agent; on-policy learners have a policy for each, ISAC and MASAC one for all. In "
        "HalfCheetah-2x3 IPPO and MAPPO compute advantages anew in each epoch, which HAPPO and "
        "HATRPO cannot; spread has continuous actions and 25 steps."
    )
    return f"{note}\n\n{_table(['', '', 'steps', 'seeds', 'mean', 'others'], body)}"


def _peers() -> str:
    rows = _rows("policy_gradients/peers.csv")
    if not rows:
        return ""
    note = (
        "**Beside peers**, one after the other, with the peer's hyper-parameters on both sides: "
        "SAC in one environment with a gradient step after each step, PPO with all seeds in one "
        "program. Greedy returns of the final parameters, 100 episodes a seed; environment steps a "
        "second of the process's CPU time, evaluation left out "
        "([data](benchmarks/policy_gradients/peers.csv), `benchmarks/policy_gradients.py`)."
    )
    return f"{note}\n\n{_beside(rows, 1)}"


def _team_peers() -> str:
    rows = _rows("cooperative/peers.csv")
    if not rows:
        return ""
    note = (
        "**Teams beside XuanCe**, one after the other in spread, each library with its own "
        "settings: QMIX with discrete actions, MADDPG with continuous ones. Return per agent over "
        "25 steps, final parameters, greedy, 100 episodes a seed; environment steps a second of "
        "the process's CPU time, evaluation left out. In so few steps XuanCe makes some 750 "
        "gradient steps: this compares speed and a start, not what either ends at "
        "([data](benchmarks/cooperative/peers.csv), `benchmarks/cooperative.py xuance`). QMIX's "
        "mixing weights started with a gain of 1 then, ten times today's."
    )
    return f"{note}\n\n{_beside(rows, 2)}"


def _beside(rows: list[dict[str, str]], digits: int) -> str:
    """A table of Shoal and its peers, a line for all seeds of a library; returns have so many
    digits."""
    rows = sorted(rows, key=lambda r: (r["comparison"], r["algorithm"], r["library"] != "shoal"))
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for r in rows:
        key = tuple(r[k] for k in ("comparison", "algorithm", "environment", "library"))
        found.setdefault(key, []).append(r)
    body = []
    for (_, algorithm, environment, library), each in found.items():
        steps = sum(int(r["steps"]) * int(r["seeds"]) for r in each)
        training = sum(float(r["train_cpu"]) for r in each)
        starting = sum(float(r["start_cpu"]) for r in each)
        returns = [x for r in each for x in json.loads(r["returns"])]
        body.append(
            [
                f"{algorithm.upper()}, {environment.removeprefix('mpe/')}",
                f"{int(each[0]['steps']):,} x {len(returns)}",
                "Shoal" if library == "shoal" else f"{library} {_version(each[0])}",
                f"{np.mean(returns):,.{digits}f}",
                f"{min(returns):,.{digits}f}",
                f"{steps / training:,.0f}",
                f"{steps / (training + starting):,.0f}",
            ]
        )
    head = ["", "steps x seeds", "", "mean return", "lowest seed", "steps/s", "compiling included"]
    return _table(head, body)


def _version(row: dict[str, str]) -> str:
    """Of the library that a row is of."""
    return json.loads(row["versions"])[row["library"]]


def _environment() -> str:
    rows = _rows("speed/environment.csv")
    if not rows:
        return ""
    keys = ("num_envs", "shoal_steps_per_second", "jaxmarl_steps_per_second", "ratio")
    body = [[f"{float(r[k]):,.0f}" for k in keys[:3]] + [f"{r['ratio']}x"] for r in rows]
    note = (
        "**Spread alone**, auto-reset and observations included, environment steps per second; "
        "median of interleaved rounds ([data](benchmarks/speed/environment.csv), "
        "`benchmarks/speed.py`)."
    )
    return f"{note}\n\n{_table(['environments', 'Shoal', 'JaxMARL 0.2.0', 'ratio'], body)}"


def _training() -> str:
    rows = _rows("speed/training.csv")
    if not rows:
        return ""
    r = rows[0]
    ours, theirs = (float(r[f"{name}_steps_per_second"]) for name in ("shoal", "jaxmarl"))
    return (
        "**Training**, IPPO with JaxMARL's hyper-parameters (128 environments x 128 steps, "
        f"4 epochs x 4 minibatches, 64 x 64 tanh): {ours:,.0f} environment steps per second "
        f"against {theirs:,.0f}, {r['ratio']}x, on {r['device']}; {r['share_of_bound']} of what "
        "its matrix products allow ([data](benchmarks/speed/training.csv))."
    )


def _time_to_return() -> str:
    rows = _rows("speed/time_to_return.csv")
    if not rows:
        return ""
    r = rows[0]
    steps, seconds = int(r["jaxmarl_steps"]), float(r["jaxmarl_seconds"])
    return (
        "**Time to a return.** JaxMARL's IPPO with its own settings ends at "
        f"{r['jaxmarl_return']} after {steps:,} steps and {seconds:,.0f} s; Shoal's MAPPO preset "
        f"is there after {int(r['shoal_steps']):,} steps and {r['shoal_seconds']} s "
        "([data](benchmarks/speed/time_to_return.csv))."
    )


def _hosts() -> str:
    parts = [part for part in (_cartpole(), _spread()) if part]
    if not parts:
        return ""
    text = " ".join(parts)
    data = "[data](benchmarks/host/cartpole.csv)"
    return f"**Worlds of the host.** {text} ({data}, `benchmarks/host.py`)."


def _cartpole() -> str:
    rows = _rows("host/cartpole.csv")
    if not rows:
        return ""
    ours, peer = ([r for r in rows if r["library"] == library] for library in _libraries(rows))
    ratios = [
        float(a["steps_per_second"]) / float(b["steps_per_second"]) for a, b in zip(ours, peer)
    ]
    rates = [median(float(r["steps_per_second"]) for r in each) for each in (ours, peer)]
    return (
        "PPO in Gymnasium's CartPole-v1, 100,000 steps, the same networks and settings, stepped in "
        f"one process: {rates[0]:,.0f} environment steps per second against Stable-Baselines3's "
        f"{rates[1]:,.0f} (median of {len(ratios)} seeds, each pair in turn; ratios "
        f"{min(ratios):.1f}x to {max(ratios):.1f}x), final returns {_returns(ours)} against "
        f"{_returns(peer)}."
    )


def _spread() -> str:
    rows = _rows("host/spread.csv")
    if not rows:
        return ""
    host, compiled = (
        [float(r["return"]) for r in rows if r["world"] == world] for world in _worlds(rows)
    )
    return (
        "MAPPO for 200,000 steps in MPE2's simple_spread_v3, stepped by processes: "
        f"{_interval(host)}; in the compiled mpe/simple_spread with the same seeds and settings: "
        f"{_interval(compiled)}; {len(host)} seeds, 95 % intervals"
    )


def _sweep() -> str:
    rows = {r["way"]: r for r in _rows("sweep/wall_clock.csv")}
    if not rows:
        return ""
    program, others = rows["program"], [w for w in ("commands", "loop", "cores") if w in rows]
    what = {
        "commands": "commands one after another",
        "loop": "calls in one process",
        "cores": "calls in a process a core",
    }
    slower = ", ".join(
        f"{float(rows[w]['seconds']):,.0f} s as {what[w]} ({rows[w]['ratio']}x)" for w in others
    )
    return (
        f"**A sweep as one program.** {program['trainings']} trainings of IPPO in spread, 16 "
        f"learning rates and 4 seeds, {int(program['steps_each']):,} steps each: "
        f"{float(program['seconds']):,.0f} s as one `shoal train`, compiling and evaluation "
        f"included; {slower} ([data](benchmarks/sweep/wall_clock.csv), `benchmarks/sweep.py`)."
    )


def _suites() -> str:
    rows, costs = _rows("suites/learning.csv"), _rows("adapters/overhead.csv")
    if not rows or not costs:
        return ""
    cost = {(r["world"], r["num_envs"]): f"{float(r['overhead_step']):+.1%}" for r in costs}
    sizes = list(dict.fromkeys(r["num_envs"] for r in costs))
    body = []
    for world in _worlds(rows):
        ours = {r["algorithm"]: r for r in rows if r["world"] == world}
        first = next(iter(ours.values()))
        cells = [_scored(first, "random"), *(_scored(ours[a], "final") for a in ours)]
        body.append([world, f"{int(first['steps']):,}", *cells, *(cost[world, n] for n in sizes)])
    algorithms = [r["algorithm"].upper() for r in rows if r["world"] == rows[0]["world"]]
    head = ["", "steps", "random", *algorithms, *(f"cost, {int(n):,} at once" for n in sizes)]
    note = (
        "**Worlds of JaxMARL's and Jumanji's**, trained inside the compiled loop: final greedy "
        "return per agent, mean over seeds with the lowest and the highest: MAPPO in SMAX 8 seeds "
        "of 256 episodes each, on the engine before it was recast 2 seeds of 64 each in the other "
        "cells; Overcooked's return holds its rewards for training, its score does not "
        "([data](benchmarks/suites/learning.csv), `benchmarks/suites.py`). Cost is what a step "
        "with random actions takes longer through Shoal's adapter than by the suite's own code "
        f"that makes the same arrays, without resets, median of {costs[0]['rounds']} interleaved "
        "rounds ([data](benchmarks/adapters/overhead.csv), `benchmarks/adapters.py`)."
    )
    return f"{note}\n\n{_table(head, body)}"


def _scored(row: dict[str, str], when: str) -> str:
    """A return, and what else a world tells."""
    score = f"{float(row[when]):.2f}"
    if when == "final":
        each = json.loads(row["final_by_seed"])
        score += f" [{min(each):.2f}, {max(each):.2f}]"
    if not row["metric"]:
        return score
    return f"{score} ({row['metric'].replace('_', ' ')} {float(row[f'metric_{when}']):.2f})"


def _libraries(rows: list[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(r["library"] for r in rows))


def _worlds(rows: list[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(r["world"] for r in rows))


def _returns(rows: list[dict[str, str]]) -> str:
    return ", ".join(f"{float(r['return']):.0f}" for r in rows)


def _interval(values: list[float]) -> str:
    score = summary(np.array(values)[:, None])
    return f"{score['mean']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"


def _equilibria() -> str:
    rows = _rows("games/enumeration.csv")
    if not rows:
        return ""
    solvers = ("shoal", "pygambit_float", "pygambit_rational", "nashpy_support", "nashpy_vertex")
    body = [
        [
            f"{r['game']}, {r['actions']} x {r['actions']}",
            r["shoal_equilibria"],
            *(_milliseconds(r[f"{solver}_microseconds"]) for solver in solvers),
        ]
        for r in rows
    ]
    note = (
        "**All equilibria of two players**, milliseconds a game; median of interleaved rounds. "
        "Nashpy's support enumeration leaves some out ([data](benchmarks/games/enumeration.csv), "
        "`benchmarks/games.py`). On 1,052 games, half of them degenerate, Shoal's extreme "
        "equilibria are exactly those of Gambit's `enummixed` (`tests/games/gambit_answers.py`)."
    )
    names = [solver.replace("_", ", ").replace("shoal", "Shoal") for solver in solvers]
    return f"{note}\n\n{_table(['', 'equilibria', *names], body)}"


def _milliseconds(microseconds: str) -> str:
    if not microseconds:
        return "-"
    sign, value = (">", microseconds[1:]) if microseconds[0] == ">" else ("", microseconds)
    return f"{sign}{float(value) / 1000:,.1f}"


def _batches() -> str:
    paths, sums = _rows("games/lemke_howson.csv"), _rows("games/zero_sum.csv")
    if not (paths and sums):
        return ""
    one, value = paths[0], sums[0]
    return (
        f"**Batches**, compiled: one equilibrium of each of {int(one['games']):,} games of 4 x 4 "
        f"in {float(one['shoal_microseconds']):.1f} microseconds a game, {one['nashpy_ratio']}x "
        f"Nashpy's rate and {one['pygambit_lcp_ratio']}x pygambit's; the values of "
        f"{int(value['games']):,} zero-sum games of 20 x 20 in "
        f"{float(value['shoal_microseconds']):.0f} microseconds a game, {value['scipy_ratio']}x "
        "`scipy.optimize.linprog`."
    )


def _trees() -> str:
    rows = _rows("games/cfr.csv")
    if not rows:
        return ""
    keys = ("shoal_per_second", "openspiel_cpp_per_second", "openspiel_python_per_second")
    body = [
        [
            r["game"].replace("_", " "),
            f"{int(r['nodes']):,}",
            *(f"{float(r[key]):,.0f}" for key in keys),
            f"{float(r['ratio_to_openspiel_cpp']):.0f}x",
        ]
        for r in rows
    ]
    note = (
        "**Counterfactual regret minimization**, iterations per second; median of interleaved "
        "rounds ([data](benchmarks/games/cfr.csv), `benchmarks/cfr.py`; NashConv by iteration of "
        "five variants: [data](benchmarks/games/cfr_curves.csv))."
    )
    head = ["", "nodes", "Shoal", "OpenSpiel, C++", "OpenSpiel, Python", "ratio to C++"]
    return f"{note}\n\n{_table(head, body)}"


def _self_play() -> str:
    rows = _rows("games/learning.csv")
    if not rows:
        return ""
    games = list(dict.fromkeys(r["game"] for r in rows))
    learners = list(dict.fromkeys(r["algorithm"] for r in rows))
    last = {(r["game"], r["algorithm"], r["seed"]): float(r["nash_conv_of_average"]) for r in rows}
    body = []
    for name in learners:
        runs = [[v for k, v in last.items() if k[:2] == (game, name)] for game in games]
        body.append([name, *(f"{sum(run) / len(run):.2g}" for run in runs)])
    steps = max(int(r["steps"]) for r in rows if r["algorithm"] == learners[0])
    note = (
        f"**Learners in games**: NashConv of the average policy after {steps:,} environment steps "
        "of self-play, mean of 3 seeds, and after 100,000 iterations of regret matching, which in "
        "Kuhn poker is CFR ([data](benchmarks/games/learning.csv), `benchmarks/games_learning.py`, "
        "[curves](benchmarks/games/learning.png))."
    )
    head = ["", *(game.replace("_", " ") for game in games)]
    return f"{note}\n\n{_table(head, body)}"


if __name__ == "__main__":
    main()
