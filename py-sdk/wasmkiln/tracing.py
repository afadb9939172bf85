"""From a module and an example of its inputs to a graph in ATen operators. Its outputs are what `forward` returns,
and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, OutputKind
from torch.utils import _pytree as pytree

from wasmkiln.errors import ExportError, place_of, readable
from wasmkiln.guards import checks_data

aten = torch.ops.aten

# Composite operators that the runtime has kernels for: taken out of the decomposition table.
KEPT_WHOLE = (
    aten.linear.default,
    aten.scaled_dot_product_attention.default,
    aten.layer_norm.default,
    aten.native_layer_norm.default,
    aten.gelu.default,
    aten.silu.default,
    aten.hardtanh.default,
    aten.relu6.default,
    aten.softmax.int,
    aten.batch_norm.default,
    aten.avg_pool2d.default,
    aten.max_pool2d.default,
    aten.adaptive_avg_pool2d.default,
    aten.embedding.default,
    aten.gru.input,
    aten.lstm.input,
    aten.rnn_relu.input,
    aten.rnn_tanh.input,
    aten.threshold.default,  # its parts would take integers through floats
    aten._upsample_nearest_exact1d.vec,
    aten._upsample_nearest_exact2d.vec,
    aten._upsample_nearest_exact3d.vec,
    aten.upsample_bicubic2d.vec,
    aten.upsample_linear1d.vec,
    aten.upsample_nearest1d.vec,
    aten.upsample_nearest3d.vec,
    aten.upsample_trilinear3d.vec,
)

STORED = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
CHANGED_STATE = (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION)


def decompositions() -> dict[Any, Callable[..., Any]]:
    """PyTorch's table of Core ATen decompositions, without the operators of `KEPT_WHOLE`."""
    table = torch.export.default_decompositions()
    for op in KEPT_WHOLE:
        table.pop(op, None)
    return table


def trace(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    dynamic_shapes: Any,
    stage: Callable[[str], None],
) -> ExportedProgram:
    """The program that torch.export makes. Every exception becomes an ExportError."""
    try:
        args, kwargs = pytree.tree_map(of_its_own, (args, dict(kwargs)))
        stage("tracing")
        program = torch.export.export(module, args, kwargs, dynamic_shapes=dynamic_shapes, strict=False)
        stage("decomposing")
        return program.run_decompositions(decompositions())
    except Exception as error:  # torch.export has dozens
        raise ExportError(f"PyTorch cannot export this model: {readable(error)}") from error


def of_its_own(leaf: Any) -> Any:
    """An input as a page gives it: contiguous, in memory of its own. If one tensor were passed twice, torch.export
    would make a program that reads one of the two in both places."""
    return leaf.detach().clone(memory_format=torch.contiguous_format) if isinstance(leaf, Tensor) else leaf


def keep_results_only(program: ExportedProgram, training: bool) -> None:
    """Removes the values that `forward` changes in place from the program's outputs. A changed input is a copy of
    the caller's. No result may depend on a changed buffer, because no run sees what another has left."""
    output = program.graph.output_node()
    pairs = list(zip(program.graph_signature.output_specs, output.args[0], strict=True))
    results = [node for spec, node in pairs if spec.kind == OutputKind.USER_OUTPUT]
    needed = ancestors(results)
    read = {name for node, name in stored(program) if node in needed}
    state = [(spec.target, node) for spec, node in pairs if spec.kind in CHANGED_STATE]
    rows = [f"  {name}, {place_of(node)}" for name, node in state if name in read]
    if rows:
        advice = "call model.eval() if that ends it; else " if training else ""
        raise ExportError(
            "forward changes buffers that its results depend on, and a .kiln file keeps no state from one run to the "
            "next:\n" + "\n".join(rows) + f"\n{advice}take the old value as an input and return the new one"
        )
    output.args = (tuple(results),)


def ancestors(nodes: Iterable[Any]) -> set[fx.Node]:
    """The nodes, and all nodes that they depend on."""
    found: set[fx.Node] = set()
    waiting = [node for node in nodes if isinstance(node, fx.Node)]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return found


def stored(program: ExportedProgram) -> list[tuple[fx.Node, str]]:
    """The placeholders of parameters, buffers and constants, with the model's names for them."""
    return [(node, spec.target) for node, spec in placeholders(program) if spec.kind in STORED]


def user_inputs(program: ExportedProgram) -> list[fx.Node]:
    """The placeholders of `forward`'s arguments."""
    return [node for node, spec in placeholders(program) if spec.kind == InputKind.USER_INPUT]


def placeholders(program: ExportedProgram) -> Iterator[tuple[fx.Node, InputSpec]]:
    nodes = program.graph.find_nodes(op="placeholder")
    return zip(nodes, program.graph_signature.input_specs, strict=True)


def stored_tensor(program: ExportedProgram, name: str) -> Tensor:
    return program.state_dict[name] if name in program.state_dict else program.constants[name]


def drop_dead_nodes(program: ExportedProgram) -> None:
    """Removes nodes that nothing reads, so they need no support. Checks of data stay, and are refused later."""
    for node in reversed(list(program.graph.nodes)):
        if node.op == "call_function" and not node.users and not checks_data(node):
            program.graph.erase_node(node)
