"""Tracing, running, verifying and printing graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import checkpoint, custom_vjp, grad
from chainrule.errors import GraphError, ShapeError, TraceError
from chainrule.ir import (
    PRIMITIVES,
    Graph,
    Node,
    Primitive,
    Sample,
    Spec,
    Value,
    bind,
    constant,
    evaluate,
    replay,
    show,
    trace,
    verify,
)
from chainrule.ir.dtype import float32, float64, int64
from chainrule.ir.primitive import check_differentiable
from chainrule.ir.trace import scope

VECTOR = Spec((3,), float32)


def _example() -> Graph:
    def function(x: Any, w: Any) -> Any:
        hidden = ops.tanh(ops.contract(x, w, sums=((1,), (0,)), batch=((), ())))
        return [ops.reduce_sum(ops.multiply(hidden, 2.0), axes=(0, 1)), hidden]

    specs = [Spec((2, 3), float32), Spec((3, 4), float32)]
    return trace(function, specs, name="example")[0]


# ---- trace ---------------------------------------------------------------------------


def test_nothing_is_computed_while_tracing() -> None:
    seen: list[Any] = []
    graph, captured = trace(lambda x: [seen.append(x) or ops.sin(x)], [VECTOR])  # type: ignore[func-returns-value]
    assert seen[0].data is None
    assert captured == ()
    assert [node.primitive.name for node in graph.nodes] == ["sin"]
    assert graph.input_specs == graph.output_specs == (VECTOR,)


def test_numbers_are_constants_and_tracked_values_are_inputs() -> None:
    plain = constant(np.ones(3, np.float32))
    tracked = constant(np.ones(3, np.float32))
    tracked.tape = 1

    def function(x: Any) -> Any:
        y = ops.add(ops.add(x, plain), tracked)
        return [ops.add(y, tracked), plain, tracked]

    graph, captured = trace(function, [VECTOR])
    assert captured == (tracked,)
    assert len(graph.inputs) == 2
    assert list(graph.constants()) == [plain]
    assert graph.outputs[1] is plain
    assert graph.outputs[2] is graph.inputs[1]
    verify(graph)


def test_a_trace_within_a_trace_captures_outer_values() -> None:
    inner_graphs = []

    def outer(x: Any) -> Any:
        y = ops.sin(x)
        graph, captured = trace(lambda z: [ops.add(z, y)], [VECTOR], name="inner")
        inner_graphs.append(graph)
        assert captured == (y,)
        return [replay(graph, [x, *captured])[0]]

    graph, _ = trace(outer, [VECTOR])
    verify(inner_graphs[0])
    x = np.array([1, 2, 3], np.float32)
    (result,) = evaluate(verify(graph), [x])
    np.testing.assert_array_equal(result, x + np.sin(x))


def test_a_leaked_value_is_refused_with_a_lesson() -> None:
    leaked: list[Any] = []
    trace(lambda x: [leaked.append(x) or x], [VECTOR])  # type: ignore[func-returns-value]
    with pytest.raises(
        TraceError, match="outside the function that was traced"
    ) as caught:
        ops.sin(leaked[0])
    assert "fix:" in str(caught.value)


def test_numbers_take_the_dtype_of_the_last_value() -> None:
    x = constant(np.ones(2, np.float32))
    assert ops.add(x, 1).spec.dtype is float32
    assert ops.subtract(1, x).spec.dtype is float32


def test_replay_gives_the_same_graph() -> None:
    graph = _example()
    again, _ = trace(lambda *x: replay(graph, x), graph.input_specs, name="example")
    assert show(again) == show(graph)


def test_nodes_know_the_layer_that_they_belong_to() -> None:
    def function(x: Any) -> Any:
        with scope("model"), scope("dense"):
            y = ops.sin(x)
        return [ops.cos(y)]

    graph, _ = trace(function, [VECTOR])
    assert [node.scope for node in graph.nodes] == ["model/dense", ""]
    again, _ = trace(lambda x: replay(graph, [x]), [VECTOR])
    assert [node.scope for node in again.nodes] == ["model/dense", ""]


# ---- evaluate ------------------------------------------------------------------------


def test_values_are_dropped_after_their_last_use() -> None:
    alive: list[int] = []
    arrays: list[Any] = []

    class Counted(np.ndarray[Any, Any]):
        def __del__(self) -> None:
            alive.append(-1)

    def reference(x: Any) -> Any:
        alive.append(1)
        arrays.append(sum(alive))
        return (np.asarray(x) + 1).view(Counted)

    step = Primitive(
        name="counted step",
        spec=lambda x: x,
        reference=reference,
        vjp=None,
        batch=None,
        traits=frozenset(),
        dtypes=(float32,),
        samples=lambda: [Sample((np.zeros(3),))],
        not_differentiable="a test",
    )
    try:

        def chain(x: Any) -> Any:
            for _ in range(20):
                x = bind(step, x)
            return [x]

        (result,) = evaluate(trace(chain, [VECTOR])[0], [np.zeros(3, np.float32)])
    finally:
        del PRIMITIVES["counted step"]
    assert result[0] == 20.0
    assert max(arrays) <= 2


def test_inputs_that_do_not_match_are_refused() -> None:
    graph = _example()
    x, w = np.zeros((2, 3), np.float32), np.zeros((3, 4), np.float32)
    evaluate(graph, [x, w])
    for wrong in ([x], [x, w, w], [x, w.T], [x, w.astype(np.float64)]):
        with pytest.raises(ShapeError) as caught:
            evaluate(graph, wrong)
        assert "example" in str(caught.value)


# ---- verify --------------------------------------------------------------------------


def _fault_read_before_made(graph: Graph) -> Graph:
    return Graph("g", graph.inputs, graph.nodes[::-1], graph.outputs)


def _fault_foreign_value(graph: Graph) -> Graph:
    stranger = Value(VECTOR)
    return Graph("g", graph.inputs, graph.nodes, (stranger,))


def _fault_made_twice(graph: Graph) -> Graph:
    return Graph("g", graph.inputs, (*graph.nodes, graph.nodes[-1]), graph.outputs)


def _fault_input_twice(graph: Graph) -> Graph:
    return Graph("g", (*graph.inputs, graph.inputs[0]), graph.nodes, graph.outputs)


def _fault_output_of_another_node(graph: Graph) -> Graph:
    graph.nodes[0].outputs[0].node = graph.nodes[1]
    return graph


def _fault_index(graph: Graph) -> Graph:
    graph.nodes[0].outputs[0].index = 1
    return graph


def _fault_spec_of_an_output(graph: Graph) -> Graph:
    graph.nodes[0].outputs[0].spec = Spec((2, 4), float64)
    return graph


def _fault_number_of_outputs(graph: Graph) -> Graph:
    graph.nodes[0].outputs = ()
    return graph


def _fault_constant(graph: Graph) -> Graph:
    broken = next(graph.constants())
    broken.data = np.zeros(7)
    return graph


def _fault_unregistered(graph: Graph) -> Graph:
    node = graph.nodes[1]
    record = ops.tanh.primitive
    twin = object.__new__(Primitive)
    for name in record.__dataclass_fields__:
        object.__setattr__(twin, name, getattr(record, name))
    node.primitive = twin
    return graph


FAULTS: dict[str, tuple[Callable[[Graph], Graph], str]] = {
    "read before made": (_fault_read_before_made, "read before it is made"),
    "foreign value": (_fault_foreign_value, "read before it is made"),
    "made twice": (_fault_made_twice, "made twice"),
    "input twice": (_fault_input_twice, "made twice"),
    "another node": (_fault_output_of_another_node, "does not name its node"),
    "index": (_fault_index, "does not name its node"),
    "spec": (_fault_spec_of_an_output, "specs differ"),
    "number of outputs": (_fault_number_of_outputs, "specs differ"),
    "constant": (_fault_constant, "does not match its data"),
    "unregistered": (_fault_unregistered, "not registered"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_verifier_finds(name: str) -> None:
    plant, message = FAULTS[name]
    graph = _example()
    assert verify(graph) is graph
    with pytest.raises(GraphError, match=message):
        verify(plant(graph))


def test_a_spec_rule_that_refuses_is_reported_by_the_verifier() -> None:
    graph = _example()
    graph.nodes[0].params = {"sums": ((0,), (0,)), "batch": ((), ())}
    with pytest.raises(ShapeError, match="contracted axes"):
        verify(graph)


# ---- show ----------------------------------------------------------------------------

EXAMPLE = """\
example(a: float32[2, 3], b: float32[3, 4]):
  c = contract(a, b, sums=((1), (0)), batch=((), ()))      float32[2, 4]
  d = tanh(c)                                              float32[2, 4]
  e = multiply(d, 2.0)                                     float32[2, 4]
  f = sum(e, axes=(0, 1))                                  float32[]
  return f, d"""


def test_printed_graph() -> None:
    assert show(_example()) == EXAMPLE


def test_printed_gradient_is_read_from_top_to_bottom() -> None:
    def loss(x: Any) -> Any:
        with scope("layer"):
            return ops.sin(ops.multiply(x, x))

    graph, _ = trace(lambda x: [grad(loss)(x)], [Spec((), float64)], name="slope")
    text = show(graph)
    lines = text.splitlines()
    assert lines[0] == "slope(a: float64[]):"
    assert lines[2].split() == [
        "c",
        "=",
        "multiply(b,",
        "b)",
        "float64[]",
        "#",
        "layer",
    ]
    assert lines[-1].startswith("  return ")
    assert len(lines) == len(graph.nodes) + 2


def test_printed_calls_constants_and_dtypes() -> None:
    def function(x: Any) -> Any:
        y = checkpoint(lambda x: ops.sin(x))(x)
        z = ops.add(y, constant(np.arange(3, dtype=np.float32)))
        return [ops.cast(z, dtype=int64)]

    text = show(trace(function, [VECTOR], name="f")[0])
    assert "b = call(a, graph=<lambda, 1 nodes>, rule=None)" in text
    assert "c = add(b, constant float32[3])" in text
    assert "d = cast(c, dtype=int64)" in text


def test_a_call_with_a_rule_is_printed_on_one_line() -> None:
    @custom_vjp
    def sine(x: Any) -> Any:
        return ops.sin(x)

    sine.defvjp(lambda x: (ops.sin(x), x), lambda x, g: (ops.multiply(g, ops.cos(x)),))
    text = show(trace(lambda x: [sine(x)], [VECTOR], name="f")[0])
    assert "graph=<sine, 1 nodes>, rule=<sine backward, 3 nodes>" in text


def test_a_graph_within_a_node_is_verified_too() -> None:
    graph, _ = trace(lambda x: [checkpoint(ops.sin)(x)], [VECTOR])
    (node,) = verify(graph).nodes
    inner = node.params["graph"]
    node.params["graph"] = Graph("inner", inner.inputs, (), inner.outputs)
    with pytest.raises(GraphError, match="read before it is made"):
        verify(graph)
    wide = Value(Spec((4,), float32))
    node.params["graph"] = Graph("inner", (wide,), (), (wide,))
    with pytest.raises(ShapeError, match="do not match its graph"):
        verify(graph)


def test_names_go_on_after_z() -> None:
    def chain(x: Any) -> Any:
        for _ in range(30):
            x = ops.sin(x)
        return [x]

    lines = show(trace(chain, [VECTOR])[0]).splitlines()
    assert lines[25].split()[0] == "z"
    assert lines[26].split()[0] == "aa"
    assert lines[-1] == "  return ae"


# ---- records -------------------------------------------------------------------------


def _record(name: str, **fields: Any) -> Primitive:
    given: dict[str, Any] = {
        "spec": lambda x: x,
        "reference": lambda x: x,
        "vjp": None,
        "batch": None,
        "traits": frozenset(),
        "dtypes": (float32,),
        "samples": list,
    }
    return Primitive(name=name, **{**given, **fields})


def test_a_record_has_a_rule_or_a_reason() -> None:
    with pytest.raises(GraphError, match="backward rule or a reason"):
        _record("without a reason")
    with pytest.raises(GraphError, match="taken by another"):
        _record("sin", not_differentiable="a test")
    assert "without a reason" not in PRIMITIVES


def test_a_missing_rule_names_the_operation_and_the_reason() -> None:
    with pytest.raises(
        Exception, match="'argmax' does not exist: its result is a position"
    ):
        check_differentiable(ops.argmax.primitive)


def test_nodes_and_records_print_their_names() -> None:
    assert repr(ops.sin.primitive) == "Primitive(sin)"
    assert repr(ops.sin) == "<operation sin>"
    assert isinstance(_example().nodes[0], Node)
