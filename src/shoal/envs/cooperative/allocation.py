r"""A team divides goods among its members through a market that each sees from its own side.

Each agent has a purse of 1 and additive valuations that nobody else sees, drawn anew in each
episode. For some rounds all split their purses anew over the goods; only the last round counts.

    p_j = sum_i b_ij             price: the money that a good drew, which all see
    x_ij = b_ij / p_j            a divisible good is shared in proportion to the bids on it
    x_ij = 1 if i bids most      one that cannot be divided goes to the highest bid, the first of
                                 several; a good on which nobody bids stays with nobody
    u_i = sum_j v_ij x_ij        utility, with sum_j v_ij = N: in fair shares, so that an equal
                                 split is worth 1 to everyone, and utilities can be compared
    W = mean_i u_i, min_i u_i or (prod_i u_i)^(1/N)
    r[t] = W[t] - W[t - 1],      W[0] = 0, so that an episode's return is the last round's welfare

The trading post (Shapley and Shubik 1977) is the simplest rule that sells every good and needs no
auctioneer. An agent may keep money, which buys it nothing: with a purse that must be spent, who
wants least cannot stand back for the others, and the optima of utilitarian and egalitarian welfare
are out of reach. With it every division is the outcome of some bids.

What prices tell suffices for Nash welfare: in proportional response (Wu and Zhang 2007) each agent
bids on a good in proportion to what it gained from it in the last round, b_ij <- v_ij x_ij / u_i,
and the shares tend to those of the Fisher market's equilibrium (Zhang 2011), which maximises it
(Eisenberg and Gale 1959). The other two must be learned: who could stand back, and for whom.

Shapley and Shubik 1977, "Trade using one commodity as a means of payment"; Wu and Zhang 2007,
"Proportional response dynamics leads to market equilibrium"; Zhang 2011, "Proportional response
dynamics in the Fisher market"; Eisenberg and Gale 1959, "Consensus of subjective probabilities".
"""

from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.limits import Count, Several
from shoal.core.picture import Picture
from shoal.core.spaces import Box
from shoal.envs.cooperative.allocation_optimum import MOST_BUNDLED, best_allocations
from shoal.envs.cooperative.allocation_picture import market
from shoal.envs.cooperative.common_payoff import share

SPAN = 8.0  # a bid of 1 weighs e^8 - 1 times what one of log(2) / 8 does, and one of 0 nothing
LEAST = 1e-3  # prices below it look alike


class AllocationState(eqx.Module):
    """What goods are worth; the last round's actions and the welfare that they led to; rounds
    played. Before the first one all bid alike."""

    valuations: Float[Array, "N M"]
    action: Float[Array, "N A"]
    welfare: Float[Array, ""]
    time: Int[Array, ""]


