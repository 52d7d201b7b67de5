"""The concepts that `shoal solve` knows: each makes answers of plain data, with certificates."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from shoal.cli.game_input import action_words
from shoal.core.errors import UserError, require
from shoal.games import (
    Equilibria,
    ExtensiveForm,
    NormalForm,
    alpha_rank,
    cfr,
    correlated_equilibrium,
    equilibria,
    evolutionarily_stable,
    expected_payoffs,
    iterated_elimination,
    lemke_howson,
    logit_equilibrium,
    n_player_equilibrium,
    pareto_front,
    price_of_anarchy,
    price_of_stability,
    pure_equilibria,
    regret,
    sequence_form,
    stackelberg,
    subgame_perfect,
    support_enumeration,
    to_normal_form,
)
from shoal.games.extensive.plans import perfect_recall
from shoal.games.extensive.policy_values import value
from shoal.games.normal_form import rational
from shoal.runs.durable import Json

LARGEST_SUPPORTS = 20_000  # combinations of supports of n players that are all tried
LONGEST_POLICY = 60  # information sets of a policy that is printed


def solve(game: NormalForm | ExtensiveForm, options: Any) -> Json:
    """`method`, `complete` (true, false, or null where it means nothing), `answers`, each perhaps
    with lines to be `said` to a person, and under `more` the names of further facts. Of a tree that
    is solved as a table also each player's `plans`, whose probabilities a profile has.

    Raises:
        UserError: the concept does not fit the game.
    """
    concept = options.concept
    require(
        not options.exact or concept in ("nash", "pure", "subgame_perfect"),
        f"--exact is for nash, pure and subgame_perfect, not for {concept}",
    )
    if isinstance(game, ExtensiveForm):
        if concept in OF_TREES:
            return OF_TREES[concept](game, options)
        recalls = perfect_recall(game)
        if concept == "nash" and not options.exact and recalls and _is_zero_sum(game):
            return _sequence_form(game)
        table = to_normal_form(game, max_entries=2_000_000)
        found = CONCEPTS[concept](table, options)
        found["plans"] = [list(names) for names in table.actions]
        if not recalls:
            found["recall"] = "imperfect: a mixture of plans may be no policy by information set"
            found["more"].append("recall")
        return found
    require(concept not in OF_TREES, f"{concept} is for games in extensive form, such as a .efg")
    return CONCEPTS[concept](game, options)


def _nash(game: NormalForm, options: Any) -> Json:
    if game.num_players == 2:
        try:
            return _listed(game, equilibria(game, exact=options.exact), options)
        except UserError as error:
            if options.exact:
                limit = str(error).partition(";")[0]
                raise UserError(f"{limit}: without --exact, some are found") from None
            return _listed(game, lemke_howson(game, None), options)
    require(
        game.num_players == 1 or not options.exact,
        "--exact takes two players; of more, probabilities are irrational: --concept pure --exact "
        "lists pure equilibria",
    )
    if game.num_players == 1 or np.prod([2.0**n for n in game.num_actions]) > LARGEST_SUPPORTS:
        found = pure_equilibria(game)
        if game.num_players > 1 and not len(found):
            found = n_player_equilibrium(game)
        return _listed(game, found, options)
    return _listed(game, support_enumeration(game), options)


def _listed(game: NormalForm, found: Equilibria, options: Any) -> Json:
    answers, exact = [], options.exact
    for profile in found:
        off = regret(game, profile, exact=exact)
        answers.append(
            {
                "profile": [_numbers(x, exact) for x in profile],
                "payoffs": _expected(game, profile, exact),
                "regret": str(off) if exact else off,
            }
        )
    out = _answered(found.method, answers, found.complete)
    loose = [c for c in found.components or [] if len(c) > 1]
    if loose:
        out["components"] = [[k + 1 for k in c] for c in found.components or []]
        out["connected"] = "; ".join(", ".join(str(k + 1) for k in c) for c in loose)
        out["more"] = ["connected"]
    return out


def _numbers(values: Any, exact: bool = False) -> list[Any]:
    if exact:
        return [str(v) for v in rational(values)]
    return np.asarray(values, np.float64).tolist()


def _expected(game: NormalForm, profile: Any, exact: bool = False) -> list[Any]:
    """What a profile gives to each player; what rounding leaves of 0 is 0."""
    if exact:
        return _numbers(expected_payoffs(game, profile, exact), exact)
    sizes = NormalForm(np.abs(np.asarray(game.payoffs, np.float64)))
    return _rounded(expected_payoffs(game, profile), expected_payoffs(sizes, profile))


def _rounded(values: Any, sizes: Any) -> list[float]:
    """Sums, and 0 for what is nothing beside the sizes of what they are sums of."""
    values = np.asarray(values, np.float64)
    return np.where(np.abs(values) <= 1e-15 * np.asarray(sizes), 0.0, values).tolist()


def _correlated(game: NormalForm, options: Any, coarse: bool = False) -> Json:
    text = options.objective
    objective = int(text) if text.lstrip("-").isdigit() else text
    found = correlated_equilibrium(game, objective, coarse=coarse)
    sizes = np.tensordot(np.abs(game.payoffs), found.distribution, game.num_players)
    answer = {
        "payoffs": _rounded(found.payoffs, sizes),
        "welfare": found.welfare,
        "regret": found.regret,
        "distribution": found.distribution.tolist(),
        "said": _drawn(game, np.ndenumerate(found.distribution)),
    }
    return _one(found.method, answer)


def _stackelberg(game: NormalForm, options: Any) -> Json:
    found = stackelberg(game, options.leader)
    pair = [found.leader, found.follower]
    if options.leader == 1:
        pair.reverse()
    answer = {
        "leader": game.players[options.leader],
        "profile": [_numbers(x) for x in pair],
        "payoffs": _expected(game, pair),
        "follower_regret": found.regret,
        "leader_gap": found.gap,
    }
    return _one(found.method, answer)


def _logit(game: NormalForm, options: Any) -> Json:
    found = logit_equilibrium(game, options.rationality)
    answer = {
        "rationality": found.rationality,
        "profile": [_numbers(x) for x in found.profile],
        "payoffs": _expected(game, found.profile),
        "residual": found.residual,
    }
    return _one(found.method, answer)


def _undominated(game: NormalForm, options: Any) -> Json:
    found = iterated_elimination(game, strict=not options.weak)
    said = [
        f"{player}: {', '.join(action_words(names))}"
        for player, names in zip(game.players, found.game.actions)
    ]
    rounds = max(found.rounds, default=0)
    return _one(found.method, {"rounds": rounds, "kept": found.kept, "said": said})


def _pareto(game: NormalForm, options: Any) -> Json:
    answers = []
    for actions in pareto_front(game):
        values = np.asarray(game.payoffs)[(slice(None), *actions)]
        profile = [np.eye(n)[a].tolist() for n, a in zip(game.num_actions, actions)]
        answers.append(
            {"profile": profile, "payoffs": values.tolist(), "welfare": float(values.sum())}
        )
    out = _answered("comparison of action profiles", answers, True)
    for name, price in (("anarchy", price_of_anarchy), ("stability", price_of_stability)):
        try:
            out[f"price_of_{name}"] = float(price(game))
        except UserError:  # no pure equilibrium, or payoffs of both signs: no such price
            continue
        out["more"].append(f"price_of_{name}")
    return out


def _stable(game: NormalForm, options: Any) -> Json:
    found = evolutionarily_stable(game)
    answers = [
        {"profile": [_numbers(x)] * 2, "regret": regret(game, (x, x))} for x in found.strategies
    ]
    return _answered(found.method, answers, True)


def _alpha_rank(game: NormalForm, options: Any) -> Json:
    found = alpha_rank(game)
    answer = {
        "residual": found.residual,
        "profiles": found.profiles,
        "distribution": found.distribution.tolist(),
        "said": _drawn(game, found.ranking),
    }
    return _one(found.method, answer)


def _drawn(game: NormalForm, shares: Iterable[tuple[Sequence[int], float]]) -> list[str]:
    """The action profiles that have a share."""
    words = [action_words(names) for names in game.actions]
    return [
        ", ".join(f"{who}: {names[a]}" for who, names, a in zip(game.players, words, profile))
        + f"   {share:.6g}"
        for profile, share in shares
        if share > 1e-12
    ]


def _sequence_form(game: ExtensiveForm) -> Json:
    found = sequence_form(game)
    sizes = value(dataclasses.replace(game, payoffs=np.abs(game.payoffs)), found.policy)
    answer = {"payoffs": _rounded(found.value, sizes), "nash_conv": found.nash_conv}
    return _one(found.method, answer | _policy(game, found.policy)) | {"complete": False}


def _cfr(game: ExtensiveForm, options: Any) -> Json:
    found = cfr(game, options.iterations, options.variant, report=options.iterations)
    answer = {"iterations": options.iterations, "nash_conv": float(found.nash_conv[-1])}
    method = f"counterfactual regret minimization, {options.variant}"
    return _one(method, answer | _policy(game, found.policy))


def _subgame_perfect(game: ExtensiveForm, options: Any) -> Json:
    found = subgame_perfect(game)
    answers = []
    for choices, payoffs, off in zip(found.choices, found.payoffs, found.regrets):
        policy = np.eye(game.legal.shape[1])[choices]
        facts = {
            "payoffs": _numbers(payoffs, options.exact),
            "one_move_regret": str(off) if options.exact else float(off),
        }
        answers.append(facts | _policy(game, policy))
    return _answered(found.method, answers, found.complete)


def _policy(game: ExtensiveForm, policy: np.ndarray) -> Json:
    """A policy by player, information set and action."""
    described = {name: game.describe(policy, i) for i, name in enumerate(game.players)}
    if game.num_infosets > LONGEST_POLICY:
        said = [f"policy of {game.num_infosets:,} information sets: --json has it"]
        return {"policy": described, "said": said}
    said = []
    for player, sets in described.items():
        for key, probs in sets.items():
            chances = ", ".join(f"{action} {p:.6g}" for action, p in probs.items() if p > 1e-12)
            said.append(f"{player} at '{key}': {chances}")
    return {"policy": described, "said": said}


def _is_zero_sum(game: ExtensiveForm) -> bool:
    sums = game.payoffs.sum(1)
    scale = max(1.0, float(np.abs(game.payoffs).max()))
    return game.num_players == 2 and bool(np.ptp(sums) <= 1e-9 * scale)


def _answered(method: str, answers: list[Json], complete: bool | None) -> Json:
    return {"method": method, "complete": complete, "answers": answers, "more": []}


def _one(method: str, answer: Json) -> Json:
    return _answered(method, [answer], None)


CONCEPTS: dict[str, Callable[[NormalForm, Any], Json]] = {
    "nash": _nash,
    "pure": lambda game, options: _listed(game, pure_equilibria(game), options),
    "correlated": _correlated,
    "coarse": functools.partial(_correlated, coarse=True),
    "stackelberg": _stackelberg,
    "logit": _logit,
    "iterated_elimination": _undominated,
    "pareto": _pareto,
    "ess": _stable,
    "alpha_rank": _alpha_rank,
}
OF_TREES: dict[str, Callable[[ExtensiveForm, Any], Json]] = {
    "cfr": _cfr,
    "subgame_perfect": _subgame_perfect,
}
