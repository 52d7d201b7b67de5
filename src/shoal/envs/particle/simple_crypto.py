"""Crypto: Alice must tell Bob a bit in public so that Eve, who listens, does not understand.

Alice and Bob share a random key. Each listener's message is its guess; Bob's error costs the good
team, Eve's earns it as much (`mpe2.simple_crypto_v3`). Nobody moves. A guess of all zeros is no
guess: it is paid and charged nothing.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shoal.core.env import Action
from shoal.core.picture import Shape
from shoal.envs.particle import palette
from shoal.envs.particle.drawing import ring
from shoal.envs.particle.scene import Number, Scene, Vector
from shoal.envs.particle.scripted import steer
from shoal.envs.particle.world import Body, ParticleState, ParticleWorld, landmark

EVE, BOB, ALICE = range(3)
BITS = 2  # what there is to say: 0 or 1, and as many keys


class SimpleCrypto(ParticleWorld):
    """`goal[0]` is the bit to say, `goal[1]` the key that Alice and Bob share.

    Observation:
        Bit and key are one-hot vectors as wide as a message (4). Eve hears Alice's last message;
        Bob sees the key and hears the message; Alice sees the bit and the key.

    Reward:
        Of the squared errors of both guesses, Eve pays her own, and Alice and Bob each get Eve's
        less Bob's. A guess of all zeros counts as an error of 0.

    Metrics:
        bob_accuracy: Share of steps on which the largest entry of Bob's guess was the bit.
        eve_accuracy: Share of steps on which Eve's was.
        secrecy: Share of steps on which Bob was right and Eve was not.
    """

    name = "mpe/simple_crypto"
    channel = 4
    spread = 1.0
    metric_reductions = (("bob_accuracy", "mean"), ("eve_accuracy", "mean"), ("secrecy", "mean"))

    @property
    def agents(self) -> tuple[Body, ...]:
        return (
            Body("eve_0", movable=False, collides=False, speaks=True, color=palette.RED),
            Body("bob_0", movable=False, collides=False, speaks=True, role=1, team=1),
            Body("alice_0", 0.05, False, False, speaks=True, role=2, team=1, color=palette.TEAL),
        )

    @property
    def landmarks(self) -> tuple[Body, ...]:
        return tuple(landmark(f"landmark {i}") for i in range(BITS))

    @property
    def goals(self) -> tuple[int, ...]:
        return (BITS, BITS)

    def observe(self, scene: Scene) -> list[Float[Array, "D_i"]]:
        bit, key = (self._symbol(g) for g in scene.goal)
        heard = scene.message[ALICE]
        return [heard, jnp.concatenate([key, heard]), jnp.concatenate([bit, key])]

    def _symbol(self, goal: Array) -> Float[Array, "4"]:
        return (goal == jnp.arange(self.channel)).astype(jnp.float32)

    def _error(self, scene: Scene, listener: int) -> Float[Array, ""]:
        """The squared error of a listener's guess, 0 where it makes none."""
        guess = scene.message[listener]
        error = jnp.square(guess - self._symbol(scene.goal[0])).sum()
        return jnp.where((guess == 0).all(), 0.0, error)

    def reward(self, scene: Scene) -> list[Number]:
        eve, bob = self._error(scene, EVE), self._error(scene, BOB)
        return [-eve, eve - bob, eve - bob]

    def _right(self, scene: Scene, listener: int) -> Bool[Array, ""]:
        guess = scene.message[listener]
        return (guess.argmax() == scene.goal[0]) & (guess > 0).any()

    def measure(self, scene: Scene) -> dict[str, Array | float]:
        eve, bob = self._right(scene, EVE), self._right(scene, BOB)
        return {"bob_accuracy": bob, "eve_accuracy": eve, "secrecy": bob & ~eve}

    def scripted(self, state: ParticleState) -> Action:
        """A one-time pad: Alice says the bit plus the key (modulo 2), Bob says the bit that this
        gives away to who has the key, and Eve repeats what she heard."""
        scene = self.scene(state)
        bit, key = scene.goal
        words = {EVE: scene.message[ALICE].argmax(), BOB: bit, ALICE: (bit + key) % BITS}
        return steer(self, scene, scene.agents, words)

    def destinations(self, scene: Scene) -> dict[str, Vector]:
        """None: landmarks stand for bits."""
        return {}

    def goal_marks(self, scene: Scene) -> list[Shape]:
        """A ring around the landmark that stands for the bit."""
        k = int(scene.goal[0])
        return [ring(self.landmarks[k], scene.landmarks[k])]
