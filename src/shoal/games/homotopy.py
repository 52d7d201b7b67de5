"""One Nash equilibrium of any finite game, by a homotopy: the logit curve leads near one, and
Newton's method on the actions still used there finishes (Turocy 2005; polishing as in Govindan and
Wilson 2003). Curves from other priors may end at other equilibria.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from shoal.core.errors import UserError, require
from shoal.games.lemke_howson import exact_path
from shoal.games.logit import FAR, trace
from shoal.games.normal_form import NormalForm, pure, regret
from shoal.games.polynomial import polished
from shoal.games.pure_equilibria import pure_action_profiles
from shoal.games.rounding import is_equilibrium, is_wide
from shoal.games.scaling import normalised
from shoal.games.solution import Equilibria, certified

REGRET = 1e-9
"""What an equilibrium may leave to gain, of games scaled to [0, 1]."""
CUTOFFS = (1e-2, 1e-3, 1e-4, 1e-6, 0.05, 0.2)
"""Actions less probable than one of these are tried as unused."""
NEAR = 0.05
"""How far in probability Newton's method may move from the curve."""


def logit_nash(game: NormalForm) -> Equilibria:
    """The Nash equilibrium at the end of the principal branch of logit equilibria: one that is
    selected from all by letting players become rational (McKelvey and Palfrey 1995).

    Empty where the branch ends at a profile that Newton's method cannot finish.

    Raises:
        UserError: so it is of payoffs that span too many orders of magnitude for floats.
    """
    found = _end_of_curve(game, NormalForm(normalised(game)), None)
    wide = is_wide(*game.payoffs)
    if wide and (found is None or not is_equilibrium(game, found)):
        raise UserError(
            "payoffs span too many orders of magnitude for the logit curve to tell them apart: "
            "n_player_equilibrium has other ways"
        )
    profiles = [] if found is None else [found]
    return certified(game, profiles, "logit path", False, parameters={"starts": 1})


def n_player_equilibrium(
    game: NormalForm, starts: int = 1, seed: int = 0, max_starts: int = 16
) -> Equilibria:
    """Nash equilibria of a game of any number of players: none that is not certified.

    The first start is the uniform profile, others are random. Where a curve ends at nothing,
    another start replaces it. Where too few end at an equilibrium, or payoffs span too many orders
    of magnitude for floats, others follow: of two players the ends of Lemke and Howson's paths in
    whole numbers, of more those of curves with great losses made smaller, and pure equilibria.

    Each player's rationality counts in its own range of payoffs: where all ranges are the same, the
    result of one start is that of `logit_nash`.

    Args:
        game: its payoffs must fit in memory; the work grows with their number, not with that of
            supports.
        starts: how many curves that end at an equilibrium are wanted; equal ends are given once.
        seed: of the random starts.
        max_starts: how many curves are followed at most; `starts` if that is more.

    Raises:
        UserError: `starts` is less than 1.
    """
    require(starts >= 1, f"starts is {starts}, expected at least 1")
    several, rng = max(starts, max_starts), np.random.default_rng(seed)
    curves = () if is_wide(*game.payoffs) else _ends(game, several, rng)
    ends = itertools.chain(curves, _otherwise(game, several, rng))
    profiles: list[tuple[np.ndarray, ...]] = []
    for profile in itertools.islice(ends, starts):
        if not any(_same(profile, other) for other in profiles):
            profiles.append(profile)
    given = {"starts": starts, "seed": seed, "max_starts": max_starts}
    return certified(game, profiles, "logit homotopy and Newton", False, parameters=given)


def _ends(
    game: NormalForm, starts: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, ...]]:
    """What the curves end at that is an equilibrium."""
    unit = NormalForm(normalised(game))
    for number in range(starts):
        end = _end_of_curve(unit, unit, None if number == 0 else _random_prior(game, rng))
        if end is not None:
            yield end


def _otherwise(
    game: NormalForm, starts: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, ...]]:
    """Where curves lead to no equilibrium. Of two players: the ends of paths in whole numbers; of
    more: curves of a game whose great losses are smaller, and pure equilibria."""
    if game.num_players == 2:
        yield from (exact_path(game, label) for label in range(sum(game.num_actions)))
        return
    if is_wide(*game.payoffs):
        mild = NormalForm(np.stack([_mild(u) for u in np.asarray(game.payoffs, np.float64)]))
        yield from (end for end in _ends(mild, starts, rng) if is_equilibrium(game, end))
    yield from (pure(game, a) for a in pure_action_profiles(game))


def _mild(payoffs: np.ndarray) -> np.ndarray:
    """The payoffs, the least of them raised until floats can tell the others apart."""
    levels = np.unique(payoffs)
    while len(levels) > 1 and is_wide(levels):
        levels = levels[1:]
    return np.maximum(payoffs, levels[0] - 10 * (levels[-1] - levels[0]))


def _end_of_curve(
    game: NormalForm, unit: NormalForm, prior: np.ndarray | None
) -> tuple[np.ndarray, ...] | None:
    """Follows the curve of `game` and tries to finish, from rationality 1000 on, at each doubling.
    `unit` is the same game in its players' own ranges."""
    cuts = np.cumsum(game.num_actions)[:-1]
    due, profile = 1000.0, None
    for point in trace(game, FAR, prior):
        profile = [np.exp(part) for part in np.split(point[:-1], cuts)]
        if point[-1] >= due:
            due = 2 * point[-1]
            done = _finished(unit, profile)
            if done is not None:
                return done
    return None if profile is None else _finished(unit, profile)


def _finished(unit: NormalForm, profile: list[np.ndarray]) -> tuple[np.ndarray, ...] | None:
    """The equilibrium near by, or None."""
    payoffs, tried = np.asarray(unit.payoffs), set()
    for cutoff in CUTOFFS:
        supports = [x > min(cutoff, float(x.max()) / 2) for x in profile]
        key = np.concatenate(supports).tobytes()
        if key in tried:
            continue
        tried.add(key)
        done = polished(payoffs, profile, supports)
        if done is None or max(float(np.abs(a - b).max()) for a, b in zip(done, profile)) > NEAR:
            continue
        if regret(unit, done) <= REGRET:
            return done
    return None


def _random_prior(game: NormalForm, rng: np.random.Generator) -> np.ndarray:
    weights = [rng.exponential(size=n) + 1e-6 for n in game.num_actions]
    return np.concatenate([np.log(w / w.sum()) for w in weights])


def _same(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> bool:
    return all(np.abs(a - b).max() < 1e-7 for a, b in zip(one, other))
