"""Folds batch norms behind convolutions into the convolutions' weights, in float64, while PyTorch is at hand."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.nn.utils.fusion import fuse_conv_bn_weights

aten = torch.ops.aten
BATCH_NORMS = (aten.batch_norm.default, aten._native_batch_norm_legit_no_training.default)


class Stored:
    """The parameters and buffers of a program, by their placeholders."""

    def __init__(self, program: ExportedProgram) -> None:
        signature = program.graph_signature
        self.state = program.state_dict
        self.names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}

    def has_alone(self, node: fx.Node | None) -> bool:
        """Whether `node` is a stored tensor that one node reads, and no other placeholder shares."""
        name = self.names.get(getattr(node, "name", ""))
        if name not in self.state or len(node.users) != 1:
            return False
        address = self.state[name].data_ptr()
        return sum(tensor.data_ptr() == address for tensor in self.state.values()) == 1

    def get(self, node: fx.Node | None) -> Tensor | None:
        return None if node is None else self.state[self.names[node.name]].detach().double()

    def put(self, node: fx.Node, tensor: Tensor) -> None:
        name = self.names[node.name]
        self.state[name] = tensor.detach().to(self.state[name].dtype)


def argument(node: fx.Node, name: str) -> object:
    """An argument by its name in the operator's schema."""
    for position, each in enumerate(node.target._schema.arguments):
        if each.name == name:
            return node.args[position] if position < len(node.args) else node.kwargs.get(name, each.default_value)
    return None


def results_of(norm: fx.Node) -> Iterator[fx.Node]:
    """The nodes that hold a batch norm's (first) result."""
    if norm.target is aten.batch_norm.default:
        yield norm
    else:
        yield from (user for user in norm.users if user.args[1] == 0)


def fold_batch_norms(program: ExportedProgram) -> None:
    """Folds all batch norms that can be folded. It changes the program's table of weights, never the model's
    tensors. A batch norm stays if the convolution has other readers, if weights are shared, or if it uses the
    statistics of the batch."""
    stored = Stored(program)
    for norm in [node for node in program.graph.nodes if node.target in BATCH_NORMS]:
        conv, gamma, beta, mean, var = norm.args[:5]
        if argument(norm, "training") is True or getattr(conv, "target", None) is not aten.convolution.default:
            continue
        weight, bias = conv.args[1:3]
        transposed, groups = argument(conv, "transposed"), argument(conv, "groups")
        tensors = [node for node in (weight, bias, gamma, beta, mean, var) if node is not None]
        if len(conv.users) > 1 or (transposed and groups != 1) or not all(map(stored.has_alone, tensors)):
            continue
        statistics = (stored.get(mean), stored.get(var), argument(norm, "eps"), stored.get(gamma), stored.get(beta))
        folded = fuse_conv_bn_weights(stored.get(weight), stored.get(bias), *statistics, transpose=bool(transposed))
        stored.put(weight, folded[0])
        stored.put(bias or mean, folded[1])  # the mean's place is as large, and free
        conv.update_arg(2, bias or mean)
        for result in list(results_of(norm)):
            result.replace_all_uses_with(conv)
