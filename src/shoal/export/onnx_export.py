"""A policy as ONNX: its traced program, operation by operation, in a graph with a free batch axis.

What depends on no input is computed here, once; what no output needs is left out. The operations
are in `onnx_operations`; a policy of any kind can be written if it is made of those.
Open Neural Network Exchange: https://onnx.ai/onnx/repo-docs/IR.html.
"""

import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from shoal.core.errors import optional
from shoal.export.onnx_graph import Graph, Value, is_static
from shoal.export.onnx_operations import operation
from shoal.export.policy_function import PolicyFunction, any_batch

CALLS = {  # calls are written out in place; where each keeps its program
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}


def require_onnx() -> Any:
    """The `onnx` package. Raises `UserError` with the command that installs it."""
    return optional("onnx", "ONNX", "export")


def to_onnx(
    function: PolicyFunction, facts: Mapping[str, Any] | None = None, name: str = "policy"
) -> bytes:
    """The file's content.

    Args:
        function: what to write.
        name: the graph's name.
        facts: kept in the file as JSON, under `shoal` in its metadata.

    Raises:
        UserError: `onnx` is not installed, or the policy does something that has no operation here.
    """
    onnx, program = require_onnx(), function.trace()
    graph = Graph(onnx, any_batch())
    for name_in, x in zip(function.inputs, program.in_avals):
        graph.input(name_in, x.shape, x.dtype)
    results = _run(graph, program.jaxpr, program.consts, list(function.inputs))
    for output, variable, x in zip(sorted(function.outputs()), program.jaxpr.outvars, results):
        graph.output(output, x, variable.aval.shape, variable.aval.dtype)
    model = graph.model(name)
    if facts is not None:
        onnx.helper.set_model_props(model, {"shoal": json.dumps(facts)})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _run(graph: Graph, jaxpr: Any, consts: list[Any], inputs: list[Value]) -> list[Value]:
    """Writes a program's equations in order, and returns its results."""
    values: dict[Any, Value] = dict(zip(jaxpr.constvars, consts))
    values.update(zip(jaxpr.invars, inputs))

    def read(variable: Any) -> Value:
        return _literal(variable) if isinstance(variable, Literal) else values[variable]

    for equation in jaxpr.eqns:
        outputs = _equation(graph, equation, [read(v) for v in equation.invars])
        values.update(zip(equation.outvars, outputs))
    return [read(v) for v in jaxpr.outvars]


def _literal(literal: Any) -> Value:
    return np.asarray(literal.val, literal.aval.dtype)


def _equation(graph: Graph, equation: Any, xs: list[Value]) -> list[Value]:
    """One equation: computed at once where all is known, otherwise written."""
    name = equation.primitive.name
    if name in CALLS:
        inner = equation.params[CALLS[name]]
        closed = hasattr(inner, "consts")
        return _run(graph, inner.jaxpr if closed else inner, inner.consts if closed else [], xs)
    known = name != "dim_as_value" and not any(isinstance(x, str) for x in xs)
    if known and all(is_static(v.aval.shape) for v in equation.outvars):
        out = equation.primitive.bind(*map(jax.numpy.asarray, xs), **equation.params)
        return list(out) if equation.primitive.multiple_results else [out]
    out = operation(name)(graph, equation, *xs)
    return out if isinstance(out, list) else [out]
