"""Simplification of expressions with known variables: constants evaluated, powers as products, quotients by reciprocals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lit_bg.forces.expressions.graph import Call, Constant, Graph, Node, Number, Variable
from lit_bg.forces.expressions.operations import Function, evaluator

LARGEST_POWER = 64  # 10 products at most, less than one pow


class Lowering:
    """Builds what is left of an expression when some variables are known.

    Every largest subexpression of constants becomes one node, a number if it has no dimension, else a tensor. Powers with
    integer exponents become products, choices become masks, and quotients become products with reciprocals of single
    factors: equal ones are one node, those of atoms are taken before they meet in pairs, and their derivative divides no more.

    Args:
        expression: the nodes of the expression, its value the last.
        constants: values of variables, float64.
        functions: the caller's functions.

    Attributes:
        nodes: the remaining nodes, the value the last.
        tensors: the values of the `Constant` nodes among them, float64.
    """

    def __init__(self, expression: Sequence[Node], constants: Mapping[str, Tensor], functions: Mapping[str, Function]) -> None:
        self._expression, self._functions = expression, functions
        self._graph = Graph()
        self._place: dict[int, int] = {}  # of nodes that vary, and of constants once they are needed
        self._known: dict[int, Tensor] = {}
        self._inverse: dict[int, int] = {}  # of constants that something is divided by
        self.tensors: list[Tensor] = []
        for i, node in enumerate(expression):
            if isinstance(node, Number):
                self._known[i] = torch.tensor(node.value, dtype=torch.float64)
            elif isinstance(node, Call):
                self._call(i, node.operation, node.arguments)
            elif isinstance(node, Variable) and node.name in constants:
                self._known[i] = constants[node.name]
            else:
                self._place[i] = self._graph.add(node)
        self.nodes = self._graph.ending_in(self._new(len(expression) - 1))

    def _new(self, i: int) -> int:
        """Return the remaining node that stands for node i of the expression."""
        if i not in self._place:
            self._place[i] = self._constant(self._known[i])
        return self._place[i]

    def _constant(self, value: Tensor) -> int:
        """Return a node for a known value."""
        if value.dim() == 0:
            return self._graph.add(Number(value.item()))
        self.tensors.append(value)
        return self._graph.add(Constant(len(self.tensors) - 1))

    def _number(self, i: int) -> float | None:
        """Return the value of node i if it is a known number."""
        return self._known[i].item() if i in self._known and self._known[i].dim() == 0 else None

    def _call(self, i: int, name: str, arguments: tuple[int, ...]) -> None:
        if all(a in self._known for a in arguments):
            self._known[i] = evaluator(name, self._functions)(*(self._known[a] for a in arguments))
        elif name in self._functions:
            self._place[i] = self._graph.call(name, *map(self._new, arguments))
        elif name == "select":
            self._select(i, *arguments)
        elif name == "square":
            self._power(i, arguments[0], 2)
        elif name == "cube":
            self._power(i, arguments[0], 3)
        elif name == "^" and (exponent := self._number(arguments[1])) is not None:
            self._power(i, arguments[0], exponent)
        elif name == "/":
            self._divide(i, *arguments)
        elif name == "recip":
            self._place[i] = self._reciprocal(self._new(arguments[0]))
        else:
            self._place[i] = self._graph.call(name, *map(self._new, arguments))

    def _select(self, i: int, condition: int, chosen: int, otherwise: int) -> None:
        if (fixed := self._number(condition)) is not None:
            taken = chosen if fixed != 0 else otherwise
            if taken in self._known:
                self._known[i] = self._known[taken]
            else:
                self._place[i] = self._place[taken]
            return
        match self._expression[condition]:
            case Call("step", (x,)) if x not in self._known and "step" not in self._functions:
                mask = self._graph.call("x>=0", self._new(x))
            case _:
                mask = self._graph.call("x!=0", self._new(condition))
        self._place[i] = self._graph.call("?:", mask, self._new(chosen), self._new(otherwise))

    def _power(self, i: int, base: int, exponent: float) -> None:
        x, size = self._new(base), abs(exponent)
        if exponent == 0:
            self._known[i] = torch.ones((), dtype=torch.float64)
            return
        if size == 0.5:
            power = self._graph.call("sqrt", x)
        elif size <= LARGEST_POWER and size == int(size):
            power = self._product(x, int(size))
        else:
            self._place[i] = self._graph.call("^", x, self._graph.add(Number(exponent)))
            return
        self._place[i] = power if exponent > 0 else self._reciprocal(power)

    def _divide(self, i: int, above: int, below: int) -> None:
        if below in self._known and below not in self._inverse:
            self._inverse[below] = self._constant(self._known[below].reciprocal())
        inverted = self._inverse[below] if below in self._inverse else self._reciprocal(self._new(below))
        self._place[i] = inverted if self._number(above) == 1 else self._graph.call("*", self._new(above), inverted)

    def _reciprocal(self, x: int) -> int:
        match self._graph.nodes[x]:
            case Call("*", (a, b)):
                return self._graph.call("*", self._reciprocal(a), self._reciprocal(b))
            case Call("sqrt", (a,)) if "sqrt" not in self._functions:
                return self._graph.call("1/sqrt", a)
            case Call("1/sqrt", (a,)):
                return self._graph.call("sqrt", a)
            case Call("recip", (a,)) if "recip" not in self._functions:
                return a
            case Number(value) if value != 0:
                return self._graph.add(Number(1 / value))
        return self._graph.call("recip", x)

    def _product(self, x: int, n: int) -> int:
        """Build x^n = (x^(n/2))^2 or x x^(n-1): an x^12 costs one product more than the x^6 beside it."""
        if n == 1:
            return x
        if n % 2:
            return self._graph.call("*", x, self._product(x, n - 1))
        root = self._product(x, n // 2)
        return self._graph.call("*", root, root)
