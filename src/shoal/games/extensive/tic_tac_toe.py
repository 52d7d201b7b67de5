"""Tic-tac-toe: three in a row win. A draw, when both play well.

The game of perfect information that everybody knows; the whole tree has 549,946 nodes.
"""

from collections.abc import Sequence

from shoal.games.extensive.tree import TERMINAL, ExtensiveForm, extensive_form

LINES = (
    *((3 * i, 3 * i + 1, 3 * i + 2) for i in range(3)),
    *((i, i + 3, i + 6) for i in range(3)),
    (0, 4, 8),
    (2, 4, 6),
)


def tic_tac_toe() -> ExtensiveForm:
    """Tic-tac-toe on 3 by 3 squares; gains are 1 for the winner and -1 for the loser.

    An information set is a history of moves, not a board, so that recall is perfect.
    """
    return extensive_form(_TicTacToe())


class _TicTacToe:
    """A state is the squares taken, in turn; they are numbered by rows, from 0."""

    players = ("x", "o")
    title = "tic-tac-toe"

    def start(self) -> tuple[int, ...]:
        return ()

    def to_move(self, state: tuple[int, ...]) -> int:
        return TERMINAL if len(state) == 9 or _has_won(state) else len(state) % 2

    def chances(self, state: tuple[int, ...]) -> Sequence[tuple[int, float]]:
        return []

    def actions(self, state: tuple[int, ...]) -> Sequence[int]:
        return [square for square in range(9) if square not in state]

    def play(self, state: tuple[int, ...], move: int) -> tuple[int, ...]:
        return (*state, move)

    def sees(self, state: tuple[int, ...]) -> str:
        return "".join(map(str, state))

    def returns(self, state: tuple[int, ...]) -> Sequence[float]:
        if not _has_won(state):
            return 0.0, 0.0
        return (1.0, -1.0) if len(state) % 2 else (-1.0, 1.0)


def _has_won(state: tuple[int, ...]) -> bool:
    """Whether whoever took the last square has a line through it."""
    if len(state) < 5:
        return False
    last, mine = state[-1], state[-1::-2]
    return any(last in line and all(square in mine for square in line) for line in LINES)
