"""An expression as a graph of operations in which equal subexpressions are one node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Number:
    """Holds a literal, or the value of a subexpression of literals."""

    value: float


@dataclass(frozen=True)
class Variable:
    """Names a free variable, or a symbolic call by its canonical form such as `distance(p1,p2)`."""

    name: str


@dataclass(frozen=True)
class Constant:
    """Refers to a tensor known when the expression was bound, by its place in a list."""

    index: int


@dataclass(frozen=True)
class Call:
    """Applies an operation to earlier nodes."""

    operation: str
    arguments: tuple[int, ...]


Node = Number | Variable | Constant | Call


class Graph:
    """Holds nodes in an order in which arguments come first.

    A graph instead of a tree: a definition used twice is stored, and later evaluated, once, while the tree of n nested
    definitions can have 2^n nodes.

    Attributes:
        nodes: all nodes so far; an argument of a `Call` is a place in this list.
    """

    def __init__(self, nodes: Sequence[Node] = ()) -> None:
        self.nodes: list[Node] = list(nodes)
        self._place = {node: i for i, node in enumerate(nodes)}

    def add(self, node: Node) -> int:
        """Return the place of a node, which is added if it is new."""
        if node not in self._place:
            self._place[node] = len(self.nodes)
            self.nodes.append(node)
        return self._place[node]

    def call(self, operation: str, *arguments: int) -> int:
        """Return the place of an operation on these nodes, which is added if it is new."""
        return self.add(Call(operation, arguments))

    def ending_in(self, root: int) -> tuple[Node, ...]:
        """Return the nodes that the node `root` needs, itself the last."""
        needed = {root}
        for i in range(root, -1, -1):
            node = self.nodes[i]
            if i in needed and isinstance(node, Call):
                needed.update(node.arguments)
        result = Graph()
        place: dict[int, int] = {}
        for i in sorted(needed):
            node = self.nodes[i]
            if isinstance(node, Call):
                node = Call(node.operation, tuple(place[a] for a in node.arguments))
            place[i] = result.add(node)
        return tuple(result.nodes)
