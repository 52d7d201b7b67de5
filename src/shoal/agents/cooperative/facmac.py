r"""FACMAC: one value of a team, mixed from each agent's, which all actors climb at once.

$$
\begin{aligned}
\text{critic:} \quad & \min\ E[(Q_{tot}(s, Q_1(o_1, a_1), \dots, Q_N(o_N, a_N)) - y)^2] \\
& y = r + \gamma\, Q'_{tot}(s', Q'_1(o'_1, \mu'_1(o'_1)), \dots) \\
\text{actors:} \quad & \min\ E[-Q_{tot}(s, Q_1(o_1, \mu_1(o_1)), \dots, Q_N(o_N, \mu_N(o_N)))]
\end{aligned}
$$

The mixing network is QMIX's, and r the mean of the team's rewards. The gradient is central: where
MADDPG takes the others' actions from the replay, here every actor answers to what the others would
do now. No action is looked for by the mixture, so that it need not be monotonic.
Peng et al. 2021, arXiv:2003.06709.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.agents.cooperative.maddpg import MADDPG
from shoal.agents.cooperative.qmix import StateMix
from shoal.agents.experience import Experience
from shoal.core.algorithm import Metrics
from shoal.core.descend import Params
from shoal.core.env import EnvSpec
from shoal.core.errors import require
from shoal.core.limits import Count
from shoal.core.parallel import weighted_mean
from shoal.nn.critics import state_inputs
from shoal.nn.mixers import Choice, NetworkMixer, TeamMixer, agents_of_team


class FACMAC(MADDPG):
    """Deterministic policies of one team, which climb its value together."""

    critic: Literal["local"] = eqx.field(static=True, default="local")
    """What critics read besides the agent's own action: what it sees. The mixture reads the state.
    """
    embed: Count = eqx.field(static=True, default=32)
    """Width of the mixing network's hidden layer."""
    hypernet: Count = eqx.field(static=True, default=64)
    """Width of the hidden layers that make its weights from the state."""
    monotonic: bool = eqx.field(static=True, default=True)
    """Whether the team's value never falls when an agent's rises."""

    with_target = ("actor", "critic", "mixer")
    valuing = ("critic", "mixer")

    def error(
        self, params: Params, slow: Params, batch: Experience, next_action: Array
    ) -> tuple[Float[Array, ""], Metrics]:
        q, next_q, seen = self.critic_values(params, slow, batch, next_action)
        total = mixed(params["mixer"], q, batch.active, batch.state)
        next_q = mixed(slow["mixer"], next_q[..., 0], batch.present, batch.next_state)
        team = as_one(batch)
        y, settled = self.td_targets(team, next_q.min(0))
        errors = (total - y).mean(0) * (settled > 0)
        q_mean = weighted_mean(total[0], self.weight_of(team))
        metrics = {"q_mean": q_mean, "errors": errors, "seen": seen}
        return weighted_mean(((total - y) ** 2).sum(0), settled), metrics

    def worth(
        self, params: Params, batch: Experience, action: Array
    ) -> tuple[Float[Array, "L M K"], Float[Array, "L M K"]]:
        """The first value of the team, K = 1, of what all do at once."""
        here, carry = batch.now(batch.action), batch.first_carry[1]
        q = params["critic"].unroll(here, carry, batch.starts, action)[..., 0]
        total = mixed(params["mixer"], q, batch.active, batch.state)[0]
        return total, self.weight_of(as_one(batch))

    # Networks.

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        teams = len(agents_of_team(spec))
        require(
            teams == 1,
            f"facmac learns one value of one team and {spec.name} has {teams} teams: use maddpg",
        )

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> Params:
        key, key_mixer = jax.random.split(key)
        size, sizes = state_inputs(spec)[0], (self.embed, self.hypernet, self.monotonic)
        make = lambda n, key: StateMix(n, size, *sizes, key=key)  # noqa: E731
        keys = jax.random.split(key_mixer, self.critics)
        mixers = tuple(NetworkMixer.of(spec, make, key) for key in keys)
        return super().start(spec, key) | {"mixer": mixers}

    def groups_of(self, spec: EnvSpec, name: str) -> int:
        return 1 if name == "mixer" else super().groups_of(spec, name)

    def reads_state(self, params: Params) -> bool:
        return True


def mixed(
    mixers: tuple[TeamMixer, ...],
    q: Float[Array, "K L M N"],
    acts: Bool[Array, "L M N"],
    state: Float[Array, "L M S"] | None,
) -> Float[Array, "K L M 1"]:
    """The team's values, one of each critic's; who does not act adds nothing."""
    q, nothing = jnp.where(acts, q, 0.0), jnp.full(acts.shape, -1)
    return jnp.stack([mix(Choice(x, x, nothing, state)) for mix, x in zip(mixers, q)])


def as_one(batch: Experience) -> Experience:
    """What a team is paid, and whether it acts and goes on, as one agent's."""

    def any_(x: Bool[Array, "L M N"]) -> Bool[Array, "L M 1"]:
        return x.any(-1, keepdims=True)

    return eqx.tree_at(
        lambda b: (b.reward, b.active, b.next_active, b.cut, b.gone),
        batch,
        (
            batch.reward.mean(-1, keepdims=True),
            any_(batch.active),
            any_(batch.present),
            any_(batch.cut),
            ~any_(~batch.gone),
        ),
    )


def facmac(**overrides: Any) -> FACMAC:
    """Factored critics and a central gradient. `overrides` are fields of `FACMAC`.

    When to use it:
        A team with a common reward: all actors climb its one value at once, given what the others
        would do now.

    What breaks it:
        Several teams, or rewards of each agent's own: it is refused where there is more than one
        team, and learns from the team's mean reward.
    """
    return FACMAC(**overrides)
