"""Classic games as worlds, by the names that `shoal list environments` shows."""

import dataclasses
from typing import Any

from shoal.envs.game.repeated import RepeatedGame, repeated
from shoal.games.classic import classic


def prisoners_dilemma(**fields: Any) -> RepeatedGame:
    """Each gains by betraying the other, and both lose by it."""
    return _named("prisoners_dilemma", fields)


def stag_hunt(**fields: Any) -> RepeatedGame:
    """Hunt a stag together, or a hare alone."""
    return _named("stag_hunt", fields)


def chicken(**fields: Any) -> RepeatedGame:
    """Who swerves loses a little, if nobody does all is lost."""
    return _named("chicken", fields)


def hawk_dove(**fields: Any) -> RepeatedGame:
    """Fight or share: a fight costs more than the prize."""
    return _named("hawk_dove", fields)


def battle_of_the_sexes(**fields: Any) -> RepeatedGame:
    """Both want to meet, each at another place."""
    return _named("battle_of_the_sexes", fields)


def matching_pennies(**fields: Any) -> RepeatedGame:
    """One wins if the coins are alike, the other if not."""
    return _named("matching_pennies", fields)


def rock_paper_scissors(**fields: Any) -> RepeatedGame:
    """Each action beats one and loses to one."""
    return _named("rock_paper_scissors", fields)


def coordination(**fields: Any) -> RepeatedGame:
    """All that counts is to do the same."""
    return _named("coordination", fields)


def shapley(**fields: Any) -> RepeatedGame:
    """Shapley's game, in which fictitious play cycles for ever."""
    return _named("shapley", fields)


def _named(name: str, fields: dict[str, Any]) -> RepeatedGame:
    return dataclasses.replace(repeated(classic(name), name=f"game/{name}"), **fields)
