"""shoal solve GAME: a game's payoffs, all answers of a concept, and their certificates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shoal.cli.arguments import Arguments
from shoal.cli.game_input import action_words
from shoal.cli.output import answer
from shoal.cli.parse import read
from shoal.cli.patience import still_at_work
from shoal.cli.table import table
from shoal.core.errors import UserError
from shoal.core.limits import Count, NonNegative

USAGE = "shoal solve GAME|FILE [--concept nash|correlated|stackelberg|...] [--json]"
LARGEST_TABLE = 400  # action profiles, above which the payoffs are not printed


@dataclass(frozen=True)
class Options:
    """Solve a game: its name, a Gambit file, open_spiel:NAME, or payoffs such as "1 -1; -1 1" (zero
    sum), "3,3 0,5; 5,0 1,1" (two players) or JSON [N, A1, ..., AN]."""

    concept: Literal[
        "nash",
        "pure",
        "correlated",
        "coarse",
        "stackelberg",
        "logit",
        "iterated_elimination",
        "pareto",
        "ess",
        "alpha_rank",
        "subgame_perfect",
        "cfr",
    ] = "nash"
    """What to find: Nash equilibria, pure ones, the best correlated or coarse correlated
    equilibrium, the best commitment, the logit equilibrium, what iterated elimination leaves,
    Pareto optima and prices of anarchy, evolutionarily stable strategies, alpha-rank; of trees,
    subgame-perfect equilibria by backward induction, or an average policy of counterfactual regret
    minimization."""
    json: bool = False
    """Print one JSON object and nothing else."""
    exact: bool = False
    """In rational numbers: Nash equilibria of two players, pure and subgame-perfect ones."""
    objective: str = "welfare"
    """Of correlated equilibria: welfare, fairness, or a player's number, from 0."""
    leader: int = 0
    """Of stackelberg: who commits, from 0."""
    rationality: NonNegative = 1.0
    """Of logit: how well players answer, in inverse units of payoff."""
    weak: bool = False
    """Of undominated: whether weakly dominated actions go too."""
    variant: str = "cfr+"
    """Of cfr: cfr, cfr+, simultaneous, linear, discounted or mccfr."""
    iterations: Count = 1000
    """Of cfr: how many."""
    pictures: Path | None = None
    """Where to put pictures: of two players best responses, correlated payoffs and the Pareto
    front; of a tree the tree."""


def run(arguments: Arguments) -> int:
    """Solves and prints."""
    (text,), options = read(arguments, ["GAME"], Options, USAGE)

    from shoal.cli.game_input import read_game
    from shoal.cli.solutions import solve

    game = read_game(text)
    # Pictures first: one that cannot be made should not cost a solution.
    pictures = [] if options.pictures is None else _pictures(game, options.pictures)
    with still_at_work(f"{options.concept} of {game.title or text}"):
        answers = solve(game, options)
    report = {"game": describe(game, options.exact), "concept": options.concept, **answers}
    if pictures:
        report["pictures"] = [str(path) for path in pictures]
    if options.json:
        for each in report["answers"]:
            each.pop("said", None)
        del report["more"]
        answer(report)
    else:
        print("\n".join(_text(report)))
    return 0


def describe(game: Any, exact: bool = False) -> dict[str, Any]:
    """What is known of the game before it is solved; `exact` payoffs are text, such as "1/3"."""
    from shoal.games import NormalForm

    known = {"title": game.title, "players": list(game.players)}
    if isinstance(game, NormalForm):
        actions = [list(names) for names in game.actions]
        payoffs = game.exact().astype(str) if exact else game.payoffs
        return known | {"actions": actions, "payoffs": payoffs.tolist()}
    return known | {"nodes": game.num_nodes, "information_sets": game.num_infosets}


