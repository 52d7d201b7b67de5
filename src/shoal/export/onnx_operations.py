"""What each operation of a traced program is in ONNX.

https://docs.jax.dev/en/latest/jax.lax.html and https://onnx.ai/onnx/operators/ define both sides.
A function here takes the graph, the equation and its inputs, and returns its output or outputs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from shoal.core.errors import UserError
from shoal.export.onnx_graph import Graph, Value, ints, is_static

Operation = Callable[..., Any]
_PLACES = "takes numbers from an array at places that it computes"


def operation(name: str) -> Operation:
    """How to write an operation. Raises `UserError` where there is no way."""
    if name in _SAME:
        return lambda graph, equation, *xs: graph.op(_SAME[name], *xs)
    if name in _OTHER:
        return _OTHER[name]
    raise no_form("draws random numbers" if name.startswith("random_") else f"uses '{name}'")


def no_form(what: str) -> UserError:
    """The error for something that only other formats can hold."""
    return UserError(
        f"the policy {what}, which has no form in ONNX here (dense layers, GRUs and the like have "
        "one): --format stablehlo takes any policy"
    )


_SAME = {
    **{"add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow"},
    **{"max": "Max", "min": "Min", "neg": "Neg", "abs": "Abs", "sign": "Sign", "sqrt": "Sqrt"},
    **{"exp": "Exp", "log": "Log", "sin": "Sin", "cos": "Cos", "tan": "Tan", "erf": "Erf"},
    **{"tanh": "Tanh", "sinh": "Sinh", "cosh": "Cosh", "logistic": "Sigmoid", "atan": "Atan"},
    **{"floor": "Floor", "ceil": "Ceil", "eq": "Equal", "lt": "Less", "le": "LessOrEqual"},
    **{"gt": "Greater", "ge": "GreaterOrEqual"},
    **dict.fromkeys(("copy", "copy_p", "stop_gradient", "optimization_barrier"), "Identity"),
}


# Numbers, one by one ----------------------------------------------------------------------------


def _logical(kind: str) -> Operation:
    def write(graph: Graph, equation: Any, *xs: Value) -> str:
        if equation.outvars[0].aval.dtype != bool:
            raise no_form(f"uses '{equation.primitive.name}' on whole numbers")
        return graph.op(kind, *xs)

    return write


def _like(equation: Any, value: int | float) -> np.ndarray:
    """A constant of the output's type."""
    return np.array(value, equation.outvars[0].aval.dtype)


def _integer_pow(graph: Graph, equation: Any, x: Value) -> str:
    y = equation.params["y"]
    if y in (2, 3):
        square = graph.op("Mul", x, x)
        return square if y == 2 else graph.op("Mul", square, x)
    return graph.op("Pow", x, _like(equation, y))


def _select(graph: Graph, equation: Any, which: Value, *cases: Value) -> str:
    if equation.invars[0].aval.dtype != bool:
        raise no_form("chooses between more than two arrays at once")
    otherwise, chosen = cases
    if equation.outvars[0].aval.dtype == bool:  # `Where` of truth values is rare in runtimes
        yes = graph.op("And", which, chosen)
        return graph.op("Or", yes, graph.op("And", graph.op("Not", which), otherwise))
    return graph.op("Where", which, chosen, otherwise)


def _cast(graph: Graph, equation: Any, x: Value) -> str:
    return graph.op("Cast", x, to=graph.type(equation.params["new_dtype"]))


def _is_finite(graph: Graph, equation: Any, x: Value) -> str:
    return graph.op("Not", graph.op("Or", graph.op("IsInf", x), graph.op("IsNaN", x)))


# Shapes ---------------------------------------------------------------------------------------


def _reshape(graph: Graph, equation: Any, x: Value) -> str:
    return graph.reshape(x, equation.outvars[0].aval.shape)


def _broadcast(graph: Graph, equation: Any, x: Value, *_: Value) -> str:
    shape, place = equation.params["shape"], equation.params["broadcast_dimensions"]
    old = equation.invars[0].aval.shape
    thin = [1] * len(shape)
    for size, axis in zip(old, place):
        thin[axis] = size
    if tuple(thin) != tuple(old):
        x = graph.reshape(x, thin)
    return x if tuple(thin) == tuple(shape) else graph.expand(x, shape)


def _stack(graph: Graph, equation: Any, *xs: Value) -> str:
    axis = equation.params["axis"]
    return graph.op("Concat", *(graph.op("Unsqueeze", x, ints([axis])) for x in xs), axis=axis)


def _split(graph: Graph, equation: Any, x: Value) -> list[str]:
    sizes, axis = equation.params["sizes"], equation.params["axis"]
    if len(sizes) == 1:
        return [graph.op("Identity", x)]
    return graph.ops("Split", x, ints(sizes), count=len(sizes), axis=axis)


