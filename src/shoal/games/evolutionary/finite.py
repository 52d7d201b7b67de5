"""Evolution of a finite population: who takes it over, and how long each strategy prevails.

    rho = 1 / (1 + sum_l prod_{k <= l} T-(k) / T+(k))       one mutant among Z, birth and death
    log T- / T+ = beta (gain of residents - gain of mutants)   pairwise comparison, Moran

All sums in logarithms, so that any selection and population size serves. Moran 1958; Traulsen,
Nowak, Pacheco 2006; Fudenberg, Imhof 2006 for rare mutations.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logsumexp

from shoal.core.errors import require, unknown
from shoal.games.evolutionary.markov import imbalance, stationary
from shoal.games.evolutionary.populations import as_symmetric, group_gains
from shoal.games.normal_form import NormalForm


class AbstractProcess(ABC):
    """How one member of the population at a time takes another strategy."""

    @abstractmethod
    def log_ratio(self, mutant: np.ndarray, resident: np.ndarray) -> np.ndarray:
        """log T-/T+: of the chances that there is one mutant fewer, or more, for their gains."""

    @abstractmethod
    def switches(self, counts: np.ndarray, gains: np.ndarray, mutation: float) -> np.ndarray:
        """The chance `[K, S, S]` that in a step one member goes from strategy i to j, in K states
        of `counts` `[K, S]` where the strategies gain `gains` `[K, S]`. The diagonal is not read.
        """


@dataclass(frozen=True)
class PairwiseComparison(AbstractProcess):
    """A member compares itself with another, and takes its strategy with chance
    1 / (1 + exp(-beta (their gain - own gain))): Fermi's rule."""

    beta: float | int
    """The strength of selection; 0 is neutral drift."""

    def __post_init__(self) -> None:
        require(self.beta >= 0, f"beta is {self.beta}, expected at least 0")

    def log_ratio(self, mutant: np.ndarray, resident: np.ndarray) -> np.ndarray:
        return self.beta * (resident - mutant)

    def switches(self, counts: np.ndarray, gains: np.ndarray, mutation: float) -> np.ndarray:
        size = counts.sum(-1)[:, None, None]
        meets = counts[:, :, None] / size * counts[:, None, :] / (size - 1)
        adopts = expit(self.beta * (gains[:, None, :] - gains[:, :, None]))
        at_random = counts[:, :, None] / size / (counts.shape[1] - 1)
        return (1 - mutation) * meets * adopts + mutation * at_random


@dataclass(frozen=True)
class Moran(AbstractProcess):
    """One is born, in proportion to fitness, and replaces one at random."""

    beta: float | int
    """The strength of selection."""
    fitness: str = "exponential"
    """exp(beta gain), or 1 - beta + beta gain, which needs gains that keep it above 0."""

    def __post_init__(self) -> None:
        require(self.beta >= 0, f"beta is {self.beta}, expected at least 0")
        if self.fitness not in ("exponential", "linear"):
            raise unknown("fitness", self.fitness, ["exponential", "linear"])

    def log_fitness(self, gains: np.ndarray) -> np.ndarray:
        if self.fitness == "exponential":
            return self.beta * gains
        fitness = 1 - self.beta + self.beta * gains
        require(bool((fitness > 0).all()), f"fitness falls to {fitness.min():g}, expected > 0")
        return np.log(fitness)

    def log_ratio(self, mutant: np.ndarray, resident: np.ndarray) -> np.ndarray:
        return self.log_fitness(resident) - self.log_fitness(mutant)

    def switches(self, counts: np.ndarray, gains: np.ndarray, mutation: float) -> np.ndarray:
        size, kinds = counts.sum(-1)[:, None, None], counts.shape[1]
        fitness = self.log_fitness(gains)
        born = counts * np.exp(fitness - fitness.max(-1, keepdims=True))
        born = born / born.sum(-1, keepdims=True)
        turned = (1 - mutation) * born + mutation * (1 - born) / (kinds - 1)
        return counts[:, :, None] / size * turned[:, None, :]


def log_fixation(log_ratios: Float[np.ndarray, "*S K"]) -> Float[np.ndarray, "*S"]:
    """The logarithm of the chance that one mutant takes over, from log T-/T+ at 1, ..., Z-1."""
    path = np.cumsum(log_ratios, axis=-1)
    start = np.zeros((*path.shape[:-1], 1))
    return np.asarray(-np.asarray(logsumexp(np.concatenate([start, path], -1), axis=-1)))


