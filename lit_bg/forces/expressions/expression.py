"""Energy expressions of OpenMM's custom forces, evaluated on tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from lit_bg.forces.expressions.bound import Bound
from lit_bg.forces.expressions.graph import Node, Variable
from lit_bg.forces.expressions.operations import Function
from lit_bg.forces.expressions.parser import ExpressionParser, closest


@dataclass(frozen=True)
class Expression:
    """Evaluates an energy expression such as `4*eps*((s/r)^12-(s/r)^6); s=0.5*(s1+s2); eps=sqrt(e1*e2)`.

    The language is OpenMM's: numbers, `+ - * / ^`, parentheses, the functions sqrt exp log sin cos sec csc tan cot asin acos
    atan atan2 sinh cosh tanh erf erfc step delta square cube recip min max abs floor ceil select, functions of the caller,
    and definitions behind semicolons, each visible to what stands on its left. It is read by a parser of its own, never by
    `eval`.

    >>> lj = Expression.parse("4*eps*((s/r)^12-(s/r)^6); s=0.5*(s1+s2)")
    >>> sorted(lj.variables)
    ['eps', 'r', 's1', 's2']
    >>> bound = lj.bind({"eps": 1.0, "s1": torch.tensor([[0.3], [0.4]]), "s2": 0.3}, ["r"])
    >>> bound({"r": torch.full((2, 5), 0.35)}).shape
    torch.Size([2, 5])

    Derivatives are those of autograd, of any order: of step, delta, floor, ceil and conditions they are 0, of abs, min and
    max at a tie the mean of both sides. The branch of a `select` that is not taken contributes no NaN to the gradient, see
    `expression_guard`.

    Attributes:
        text: what was parsed.
        nodes: its operations, the value the last.
        functions: the caller's functions by name.
        calls: function and arguments of every symbolic call by its canonical name, which is a variable: with
            `symbols={"distance": 2}`, `distance(p1, p2)` makes the variable `distance(p1,p2)` and the entry
            `("distance", ("p1", "p2"))`.

    References:
        Eastman et al., OpenMM 7: rapid development of high performance algorithms for molecular dynamics, PLOS Comput. Biol.
        13, e1005659 (2017), doi:10.1371/journal.pcbi.1005659.
    """

    text: str
    nodes: tuple[Node, ...]
    functions: Mapping[str, Function]
    calls: Mapping[str, tuple[str, tuple[str, ...]]]
    _defined: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def parse(
        cls,
        text: str,
        functions: Mapping[str, Function] = MappingProxyType({}),
        symbols: Mapping[str, int] = MappingProxyType({}),
    ) -> Expression:
        """Read an expression.

        Args:
            text: the expression and its definitions.
            functions: functions of tensors by name, such as tabulated functions. Their numbers of arguments are their
                attributes `arity` or follow from their signatures.
            symbols: numbers of arguments of functions of names, such as `{"distance": 2, "angle": 3, "dihedral": 4}`; each
                distinct call becomes a variable, listed in `calls`.

        Raises:
            ValueError: the text is no expression, calls an unknown function or one with the wrong number of arguments; the
                message names the token, its position and the way out.
        """
        parser = ExpressionParser(text, functions, symbols)
        nodes = parser.parse()
        used = {node.name for node in nodes if isinstance(node, Variable)}
        calls = {name: call for name, call in parser.calls.items() if name in used}
        return cls(text, nodes, dict(functions), calls, frozenset(parser.defined))

    @property
    def variables(self) -> frozenset[str]:
        """Return the free variables, symbolic calls among them."""
        return frozenset(node.name for node in self.nodes if isinstance(node, Variable))

    def bind(self, constants: Mapping[str, Tensor | float], variables: Iterable[str]) -> Bound:
        """Fix some variables; what depends on them alone is evaluated here, once, in float64.

        Args:
            constants: values by name. Parameters of M interactions have shape (M, 1), to broadcast against variables of
                shape (M, B); parameters that all share have no dimension. Names that do not occur are welcome.
            variables: the names that come with every call.

        Returns:
            A module that takes the variables as a mapping from names to tensors.

        Raises:
            ValueError: the expression has a variable that is in neither.
        """
        known = {*constants, *variables}
        for name in sorted(self.variables - known):
            position = re.search(rf"(?<![^-+*/^(),;=\s]){re.escape(name)}(?![^-+*/^(),;=\s])", self.text)
            at = f" at position {position.start()}" if position else ""
            if name in self._defined:
                hint = "it is defined, but a definition must stand to the right of all its uses and not use itself."
            else:
                hint = closest(name, known)
            raise ValueError(f"in the expression {self.text!r}, the variable {name!r}{at} is unknown; {hint}")
        used = self.variables & constants.keys()
        fixed = {name: torch.as_tensor(constants[name], dtype=torch.float64).detach() for name in used}
        return Bound(self.nodes, fixed, self.functions)

    def __call__(self, values: Mapping[str, Tensor | float]) -> Tensor:
        """Evaluate for given values of all variables, once; bind an expression that is evaluated often.

        Raises:
            ValueError: a variable has no value.
        """
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        return self.bind({name: value for name, value in values.items() if name not in tensors}, tensors)(tensors)
