"""Counterfactual regret minimization: at every information set, act by regrets.

    R(s, a) += q(s, a) - v(s),   policy(a | s) = max(0, R(s, a)) / sum_b max(0, R(s, b))

The average policy, weighted by the player's own reach, tends to equilibrium in zero-sum games of
two. Zinkevich et al., Regret minimization in games with incomplete information (2007); CFR+:
Tammelin (2014), arXiv:1407.5042; discounted: Brown & Sandholm (2019), arXiv:1809.04040; by
sampling: Lanctot et al. (2009).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.errors import require, unknown
from shoal.games.extensive.sequence_arrays import sequence_arrays
from shoal.games.extensive.sequences import (
    Choices,
    SequenceForm,
    backward,
    follow_policy,
    improvements,
    normalized,
    reach,
    sequence_gains,
)
from shoal.games.extensive.tree import ExtensiveForm


class Variant(NamedTuple):
    """After iteration t positive regrets are multiplied by t^alpha / (t^alpha + 1), negative ones
    by the same of beta, and policies count t^gamma in the average."""

    alpha: float = np.inf
    beta: float = np.inf
    gamma: float = 0.0
    alternating: bool = True
    """Whether a player meets the policies that those before it have just updated."""
    sampled: bool = False
    """Whether chance and the others move by sampled pure policies (external sampling)."""


VARIANTS = {
    "cfr": Variant(),
    "simultaneous": Variant(alternating=False),
    "cfr+": Variant(beta=-np.inf, gamma=1.0),
    "linear": Variant(alpha=1.0, beta=1.0, gamma=1.0),
    "discounted": Variant(alpha=1.5, beta=0.0, gamma=2.0),
    "mccfr": Variant(sampled=True),
}


@dataclass(frozen=True)
class CFRResult:
    """The average policy, and its certificate: how far from equilibrium it was on the way."""

    policy: Float[np.ndarray, "I A"] | Float[np.ndarray, "seeds I A"]
    """The average policy of the game."""
    nash_conv: Float[np.ndarray, "E"] | Float[np.ndarray, "seeds E"]
    """NashConv of the average policy after each of `iterations`; the last is that of `policy`."""
    iterations: Int[np.ndarray, "E"]
    """When it was measured."""
    variant: str
    """The name of the variant."""
    parameters: dict[str, Any]
    """Its exponents, whether it alternates or samples, and the seeds."""


def cfr(
    game: ExtensiveForm,
    iterations: int,
    variant: str = "cfr",
    *,
    report: int | Sequence[int] = 1,
    seeds: int | Sequence[int] = 0,
    **exponents: float,
) -> CFRResult:
    """Runs `iterations` of CFR over the whole tree, compiled.

    Args:
        game: any number of players with perfect recall; only zero-sum games of two are sure to
            come to an equilibrium.
        iterations: in each, every player updates once.
        variant: `cfr` (alternating updates), `simultaneous`, `cfr+` (linear averaging), `linear`,
            `discounted` (alpha 3/2, beta 0, gamma 2), or `mccfr` (external sampling).
        report: when to measure NashConv, which takes about as long as an iteration: every so many
            iterations (after each, unless told otherwise), or after those listed; always
            at the end.
        seeds: for `mccfr`: a seed, or several to be run side by side, which all results then
            have as their first axis. An iteration samples one action for every information set and
            averages over the whole tree, so that it costs what one of `cfr` does.
        exponents: `alpha`, `beta`, `gamma` in place of the variant's; see `Variant`.

    Raises:
        UserError: the variant or an exponent is unknown, seeds are given for a method without
            chance, or a player forgets.

    >>> from shoal.games.extensive.kuhn import kuhn
    >>> bool(cfr(kuhn(), 100, "cfr+").nash_conv[-1] < 0.0025)
    True
    """
    chosen = _variant(variant, exponents)
    marks = _marks(iterations, report)
    several = not isinstance(seeds, int | np.integer)
    unseeded = not several and seeds == 0
    require(chosen.sampled or unseeded, f"variant '{variant}' has no chance: give no seeds")
    form = sequence_arrays(game, chance_plays=chosen.sampled)
    with jax.enable_x64(True):
        keys = jax.vmap(jax.random.key)(np.atleast_1d(np.asarray(seeds, np.uint32)))
        exponent = np.array(chosen[:3], np.float64)
        averages, gaps = _run(form, marks, exponent, keys, chosen.alternating, chosen.sampled)
        policy = np.zeros((len(keys), *game.legal.shape))
        for choices, average in zip(form.choices, averages[: game.num_players]):
            policy[:, choices.infosets, : average.shape[-1]] = average
    policy, gaps = (x if several else x[0] for x in (policy, np.asarray(gaps)))
    parameters = chosen._asdict() | ({"seeds": seeds} if chosen.sampled else {})
    return CFRResult(policy, gaps, marks, variant, parameters)


class State(NamedTuple):
    """What an iteration changes; a tuple has one entry for each player."""

    t: Int[Array, ""]
    """Iterations done."""
    regrets: tuple[Float[Array, "I A"], ...]
    """The (discounted) sums of regrets."""
    policies: tuple[Float[Array, "I A"], ...]
    """The current policies; that of chance comes last, where it plays."""
    reaches: tuple[Float[Array, "S_and_1"], ...]
    """The probabilities that these give to sequences."""
    sums: tuple[Float[Array, "S_and_1"], ...]
    """Sums of `reaches`, by weight: the average policies, in sequence form."""


@partial(jax.jit, static_argnames=("alternating", "sampled"))
def _run(
    form: SequenceForm,
    marks: Any,
    exponents: Any,
    keys: Any,
    alternating: bool,
    sampled: bool,
) -> tuple[Any, Any]:
    """The average policies at the last mark, and NashConv at each, for each key."""

    def one(key: PRNGKeyArray) -> tuple[Any, Any]:
        def step(state: State) -> State:
            return iterate(form, state, exponents, key, alternating, sampled)

        def until(state: State, mark: Any) -> tuple[State, Any]:
            state = jax.lax.while_loop(lambda s: s.t < mark, step, state)
            return state, improvements(form, average(form, state)).sum()

        state, gaps = jax.lax.scan(until, start(form), marks)
        return average(form, state), gaps

    return jax.vmap(one)(keys)


def start(form: SequenceForm) -> State:
    """No regrets, and so uniform policies."""
    players = form.choices[: len(form.gains)]
    policies = [normalized(jnp.zeros(c.legal.shape), jnp.asarray(c.legal)) for c in players]
    if form.chance is not None:
        policies.append(jnp.asarray(form.chance))
    reaches = tuple(reach(c, p) for c, p in zip(form.choices, policies))
    return State(
        t=jnp.asarray(0),
        regrets=tuple(jnp.zeros(c.legal.shape) for c in players),
        policies=tuple(policies),
        reaches=reaches,
        sums=tuple(jnp.zeros_like(x) for x in reaches[: len(players)]),
    )


def iterate(
    form: SequenceForm,
    state: State,
    exponents: Float[Array, "3"] | Float[np.ndarray, "3"],
    key: PRNGKeyArray,
    alternating: bool = True,
    sampled: bool = False,
) -> State:
    """One iteration: every player's regrets, its policy, and its average."""
    t = state.t + 1
    alpha, beta, gamma = (exponents[i] for i in range(3))
    rate = t.astype(exponents.dtype)
    keep, keep_negative, weight = _discount(rate, alpha), _discount(rate, beta), rate**gamma
    regrets, policies, reaches = (list(x) for x in (state.regrets, state.policies, state.reaches))
    sums = [total + weight * x for total, x in zip(state.sums, state.reaches)]
    for i, (mine, gains) in enumerate(zip(form.choices, form.gains)):
        met = reaches if alternating else state.reaches
        if sampled:
            met = _sampled(jax.random.fold_in(jax.random.fold_in(key, t), i), form, policies)
        worth = sequence_gains(gains, met)
        q, v, _ = backward(mine, worth, follow_policy(state.policies[i]))
        regret = regrets[i] + jnp.where(mine.legal, q - v[:, None], 0.0)
        regrets[i] = regret * jnp.where(regret > 0, keep, keep_negative)
        policies[i] = normalized(jnp.maximum(regrets[i], 0.0), jnp.asarray(mine.legal))
        reaches[i] = reach(mine, policies[i])
    return State(t, tuple(regrets), tuple(policies), tuple(reaches), tuple(sums))