def _slice(graph: Graph, equation: Any, x: Value) -> str:
    params = equation.params
    starts, limits = params["start_indices"], params["limit_indices"]
    return _cut(graph, equation, x, starts, limits, params["strides"])


def _cut(
    graph: Graph, equation: Any, x: Value, starts: Any, limits: Any, strides: Any = None
) -> str:
    """From `starts` to `limits` along every axis; whole axes are left out."""
    sizes = equation.invars[0].aval.shape
    strides = strides or (1,) * len(sizes)
    axes = [
        (start, limit, stride, axis)
        for axis, (start, limit, stride) in enumerate(zip(starts, limits, strides))
        if not (is_static([start]) and start == 0 and limit == sizes[axis] and stride == 1)
    ]
    if not axes:
        return graph.name(x)
    starts, limits, strides, at = zip(*axes)
    return graph.op("Slice", x, graph.shape(starts), graph.shape(limits), ints(at), ints(strides))


def _dynamic_slice(graph: Graph, equation: Any, x: Value, *starts: Value) -> str:
    taken, sizes = equation.params["slice_sizes"], equation.invars[0].aval.shape
    if any(isinstance(s, str) and n != d for s, n, d in zip(starts, taken, sizes)):
        raise no_form(_PLACES)
    first = [0 if n == d else min(max(int(s), 0), d - n) for s, n, d in zip(starts, taken, sizes)]
    return _cut(graph, equation, x, first, [s + n for s, n in zip(first, taken)])


def _rev(graph: Graph, equation: Any, x: Value) -> str:
    axes = equation.params["dimensions"]
    last, beyond = [-1] * len(axes), [np.iinfo(np.int64).min] * len(axes)
    return graph.op("Slice", x, ints(last), ints(beyond), ints(axes), ints(last))


def _size(graph: Graph, equation: Any) -> str:
    """The size of an axis as a number: the batch's, or a multiple."""
    number = graph.reshape(graph.shape([equation.params["dim"]]), [])
    return graph.op("Cast", number, to=graph.type(equation.outvars[0].aval.dtype))


def _pad(graph: Graph, equation: Any, x: Value, value: Value) -> str:
    low, high, inside = zip(*equation.params["padding_config"])
    if any(inside) or min(*low, *high) < 0:
        raise no_form("pads between numbers or by less than nothing")
    return graph.op("Pad", x, ints([*low, *high]), value) if any((*low, *high)) else graph.name(x)


def _gather(graph: Graph, equation: Any, x: Value, indices: Value) -> str:
    """Rows of one axis at known places, as `x[:, i]` and `x[:, [2, 0]]` take them."""
    numbers, sizes = equation.params["dimension_numbers"], equation.invars[0].aval.shape
    axes, taken = numbers.start_index_map, equation.params["slice_sizes"]
    whole = all(taken[axis] == size for axis, size in enumerate(sizes) if axis not in axes)
    simple = len(axes) == 1 and whole and not numbers.operand_batching_dims
    if isinstance(indices, str) or not simple:
        raise no_form(_PLACES)
    (axis,), at = axes, np.asarray(indices, np.int64)[..., 0]
    rows, last = taken[axis], sizes[axis] - taken[axis]
    if at.size and not 0 <= at.min() <= at.max() <= last:
        raise no_form("takes numbers from outside an array")
    if numbers.collapsed_slice_dims != (axis,):
        if at.ndim:
            raise no_form(_PLACES)
        return _cut(graph, equation, x, *_window(axis, int(at), rows, sizes))
    out = graph.op("Gather", x, at, axis=axis)
    # ONNX puts the rows where the axis was; a gather puts them where no offset is.
    offsets = list(numbers.offset_dims)
    places = [d for d in range(at.ndim + len(offsets)) if d not in offsets]
    order = [*offsets[:axis], *places, *offsets[axis:]]
    permutation = [order.index(d) for d in range(len(order))]
    return out if order == sorted(order) else graph.op("Transpose", out, perm=permutation)


def _window(axis: int, start: int, count: int, sizes: Any) -> tuple[list[Any], list[Any]]:
    """Where `count` rows of one axis begin and end."""
    starts, limits = [0] * len(sizes), list(sizes)
    starts[axis], limits[axis] = start, start + count
    return starts, limits


def _iota(graph: Graph, equation: Any, *_: Value) -> str:
    shape, axis = equation.params["shape"], equation.params["dimension"]
    if not is_static([shape[axis]]):
        raise no_form("numbers the members of its batch")
    numbers = np.arange(shape[axis], dtype=equation.params["dtype"])
    return graph.expand(numbers.reshape([-1 if d == axis else 1 for d in range(len(shape))]), shape)


