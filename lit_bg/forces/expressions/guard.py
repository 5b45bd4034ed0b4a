"""Gates that keep the branch not taken of a choice out of the gradient."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lit_bg.forces.expressions.graph import Call, Graph, Node, Variable
from lit_bg.forces.expressions.operations import OPERATIONS

FLAT = {"x>=0", "x!=0", "step", "delta", "floor", "ceil"}  # no gradient passes


def guard(nodes: Sequence[Node], functions: Collection[str]) -> tuple[Node, ...]:
    r"""Return the same expression, with gates where it enters the branches of its choices.

    `select(c, a, b)` has the gradient $0 \cdot \partial a$ where b is chosen, which is NaN where $\partial a$ is infinite, as
    of log(x) or sqrt(x) at 0. A branch that contains an operation with such a point therefore sees its input x as
    `where(c, x, x.detach())`: the same value, and a gradient, of any order, that is set to 0 where the branch is not taken.

    The gates stand where the expression enters the part that one branch alone needs, so they cost one `where` per input of
    it. What is needed outside the branch as well, or under another condition, is not guarded by it: its gradient counts
    there anyway. A product `step(c)*a` is not a choice: it is NaN wherever a is infinite, in OpenMM too.

    Args:
        nodes: an expression with choices `?:`, its value the last.
        functions: names of the caller's functions, which may have any gradient.

    Returns:
        The expression with gates, its value the last; the very same if no choice needs one.
    """
    last = len(nodes) - 1
    # The branches (mask, side) that every path from the value to a node passes through, over paths that carry a gradient.
    inside: list[frozenset[tuple[int, int]] | None] = [None] * len(nodes)
    inside[last] = frozenset()
    exposed: set[tuple[int, int]] = set()
    for i in range(last, -1, -1):
        node, here = nodes[i], inside[i]
        if here is None or not isinstance(node, Call):
            continue
        if node.operation in functions or not OPERATIONS[node.operation].regular:
            exposed |= here
        for slot, a in _differentiable(node, functions):
            branches, before = here | _branch(node, slot), inside[a]
            inside[a] = branches if before is None else before & branches
    if not exposed:
        return tuple(nodes)

    graph = Graph(nodes)  # masks need the nodes as they were, free of gates
    live: dict[int, int] = {}
    for i, node in enumerate(nodes):
        live[i] = i
        here = inside[i]
        if here is None or not isinstance(node, Call):
            continue
        arguments = list(node.arguments)
        for slot, a in _differentiable(node, functions):
            arguments[slot] = live[a]
            if isinstance(nodes[a], Call | Variable):
                around = frozenset() if isinstance(nodes[a], Variable) else inside[a] or frozenset()
                for mask, side in sorted(((here | _branch(node, slot)) - around) & exposed):
                    arguments[slot] = graph.call("x|mask" if side == 1 else "x|not mask", mask, arguments[slot])
        live[i] = graph.call(node.operation, *arguments)
    return graph.ending_in(live[last])


def _differentiable(node: Call, functions: Collection[str]) -> list[tuple[int, int]]:
    """Return (slot, argument) of the arguments that receive a gradient."""
    if node.operation in FLAT and node.operation not in functions:
        return []
    return [(slot, a) for slot, a in enumerate(node.arguments) if not (node.operation == "?:" and slot == 0)]


def _branch(node: Call, slot: int) -> frozenset[tuple[int, int]]:
    return frozenset({(node.arguments[0], slot)}) if node.operation == "?:" else frozenset()
