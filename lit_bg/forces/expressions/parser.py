"""Parser of OpenMM's expression language, into a graph of operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from lit_bg.forces.expressions.graph import Graph, Node, Number, Variable
from lit_bg.forces.expressions.operations import OPERATIONS, SPELLED, Function, arity


class Token(NamedTuple):
    """Holds a word of the language and where it starts."""

    kind: str  # number, function, name, symbol or end
    text: str
    start: int


# As in Lepton, a name is whatever contains no operator, bracket, comma or space, and a function is a name directly before "(".
_WORDS = re.compile(
    r"(?P<space>\s+)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<symbol>[-+*/^(),])"
    r"|(?P<function>[^-+*/^(),\s.\d][^-+*/^(),\s]*(?=\())|(?P<name>[^-+*/^(),\s][^-+*/^(),\s]*)"
)
_PRECEDENCE = {"+": 0, "-": 0, "*": 1, "/": 1, "^": 3}
DEEPEST = 100  # levels of brackets, calls, signs and powers; this parser calls itself four times a level
LONGEST = 300  # characters of an expression in an error
_NEGATION = 2  # binds tighter than * and looser than ^


def closest(name: str, known: Iterable[str]) -> str:
    """Return the way out of a misspelling: "did you mean ...?" or the list of what there is."""
    known = sorted(set(known))
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none'}."


class ExpressionParser:
    """Parses one expression with its definitions by recursive descent, `expression; name = expression; ...`.

    The grammar is that of Lepton: `^` binds tightest and to the right, then unary minus, then `*` and `/`, then `+` and `-`,
    so that `-a^2 = -(a^2)` and `a^b^c = a^(b^c)`; there is no unary plus. A definition is visible to everything on its left
    and to nothing on its right; of two definitions with one name the left one counts.

    Args:
        text: the expression.
        functions: the caller's functions by name, which hide built-in ones of the same name.
        symbols: numbers of arguments of symbolic functions, whose arguments are names and which become variables.

    Attributes:
        calls: for every symbolic call its function and its arguments.
        defined: the names of all definitions, and their nodes.
    """

    def __init__(self, text: str, functions: Mapping[str, Function], symbols: Mapping[str, int]) -> None:
        self.text = text
        self.functions, self.symbols = functions, symbols
        self.graph = Graph()
        self.calls: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.defined: dict[str, int] = {}

    def parse(self) -> tuple[Node, ...]:
        """Return the nodes of the expression, of which the last is its value.

        Raises:
            ValueError: the text is not an expression; the message names the token, its position and the way out.
        """
        main, *definitions = self._split(";", 0, len(self.text))
        for start, stop in reversed(definitions):
            if self.text[start:stop].strip():
                self._define(start, stop)
        return self.graph.ending_in(self._whole(*main))

    def _split(self, separator: str, start: int, stop: int) -> list[tuple[int, int]]:
        ends = [m.start() for m in re.finditer(separator, self.text[start:stop])]
        return list(zip([start, *(start + e + 1 for e in ends)], [*(start + e for e in ends), stop], strict=True))

    def _define(self, start: int, stop: int) -> None:
        before, equals, _ = self.text[start:stop].partition("=")
        name = before.strip()
        if not equals or not name:
            raise self._error(
                Token("name", self.text[start:stop].strip(), start), "is no definition; write name = expression after each ';'."
            )
        self.defined[name] = self._whole(start + len(before) + 1, stop)

    def _whole(self, start: int, stop: int) -> int:
        self.tokens = [
            Token(str(m.lastgroup), m.group(), m.start())
            for m in _WORDS.finditer(self.text, start, stop)
            if m.lastgroup != "space"
        ]
        self.tokens.append(Token("end", "", stop))
        self.at = self.depth = 0
        value = self._operators(0)
        extra = self.tokens[self.at]
        if extra.text == ")":
            raise self._error(extra, "closes no parenthesis: remove it or add a '('.")
        if extra.text == "(":
            raise self._error(
                extra, "stands where an operator was expected: write '*', or no space between a function and its '('."
            )
        if extra.kind != "end":
            raise self._error(extra, "stands where an operator was expected: put + - * / or ^ before it.")
        return value

    def _next(self) -> Token:
        token = self.tokens[self.at]
        self.at += token.kind != "end"
        return token

    def _operators(self, precedence: int) -> int:
        """Parse a value and all operators after it that bind at least as tightly as `precedence`."""
        value = self._value()
        while (operator := self.tokens[self.at].text) in _PRECEDENCE and _PRECEDENCE[operator] >= precedence:
            self.at += 1
            self.depth += 1  # a^b^c is a^(b^c)
            right = self._operators(_PRECEDENCE[operator] + (operator != "^"))
            self.depth -= 1
            value = self.graph.call(operator, value, right)
        return value

    def _value(self) -> int:
        token = self._next()
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._error(token, f"is nested more than {DEEPEST} levels deep: give parts of it names, ...; name = part.")
        value = self._value_of(token)
        self.depth -= 1
        return value

    def _value_of(self, token: Token) -> int:
        match token.kind, token.text:
            case "number", text:
                return self.graph.add(Number(float(text)))
            case "name", name:
                if "=" in name:
                    raise self._error(token, "is no variable; definitions come after the expression, each behind a ';'.")
                return self.defined[name] if name in self.defined else self.graph.add(Variable(name))
            case "function", _:
                return self._call(token)
            case _, "-":
                return self.graph.call("-x", self._operators(_NEGATION))
            case _, "(":
                value = self._operators(0)
                self._close(token)
                return value
            case "end", _:
                raise self._error(token, "came where a value was expected: the expression is empty or breaks off.")
        raise self._error(token, "stands where a value was expected: put a number, a variable or a function before it.")

    def _close(self, opening: Token) -> None:
        token = self._next()
        if token.text != ")":
            before = "" if token.kind == "end" else f" before {token.text!r} at position {token.start}"
            raise self._error(opening, f"is not closed{before}: add a ')'.")

    def _call(self, token: Token) -> int:
        name, opening = token.text, self._next()
        arguments = [self._operators(0)]
        while self.tokens[self.at].text == ",":
            self.at += 1
            arguments.append(self._operators(0))
        self._close(opening)
        if name in self.symbols:
            wanted = self.symbols[name]
        elif name in self.functions:
            wanted = arity(self.functions[name])
        elif name in SPELLED:
            wanted = OPERATIONS[name].arity
        else:
            raise self._error(token, "is no known function; " + closest(name, [*SPELLED, *self.functions, *self.symbols]))
        if len(arguments) != wanted:
            raise self._error(token, f"takes {wanted} argument{'s' * (wanted != 1)}, got {len(arguments)}: add or remove some.")
        return self._symbolic(token, arguments) if name in self.symbols else self.graph.call(name, *arguments)

    def _symbolic(self, token: Token, arguments: list[int]) -> int:
        names = []
        for node in (self.graph.nodes[i] for i in arguments):
            if not isinstance(node, Variable):
                raise self._error(token, "takes names of particles: give names such as p1, not expressions.")
            names.append(node.name)
        canonical = f"{token.text}({','.join(names)})"
        self.calls[canonical] = token.text, tuple(names)
        return self.graph.add(Variable(canonical))

    def _error(self, token: Token, problem: str) -> ValueError:
        text = self.text
        if len(text) > LONGEST:
            start = max(0, token.start - LONGEST // 2)
            text = f"{'...' if start else ''}{text[start : start + LONGEST]}..."
        what = "its end" if token.kind == "end" else repr(token.text)
        return ValueError(f"in the expression {text!r}, {what} at position {token.start} {problem}")
