"""A card game of one bluff: Myerson, Game Theory, 1991, section 2.1."""

from shoal.games.extensive.tree import CHANCE, TERMINAL


class Bluff:
    """Both ante 1. One looks at a card, which wins if it is red, and folds or raises by 1; the
    other, who has not seen it, folds or calls. A state is what has happened so far."""

    title = "bluff"
    players = ("dealer", "guest")

    def start(self):
        return ()

    def to_move(self, state):
        over = state[1:] == ("fold",) or len(state) == 3
        return TERMINAL if over else (CHANCE, 0, 1)[len(state)]

    def chances(self, state):
        return [("red", 0.5), ("black", 0.5)]

    def actions(self, state):
        return ("raise", "fold") if len(state) == 1 else ("call", "fold")

    def play(self, state, move):
        return (*state, move)

    def sees(self, state):
        return state[0] if len(state) == 1 else "a raise"

    def returns(self, state):
        if state[-1] == "fold":  # whoever folds loses the ante
            gain = -1 if len(state) == 2 else 1
        else:
            gain = 2 if state[0] == "red" else -2
        return gain, -gain