# Sums and products -----------------------------------------------------------------------------


def _reduce(kind: str) -> Operation:
    def write(graph: Graph, equation: Any, x: Value) -> str:
        return graph.op(kind, x, ints(equation.params["axes"]), keepdims=0)

    return write


def _reduce_logical(kind: str) -> Operation:
    def write(graph: Graph, equation: Any, x: Value) -> str:
        number = graph.op("Cast", x, to=graph.type(np.int32))
        found = graph.op(kind, number, ints(equation.params["axes"]), keepdims=0)
        return graph.op("Cast", found, to=graph.type(np.bool_))

    return write


def _arg(kind: str) -> Operation:
    def write(graph: Graph, equation: Any, x: Value) -> str:
        (axis,) = equation.params["axes"]
        index = graph.op(kind, x, axis=axis, keepdims=0)
        return graph.op("Cast", index, to=graph.type(equation.params["index_dtype"]))

    return write


def _cumsum(graph: Graph, equation: Any, x: Value) -> str:
    axis, reverse = equation.params["axis"], int(equation.params["reverse"])
    return graph.op("CumSum", x, np.array(axis, np.int64), reverse=reverse)


def _dot(graph: Graph, equation: Any, left: Value, right: Value) -> str:
    """A product of matrices where it is one, otherwise written as a sum over named axes."""
    (sum_l, sum_r), (batch_l, batch_r) = equation.params["dimension_numbers"]
    rank_l, rank_r = (len(v.aval.shape) for v in equation.invars)
    if not batch_l and rank_r == 2 and tuple(sum_l) == (rank_l - 1,):
        if tuple(sum_r) == (1,):
            known = not isinstance(right, str)
            right = np.asarray(right).T if known else graph.op("Transpose", right, perm=[1, 0])
        return graph.op("MatMul", left, right)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    axes_l = [next(letters) for _ in range(rank_l)]
    axes_r = [next(letters) for _ in range(rank_r)]
    for i, j in [*zip(sum_l, sum_r), *zip(batch_l, batch_r)]:
        axes_r[j] = axes_l[i]
    shared = [axes_l[i] for i in batch_l]
    own = [axes_l[i] for i in range(rank_l) if i not in (*sum_l, *batch_l)]
    own += [axes_r[j] for j in range(rank_r) if j not in (*sum_r, *batch_r)]
    text = f"{''.join(axes_l)},{''.join(axes_r)}->{''.join(shared + own)}"
    return graph.op("Einsum", left, right, equation=text)


_OTHER: dict[str, Operation] = {
    "and": _logical("And"),
    "or": _logical("Or"),
    "xor": _logical("Xor"),
    "not": _logical("Not"),
    "ne": lambda g, e, x, y: g.op("Not", g.op("Equal", x, y)),
    "square": lambda g, e, x: g.op("Mul", x, x),
    "rsqrt": lambda g, e, x: g.op("Reciprocal", g.op("Sqrt", x)),
    "log1p": lambda g, e, x: g.op("Log", g.op("Add", x, _like(e, 1))),
    "expm1": lambda g, e, x: g.op("Sub", g.op("Exp", x), _like(e, 1)),
    "erfc": lambda g, e, x: g.op("Sub", _like(e, 1), g.op("Erf", x)),
    "exp2": lambda g, e, x: g.op("Pow", _like(e, 2), x),
    "clamp": lambda g, e, low, x, high: g.op("Min", g.op("Max", x, low), high),
    "integer_pow": _integer_pow,
    "is_finite": _is_finite,
    "select_n": _select,
    "convert_element_type": _cast,
    "reshape": _reshape,
    "squeeze": _reshape,
    "expand_dims": _reshape,
    "broadcast_in_dim": _broadcast,
    "transpose": lambda g, e, x: g.op("Transpose", x, perm=list(e.params["permutation"])),
    "concatenate": lambda g, e, *xs: g.op("Concat", *xs, axis=e.params["dimension"]),
    "stack": _stack,
    "split": _split,
    "slice": _slice,
    "rev": _rev,
    "dim_as_value": _size,
    "pad": _pad,
    "gather": _gather,
    "dynamic_slice": _dynamic_slice,
    "iota": _iota,
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_prod": _reduce("ReduceProd"),
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_or": _reduce_logical("ReduceMax"),
    "reduce_and": _reduce_logical("ReduceMin"),
    "argmax": _arg("ArgMax"),
    "argmin": _arg("ArgMin"),
    "cumsum": _cumsum,
    "dot_general": _dot,
}
