"""An ONNX graph in the making: nodes, constants, and shapes with a batch axis of any size."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from shoal.core.errors import UserError

OPSET, IR_VERSION = 18, 9  # of 2022 and 2023: onnxruntime 1.17 and later read them
BATCH = "B"  # the name of the free axis

Value = Any
"""The name of something that the graph computes, or an array that is known now."""


def is_static(shape: Sequence[Any]) -> bool:
    """Whether no axis depends on the batch."""
    return all(isinstance(d, int | np.integer) for d in shape)


class Graph:
    """Nodes are added in the order of computing; those that nothing needs are dropped at the end.

    `batch` is the symbol that stands for the free axis in traced shapes.
    """

    def __init__(self, onnx: Any, batch: Any):
        self.onnx, self.batch = onnx, batch
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: dict[str, np.ndarray] = {}
        self._known: dict[Any, list[str]] = {}  # what was computed or kept before, by its content

    def input(self, name: str, shape: Sequence[Any], dtype: Any) -> None:
        """Declares an input."""
        self._inputs.append(self._declared(name, shape, dtype))

    def output(self, name: str, x: Value, shape: Sequence[Any], dtype: Any) -> None:
        """Declares an output."""
        self._nodes.append(self.onnx.helper.make_node("Identity", [self.name(x)], [name]))
        self._outputs.append(self._declared(name, shape, dtype))

    def op(self, kind: str, *inputs: Value, **attributes: Any) -> str:
        """Adds a node of one output, unless there is the same one, and returns its name."""
        return self.ops(kind, *inputs, count=1, **attributes)[0]

    def ops(self, kind: str, *inputs: Value, count: int, **attributes: Any) -> list[str]:
        """Adds a node of `count` outputs."""
        names = [self.name(x) for x in inputs]
        content = (kind, tuple(names), repr(sorted(attributes.items())))
        if content not in self._known:
            stem = f"{kind.lower()}_{len(self._nodes)}"
            out = [stem] if count == 1 else [f"{stem}_{k}" for k in range(count)]
            self._nodes.append(
                self.onnx.helper.make_node(kind, names, out, name=stem, **attributes)
            )
            self._known[content] = out
        return self._known[content]

    def name(self, x: Value) -> str:
        """The name of a value; an array becomes a constant of the graph."""
        if isinstance(x, str):
            return x
        array = np.ascontiguousarray(np.asarray(x)).reshape(np.shape(x))
        content = (array.dtype.str, array.shape, array.tobytes())
        if content not in self._known:
            name = f"constant_{len(self._constants)}"
            self._constants[name] = array
            self._known[content] = [name]
        return self._known[content][0]

    def reshape(self, x: Value, shape: Sequence[Any]) -> str:
        """The same numbers in another shape."""
        free = [not is_static([d]) for d in shape]
        if sum(free) <= 1:
            return self.op("Reshape", x, ints([-1 if f else d for f, d in zip(free, shape)]))
        return self.op("Reshape", x, self.shape(shape))

    def expand(self, x: Value, shape: Sequence[Any]) -> str:
        """Repeats axes of size 1."""
        return self.op("Expand", x, self.shape(shape))

    def shape(self, shape: Sequence[Any]) -> Value:
        """A shape as whole numbers, of which some are known only when the graph runs."""
        if is_static(shape):
            return ints(shape)
        first = self._inputs[0].name
        batch = self.op("Shape", first, start=0, end=1)
        parts = [ints([d]) if is_static([d]) else self._multiple(d, batch) for d in shape]
        return self.op("Concat", *parts, axis=0)

    def _multiple(self, size: Any, batch: str) -> str:
        """An axis that the batch was folded into."""
        times = size // self.batch
        if not is_static([times]) or size != times * self.batch:
            raise UserError(f"ONNX export does not follow an axis of size {size}: use stablehlo")
        return batch if times == 1 else self.op("Mul", batch, ints([times]))

    def type(self, dtype: Any) -> int:
        """ONNX's number of a type."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def model(self, name: str) -> Any:
        """The finished `ModelProto`."""
        helper, onnx = self.onnx.helper, self.onnx
        nodes = self._needed()
        used = {x for node in nodes for x in node.input}
        constants = [
            onnx.numpy_helper.from_array(array, key)
            for key, array in self._constants.items()
            if key in used
        ]
        graph = helper.make_graph(nodes, name, self._inputs, self._outputs, constants)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="shoal",
        )

    def _needed(self) -> list[Any]:
        """The nodes that lead to an output."""
        wanted, kept = {x.name for x in self._outputs}, []
        for node in reversed(self._nodes):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                kept.append(node)
        return kept[::-1]

    def _declared(self, name: str, shape: Sequence[Any], dtype: Any) -> Any:
        sizes = [int(d) if is_static([d]) else BATCH for d in shape]
        return self.onnx.helper.make_tensor_value_info(name, self.type(dtype), sizes)


def ints(values: Sequence[Any]) -> np.ndarray:
    """Whole numbers as ONNX wants shapes and axes."""
    return np.array([int(v) for v in values], np.int64)
