"""An expression ready to be evaluated again and again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from lit_bg.forces.expressions.graph import Call, Constant, Node, Variable
from lit_bg.forces.expressions.guard import guard
from lit_bg.forces.expressions.lowering import Lowering
from lit_bg.forces.expressions.operations import Function, evaluator

ARITHMETIC = {"+", "-", "*", "/", "^"}  # take Python numbers beside tensors


class Bound(nn.Module):
    """Evaluates an expression in which some variables are constants: what depends on them alone was evaluated once.

    Constants are buffers in float64, left out of state dicts, and cast to the dtype of the variables in every call; after
    `.to(dtype)` the cast does nothing. Every distinct subexpression is evaluated once per call.

    Args:
        expression: the nodes, the value the last.
        constants: values of variables, broadcastable against each other and the variables of a call.
        functions: the caller's functions by name; modules among them become submodules.
    """

    def __init__(self, expression: Sequence[Node], constants: Mapping[str, Tensor], functions: Mapping[str, Function]) -> None:
        super().__init__()
        lowered = Lowering(expression, constants, functions)
        self.nodes = guard(lowered.nodes, functions)
        called = {node.operation for node in self.nodes if isinstance(node, Call)}
        self.functions = {name: function for name, function in functions.items() if name in called}
        self.tables = nn.ModuleList(f for f in self.functions.values() if isinstance(f, nn.Module))
        for i, tensor in enumerate(lowered.tensors):
            self.register_buffer(f"constant{i}", tensor, persistent=False)

    @property
    def constants(self) -> list[Tensor]:
        """Return the values of the constants that are tensors."""
        return list(self.buffers(recurse=False))

    def with_constants(self, change: Callable[[Tensor], Tensor]) -> Bound:
        """Return the same expression with other values of the constants that are tensors."""
        other = copy.deepcopy(self)
        for name, value in self.named_buffers(recurse=False):
            other.register_buffer(name, change(value), persistent=False)
        return other

    def forward(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the value of the expression.

        Args:
            values: the variables, tensors of one dtype; names that the expression does not use are welcome.

        Returns:
            A tensor of that dtype whose shape is that of all values, constants and the result broadcast together.
        """
        like = next(iter(values.values()), torch.zeros((), dtype=torch.float64))
        slots: list[Tensor | float] = []
        for node in self.nodes:
            if isinstance(node, Call):
                arguments = [slots[a] for a in node.arguments]
                if node.operation not in ARITHMETIC:
                    arguments = [a if isinstance(a, Tensor) else like.new_full((), a) for a in arguments]
                slots.append(evaluator(node.operation, self.functions)(*arguments))
            elif isinstance(node, Variable):
                slots.append(values[node.name])
            elif isinstance(node, Constant):
                slots.append(self.get_buffer(f"constant{node.index}").to(like.dtype))
            else:
                slots.append(node.value)
        result = slots[-1] if isinstance(slots[-1], Tensor) else like.new_full((), slots[-1])
        return result.expand(torch.broadcast_shapes(result.shape, *(v.shape for v in values.values())))
