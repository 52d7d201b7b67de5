"""Images: convolutions over what an observation begins with, then layers over all of it.

Mnih et al. 2015 (Nature 518) for screens, two small layers for boards.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.nn.layer_norm import LayerNormMLP
from shoal.nn.mlp import ACTIVATIONS, MLP, Activation
from shoal.nn.orthogonal import orthogonal
from shoal.nn.residual import ResidualMLP

Image = tuple[int, int, int]  # height, width, channels
SCREEN = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # channels, kernel, stride
BOARD = ((16, 3, 1), (32, 3, 2))
SMALLEST_SCREEN = 36


class Convolution(eqx.Module):
    """A convolution without padding, `[M, H, W, C] -> [M, H', W', C']`; zero bias at first.

    Written as one product with all patches: inside a loop on a CPU, where learners live, XLA's own
    convolution takes 18 times as long.
    """

    weight: Float[Array, "K K C D"]
    bias: Float[Array, "D"]
    stride: int = eqx.field(static=True)

    def __init__(self, size_in: int, size_out: int, kernel: int, stride: int, *, key: PRNGKeyArray):
        flat = orthogonal(key, kernel * kernel * size_in, size_out, 2**0.5)
        self.weight = flat.reshape(kernel, kernel, size_in, size_out)
        self.bias = jnp.zeros(size_out)
        self.stride = stride

    def __call__(self, x: Float[Array, "M H W C"]) -> Float[Array, "M h w D"]:
        kernel, _, _, size_out = self.weight.shape
        height, width = (side_of(side, kernel, self.stride) for side in x.shape[1:3])

        def shifted(i: int, j: int) -> Array:
            ends = (i + self.stride * (height - 1) + 1, j + self.stride * (width - 1) + 1)
            last = (x.shape[0], *ends, x.shape[3])
            return jax.lax.slice(x, (0, i, j, 0), last, (1, self.stride, self.stride, 1))

        patches = [shifted(i, j) for i in range(kernel) for j in range(kernel)]
        flat = jnp.concatenate(patches, -1) @ self.weight.reshape(-1, size_out)
        return flat + self.bias


def side_of(side: int, kernel: int, stride: int) -> int:
    """The height or width of what a convolution without padding gives."""
    return (side - kernel) // stride + 1


class ImageTorso(eqx.Module):
    """`[M, in] -> [M, out]`, where `in` begins with flattened `images`. Images of one shape share
    their convolutions."""

    eyes: dict[str, tuple[Convolution, ...]]
    layers: MLP | LayerNormMLP | ResidualMLP
    images: tuple[Image, ...] = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        size_in: int,
        images: tuple[Image, ...],
        hidden: tuple[int, ...],
        activation: Activation,
        layers: Callable[..., Any] = MLP,
        *,
        key: PRNGKeyArray,
    ):
        key_eyes, key_layers = jax.random.split(key)
        shapes = sorted(set(images))
        keys = jax.random.split(key_eyes, len(shapes))
        self.eyes = {_name(s): _eye(s, key=k) for s, k in zip(shapes, keys)}
        seen = sum(_features(image) for image in images)
        rest = size_in - sum(math.prod(image) for image in images)
        self.layers = layers(seen + rest, hidden, activation, key=key_layers)
        self.images, self.activation = images, activation

    @property
    def size_out(self) -> int:
        return self.layers.size_out

    def __call__(self, x: Float[Array, "M in"]) -> Float[Array, "M out"]:
        features, start = [], 0
        for shape, count in _runs(self.images):
            end = start + count * math.prod(shape)
            seen = self._see(x[:, start:end].reshape(-1, *shape))
            features.append(seen.reshape(x.shape[0], -1))
            start = end
        return self.layers(jnp.concatenate([*features, x[:, start:]], -1))

    def _see(self, x: Float[Array, "M H W C"]) -> Float[Array, "M F"]:
        for layer in self.eyes[_name(x.shape[1:])]:
            x = ACTIVATIONS[self.activation](layer(x))
        return x.reshape(x.shape[0], -1)


def _plan(image: Image) -> tuple[tuple[int, int, int], ...]:
    """The layers for an image, as far as it is large enough for them."""
    side, plan = min(image[:2]), []
    for layer in SCREEN if side >= SMALLEST_SCREEN else BOARD:
        if (side := side_of(side, *layer[1:])) >= 1:
            plan.append(layer)
        else:
            break
    return tuple(plan)


def _eye(image: Image, *, key: PRNGKeyArray) -> tuple[Convolution, ...]:
    plan = _plan(image)
    depths = [image[2], *(channels for channels, _, _ in plan)]
    keys = jax.random.split(key, len(plan))
    return tuple(
        Convolution(depth, channels, kernel, stride, key=k)
        for depth, (channels, kernel, stride), k in zip(depths, plan, keys)
    )


def _features(image: Image) -> int:
    """How many numbers the convolutions make of an image."""
    height, width, channels = image
    for out, kernel, stride in _plan(image):
        height, width = (side_of(side, kernel, stride) for side in (height, width))
        channels = out
    return height * width * channels


def _runs(images: tuple[Image, ...]) -> list[tuple[Image, int]]:
    """Neighbours of one shape together: (shape, how many)."""
    out: list[tuple[Image, int]] = []
    for image in images:
        if out and out[-1][0] == image:
            out[-1] = (image, out[-1][1] + 1)
        else:
            out.append((image, 1))
    return out


def _name(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