def _pictures(game: Any, directory: Path) -> list[Path]:
    from shoal.games import NormalForm
    from shoal.games.plots.pictures import save_pictures
    from shoal.games.plots.tree import draw_tree

    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file, expected a directory for the pictures")
    if isinstance(game, NormalForm):
        return save_pictures(game, directory)
    directory.mkdir(parents=True, exist_ok=True)
    return [draw_tree(game, directory / "tree.png")]


# What a person reads --------------------------------------------------------------------------


def _text(report: dict[str, Any]) -> list[str]:
    game = report["game"]
    title = game["title"] or "game"
    if "payoffs" not in game:
        counts = f"{game['nodes']:,} nodes, {game['information_sets']:,} information sets"
        lines = [f"{title} · {counts}"]
    else:
        sizes = " x ".join(str(len(names)) for names in game["actions"])
        lines = [f"{title} · {len(game['players'])} players · {sizes} actions", *_table(game)]
    lines += ["", _heading(report)]
    actions = report.get("plans") or game.get("actions", [])
    for number, each in enumerate(report["answers"], 1):
        lines += _answer(number, each, game["players"], [action_words(names) for names in actions])
    lines += [
        f"{_MORE.get(key, key.replace('_', ' '))}: {_plain(report[key])}" for key in report["more"]
    ]
    return lines + [f"picture: {path}" for path in report.get("pictures", [])]


def _heading(report: dict[str, Any]) -> str:
    count = len(report["answers"])
    every = "all the extreme ones" if "components" in report else "all there are"
    more = "there may be more" + (" that are mixed" if report["concept"] == "pure" else "")
    known = {True: f", {every}", False: f", {more}", None: ""}
    concept = report["concept"].replace("_", "-")
    answers = "1 answer" if count == 1 else f"{count or 'no'} answers"
    return f"{concept}: {answers}{known[report['complete']]} ({report['method']})"


def _table(game: dict[str, Any]) -> list[str]:
    """The payoffs of two players as a table; those of more, by the others' actions."""
    import numpy as np

    payoffs = np.array(game["payoffs"])
    if payoffs[0].size > LARGEST_TABLE:
        return [f"{payoffs[0].size:,} action profiles: --json has them"]
    lines, names = [], [action_words(actions) for actions in game["actions"]]
    if payoffs.ndim == 2:
        return [f"  {name}  {_plain(x)}" for name, x in zip(names[0], payoffs[0])]
    for rest in np.ndindex(*payoffs.shape[3:]):
        if rest:
            said = (f"{p}: {a[k]}" for p, a, k in zip(game["players"][2:], names[2:], rest))
            lines.append(", ".join(said))
        pairs = np.moveaxis(payoffs[(slice(None), slice(None), slice(None), *rest)], 0, -1)
        text = [[", ".join(map(_plain, pair)) for pair in row] for row in pairs]
        rows = [["", *names[1]], *([name, *row] for name, row in zip(names[0], text))]
        lines += table(rows, left=range(len(rows[0])))
    return lines


def _answer(
    number: int, answer: dict[str, Any], players: list[str], names: list[list[str]]
) -> list[str]:
    """One answer: whose strategies, what they are worth, what certifies them."""
    facts = [f"{k.replace('_', ' ')} {_plain(v)}" for k, v in answer.items() if k not in _LISTS]
    lines = [f"{number:>3}  " + " · ".join(facts)]
    for i, strategy in enumerate(answer.get("profile", [])):
        played = [(names[i][a], _plain(x)) for a, x in enumerate(strategy) if _some(x)]
        said = [name if probs == "1" else f"{probs} {name}" for name, probs in played]
        lines.append(f"     {players[i]}: " + ", ".join(said))
    return lines + [f"     {line}" for line in answer.get("said", [])]


_MORE = {"connected": "connected, mixtures of these answers may be equilibria too"}
_LISTS = ("profile", "profiles", "distribution", "policy", "kept", "said")


def _some(x: Any) -> bool:
    return (isinstance(x, str) and x != "0") or (not isinstance(x, str) and x > 1e-12)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)