class Allocation(Env):
    """N agents bid for M goods.

    Observation:
        Of each good what it is worth to the agent, the logarithm of that over its price, the share
        that the agent holds and its last action there (4 M numbers); the money that it kept and its
        utility (2); then, for all alike, the logarithm of each price (M) and the share of rounds
        that is left (1).

    Actions:
        A number in [0, 1] for each good and one for keeping money; the purse is split in proportion
        to `exp(8 a) - 1`.

    Reward:
        By how much the welfare of this round's division is above that of the last round's, for
        every agent: the return is the welfare of the last division.

    Metrics:
        share_of_optimum: The last round's welfare as a share of the exact optimum; 0 before it.
    """

    num_agents: Several = eqx.field(static=True, default=8)
    """How many bid."""
    num_goods: Count = eqx.field(static=True, default=12)
    """How many goods there are."""
    rounds: Count = eqx.field(static=True, default=20)
    """How often all bid; the last bids are final."""
    welfare: Literal["utilitarian", "egalitarian", "nash"] = eqx.field(static=True, default="nash")
    """What the team is paid: the mean of utilities, the least one, or their geometric mean."""
    divisible: bool = eqx.field(static=True, default=True)
    """Whether a good can be shared, or goes to the highest bid."""

    def __check_init__(self):
        if self.divisible or self.welfare == "utilitarian":
            return
        kind = f"{self.welfare} welfare of goods that cannot be divided"
        require(
            self.num_goods >= self.num_agents,
            f"num_goods is {self.num_goods}, but {kind} is 0 without a good for each of "
            f"{self.num_agents} agents",
        )
        require(
            self.num_goods <= MOST_BUNDLED,
            f"num_goods is {self.num_goods}, expected at most {MOST_BUNDLED} for the optimum of "
            f"{kind}",
        )

    @property
    def spec(self) -> EnvSpec:
        n, m = self.num_agents, self.num_goods
        return EnvSpec(
            name="coop/allocation",
            agents=tuple(f"agent_{i + 1}" for i in range(n)),
            obs_sizes=(5 * m + 3,) * n,
            action=Box(0.0, 1.0, (m + 1,) * n),
            horizon=self.rounds,
            state_size=n * (3 * m + 2) + 2,
            metrics=(("share_of_optimum", "last"),),
        )

    def reset(self, key: PRNGKeyArray) -> tuple[AllocationState, TimeStep]:
        shape = (self.num_agents, self.num_goods)
        drawn = 1.0 - jax.random.uniform(key, shape)  # uniform on (0, 1]
        valuations = self.num_agents * drawn / drawn.sum(1, keepdims=True)
        action = actions(jnp.full(shape, 1.0 / self.num_goods))
        state = AllocationState(valuations, action, jnp.float32(0), jnp.int32(0))
        return state, self._show(state, jnp.float32(0), jnp.float32(0))

    def step(
        self, key: PRNGKeyArray, state: AllocationState, action: Action
    ) -> tuple[AllocationState, TimeStep]:
        del key
        action = jnp.clip(action, 0.0, 1.0)
        welfare = self._welfare(state.valuations, self.shares(action))
        after = AllocationState(state.valuations, action, welfare, state.time + 1)
        best = self.optimum(after, after.time >= self.rounds)
        most = self._welfare(state.valuations, best)  # 0 before the last round
        return after, self._show(after, welfare - state.welfare, share(welfare, most))

    def shares(self, action: Float[Array, "N A"]) -> Float[Array, "N M"]:
        """How much of each good every agent gets for its bids."""
        bid = bids(action)
        if self.divisible:
            price = bid.sum(0)
            return bid / jnp.where(price > 0, price, 1.0)
        wins = jax.nn.one_hot(bid.argmax(0), self.num_agents, axis=0)
        return jnp.where(bid.max(0) > 0, wins, 0.0)

    def optimum(self, state: AllocationState, wanted: bool | Array = True) -> Float[Array, "N M"]:
        """Shares of the greatest welfare, solved on the host; zeros, at no cost, unless wanted."""
        return jax.pure_callback(
            partial(best_allocations, self.welfare, self.divisible),
            jax.ShapeDtypeStruct(state.valuations.shape, jnp.float32),
            state.valuations,
            jnp.asarray(wanted),
            vmap_method="broadcast_all",
        )

    def _welfare(
        self, valuations: Float[Array, "N M"], shares: Float[Array, "N M"]
    ) -> Float[Array, ""]:
        utility = (valuations * shares).sum(1)
        match self.welfare:
            case "utilitarian":
                return utility.mean()
            case "egalitarian":
                return utility.min()
            case "nash":
                return jnp.exp(jnp.log(utility).mean())

    def _show(
        self, state: AllocationState, reward: Float[Array, ""], reached: Float[Array, ""]
    ) -> TimeStep:
        n, m = state.valuations.shape
        bid, held = bids(state.action), self.shares(state.action)
        worth = state.valuations * m / n  # of mean 1, as prices are where all is spent
        price = jnp.log(jnp.maximum(bid.sum(0) * m / n, LEAST))
        gain = jnp.log(jnp.maximum(worth, LEAST)) - price
        kept = 1.0 - bid.sum(1, keepdims=True)
        utility = (state.valuations * held).sum(1, keepdims=True)
        left = 1.0 - state.time / self.rounds
        own = (worth, gain, held, state.action[:, :m], kept, utility)
        everyone = (jnp.broadcast_to(x, (n, x.size)) for x in (price, left))
        whole = (worth, bid, held, kept, utility, state.welfare, left)
        return TimeStep.of(
            jnp.concatenate([*own, *everyone], axis=1),
            reward=reward,
            terminated=state.time >= self.rounds,
            global_state=jnp.concatenate([x.ravel() for x in whole]),
            metrics={"share_of_optimum": reached},
        )

    def scripted(self, state: AllocationState) -> Action:
        """Proportional response where it leads to the optimum; else bids that buy the optimum,
        which the controller knows."""
        if self.divisible and self.welfare == "nash":
            gained = state.valuations * self.shares(state.action)
            nothing = gained.sum(1, keepdims=True) == 0  # whose bids would stay at 0 for ever
            gained = jnp.where(nothing, state.valuations, gained)
            return actions(gained / gained.sum(1, keepdims=True))
        best = self.optimum(state)
        return actions(best / best.sum(1).max())

    def draw(self, state: AllocationState) -> Picture:
        """Who holds what share of which good and what it is worth to it, prices, utilities, and the
        welfare as a share of the optimum."""
        values = np.asarray(state.valuations)
        best = best_allocations(self.welfare, self.divisible, values, np.ones((), bool))
        most = float(self._welfare(state.valuations, jnp.asarray(best)))
        held = self.shares(state.action)
        now = float(self._welfare(state.valuations, held))
        return market(
            values,
            np.asarray(held),
            np.asarray(bids(state.action)),
            title=f"round {int(state.time)} of {self.rounds}"
            + ("" if int(state.time) else ": before it all bid alike"),
            result=f"{self.welfare} welfare {now:.3f}, {now / most:.1%} of the optimum {most:.3f}",
        )


def bids(action: Float[Array, "N A"]) -> Float[Array, "N M"]:
    """What each agent bids on each good, of a purse of 1; the rest it keeps."""
    weight = jnp.expm1(SPAN * action)
    total = weight.sum(1, keepdims=True)
    return weight[:, :-1] / jnp.where(total > 0, total, 1.0)


def actions(bids: Float[Array, "N M"]) -> Float[Array, "N A"]:
    """Actions that bid so: the inverse of `bids`."""
    kept = jnp.maximum(1.0 - bids.sum(1, keepdims=True), 0.0)
    weight = jnp.concatenate([bids, kept], axis=1)
    return jnp.log1p(weight / weight.max(1, keepdims=True) * np.expm1(SPAN)) / SPAN
