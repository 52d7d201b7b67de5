"""Any game as a world, so that any algorithm learns in it."""

from shoal.envs.game.repeated import RepeatedGame, repeated
from shoal.envs.game.trees import GambitTree
from shoal.games.extensive.tree import ExtensiveForm
from shoal.games.gambit.efg import write_efg
from shoal.games.normal_form import NormalForm


def as_world(
    game: NormalForm | ExtensiveForm, rounds: int = 1, memory: int = 0
) -> RepeatedGame | GambitTree:
    """The environment in which the game is played: any algorithm learns in it.

    Args:
        game: a table of payoffs, or a tree.
        rounds: how often a table is played in an episode.
        memory: how many past rounds the players see.

    Raises:
        UserError: `rounds` is not positive, or `memory` is negative.
    """
    if isinstance(game, ExtensiveForm):
        return GambitTree(write_efg(game))
    return repeated(game, rounds, memory)
