"""What solvers of games return: the answer, how it was found, and a certificate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shoal.core.html_table import html_table
from shoal.games.normal_form import NormalForm, Profile, check_profile, regret


@dataclass(frozen=True)
class Equilibria:
    """Nash equilibria of a game. The certificate is `regrets`: the most that any player could
    gain by leaving each profile, computed from the payoffs after solving."""

    profiles: list[tuple[np.ndarray, ...]]
    """One mixed strategy `[A_i]` for each player, for each equilibrium."""
    regrets: list[float]
    """The regret of each profile."""
    method: str
    """The name of the method."""
    complete: bool
    """Whether the list is known to hold every equilibrium (every extreme one, where they form
    components)."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What the method was given."""
    components: list[list[int]] | None = None
    """Where the method tells them apart: connected sets of equilibria, each as the numbers of the
    profiles that span it. One number alone is an isolated equilibrium."""

    def __len__(self) -> int:
        return len(self.profiles)

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        return iter(self.profiles)

    def _repr_html_(self) -> str:
        rows = [
            (*(", ".join(f"{p:.4g}" for p in strategy) for strategy in profile), f"{regret:.3g}")
            for profile, regret in zip(self.profiles, self.regrets)
        ]
        players = range(1, 1 + max(map(len, self.profiles), default=0))
        return html_table([*(f"player {i}" for i in players), "regret"], rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        return self.profiles[index]


def certified(
    game: NormalForm, profiles: Sequence[Profile], method: str, complete: bool, **rest: Any
) -> Equilibria:
    """Computes the regret of each profile and puts all together."""
    checked = [check_profile(game, p) for p in profiles]
    return Equilibria(checked, [regret(game, p) for p in checked], method, complete, **rest)