def average(form: SequenceForm, state: State) -> tuple[Any, ...]:
    """The average policies, each `[I, A]`; uniform where a player has never come."""
    out = [
        normalized(total[:-1].reshape(c.legal.shape), jnp.asarray(c.legal))
        for c, total in zip(form.choices, state.sums)
    ]
    return (*out, *state.policies[len(out) :])


def _discount(t: Any, exponent: Any) -> Any:
    """t^e / (t^e + 1), and its limits 1 and 0 for infinite e."""
    return jnp.where(jnp.isinf(exponent), exponent > 0, 1 / (1 + t**-exponent))


def _sampled(key: PRNGKeyArray, form: SequenceForm, policies: Sequence[Any]) -> list[Any]:
    """How each one reaches its sequences by a pure policy drawn from its policy."""
    keys = jax.random.split(key, len(policies))
    return [reach(c, _draw(k, c, p)) for k, c, p in zip(keys, form.choices, policies)]


def _draw(key: PRNGKeyArray, choices: Choices, policy: Any) -> Any:
    """One action for each information set, `[I, A]`, as zeros and ones."""
    below = jnp.cumsum(policy, -1)
    at = jax.random.uniform(key, (len(policy), 1), policy.dtype) * below[:, -1:]
    return jax.nn.one_hot((below > at).argmax(-1), policy.shape[-1], dtype=policy.dtype)


def _variant(name: str, exponents: dict[str, float]) -> Variant:
    if name not in VARIANTS:
        raise unknown("variant of CFR", name, VARIANTS)
    for exponent in exponents:
        if exponent not in ("alpha", "beta", "gamma"):
            raise unknown("option of cfr", exponent, ("alpha", "beta", "gamma", "report", "seeds"))
    return VARIANTS[name]._replace(**exponents)


def _marks(iterations: int, report: int | Sequence[int]) -> Int[np.ndarray, "E"]:
    require(iterations >= 1, f"iterations are {iterations}, expected at least 1")
    if isinstance(report, int):
        require(report >= 1, f"report is {report}, expected every 1 or more iterations")
        report = range(report, iterations + 1, report)
    marks = sorted({*report, iterations})
    require(
        marks[0] >= 1 and marks[-1] <= iterations,
        f"report goes from {marks[0]} to {marks[-1]}, expected from 1 to {iterations}",
    )
    return np.array(marks)