def log_constant_fixation(
    advantage: Float[np.ndarray, "*S"], population: int
) -> Float[np.ndarray, "*S"]:
    """`log_fixation` where log T-/T+ is -u always: log (1 - e**-u) / (1 - e**-Zu).

    Args:
        advantage: u, such as log r for a mutant of constant fitness r.
        population: Z.
    """
    u = np.abs(advantage)
    some = np.where(u > 0, u, 1.0)
    better = np.log(np.expm1(-some) / np.expm1(-population * some))
    better = np.where(u > 0, better, -np.log(population))
    return better + (population - 1) * np.minimum(advantage, 0)


def mixed_gains(
    game: NormalForm, mutant: int, resident: int, population: int
) -> tuple[Float[np.ndarray, "K"], Float[np.ndarray, "K"]]:
    """What a mutant and a resident gain on average where there are 1, ..., Z-1 mutants and groups
    of the game's N players form at random, nobody meeting themselves."""
    others = game.num_players - 1
    gains = group_gains(game, mutant, resident)
    # How many groups have j mutants besides oneself; whole numbers, so that ties stay ties.
    ways = np.array(
        [
            [comb(k, j) * comb(population - 1 - k, others - j) for j in range(others + 1)]
            for k in range(population)
        ],
        float,
    )
    groups = comb(population - 1, others)
    return ways[:-1] @ gains[0] / groups, ways[1:] @ gains[1] / groups


def fixation_probability(
    game: Any, mutant: int, resident: int, population: int, process: AbstractProcess
) -> float:
    """The chance that the descendants of one mutant take over a population of residents.

    >>> drift = fixation_probability([[1, 1], [1, 1]], 0, 1, 40, PairwiseComparison(1.0))
    >>> round(1 / drift)
    40

    Args:
        game: a symmetric `NormalForm` of any number of players, or a matrix `[mine, other's]`.
        mutant: the number of its action.
        resident: the number of theirs.
        population: Z, at least 2 and at least the game's players.
        process: `PairwiseComparison(beta)` or `Moran(beta)`.

    Raises:
        UserError: the game is not symmetric, or a number is out of range.
    """
    game = _checked(game, population)
    count = game.num_actions[0]
    for name, action in (("mutant", mutant), ("resident", resident)):
        require(0 <= action < count, f"{name} is {action}, expected an action in 0..{count - 1}")
    gains = mixed_gains(game, mutant, resident, population)
    return float(np.exp(log_fixation(process.log_ratio(*gains))))


@dataclass(frozen=True)
class RareMutations:
    """A population that almost always plays one strategy, and which."""

    distribution: Float[np.ndarray, "S"]
    """The share of time that each strategy has the population."""
    log_fixation: Float[np.ndarray, "S S"]
    """The logarithm of the chance that one mutant (column) takes over from residents (row)."""
    transitions: Float[np.ndarray, "S S"]
    """The chain of takeovers: a mutant of each kind is as likely."""
    residual: float
    """The certificate: how much the distribution changes in a step of the chain."""
    method: str
    parameters: dict[str, Any]


def rare_mutations(game: Any, population: int, process: AbstractProcess) -> RareMutations:
    """The limit of few mutations: each takes over or vanishes before the next.

    Args and errors are those of `fixation_probability`.
    """
    game = _checked(game, population)
    rho = log_fixations(game, population, process)
    distribution = np.exp(stationary(rho))
    chain = takeovers(rho)
    return RareMutations(
        distribution,
        rho,
        chain,
        imbalance(chain, distribution),
        "elimination of states in logarithms",
        {"population": population, "process": process},
    )


def log_fixations(
    game: NormalForm, population: int, process: AbstractProcess
) -> Float[np.ndarray, "S S"]:
    """log rho of each mutant (column) among each kind of residents (row); -inf on the diagonal."""
    count = game.num_actions[0]
    out = np.full((count, count), -np.inf)
    for resident in range(count):
        for mutant in range(count):
            if mutant != resident:
                gains = mixed_gains(game, mutant, resident, population)
                out[resident, mutant] = log_fixation(process.log_ratio(*gains))
    return out


def takeovers(log_rho: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
    """The chain of chances: a mutant of each other kind is as likely; the diagonal makes it 1."""
    chain = np.exp(log_rho) / max(1, len(log_rho) - 1)
    np.fill_diagonal(chain, 0)
    np.fill_diagonal(chain, 1 - chain.sum(-1))
    return chain


def _checked(game: Any, population: int) -> NormalForm:
    game = as_symmetric(game)
    least = max(2, game.num_players)
    require(population >= least, f"population is {population}, expected at least {least}")
    return game
