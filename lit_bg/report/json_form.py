"""Typed values as JSON, and back.

Dataclasses and named tuples become objects, tuples arrays. By its metadata a field of a dataclass may have its own
fields, or the items of a dictionary, stand among those of its owner (`FLAT`), be left out while it is None (`OMIT`), or have
another key than its name ({KEY: "class"}). JSON knows neither NaN nor infinity: they are null there, and stand beside with
where they are, so that nothing is lost.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from lit_bg.files import finite

NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


# What the metadata of a field may be:
FLAT = {"flat": True}
OMIT = {"omit": True}
KEY = "key"


class _Field(NamedTuple):
    name: str
    kind: Any
    key: str
    flat: bool
    omit: bool
    required: bool


def _fields(kind: Any) -> list[_Field]:
    """Return the fields of a dataclass or a named tuple; none of anything else."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return [
            _Field(
                f.name,
                hints[f.name],
                f.metadata.get(KEY, f.name),
                f.metadata.get("flat", False),
                f.metadata.get("omit", False),
                f.default is MISSING and f.default_factory is MISSING,
            )
            for f in fields(kind)
        ]
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_field_defaults"):
        hints = get_type_hints(kind)
        return [_Field(name, hints[name], name, False, False, name not in kind._field_defaults) for name in hints]
    return []


def to_plain(value: Any) -> Any:
    """Return a value as dictionaries, lists, strings, numbers and None.

    Raises:
        ValueError: two fields would have one key.

    >>> class Point(NamedTuple):
    ...     x: float
    ...     y: float | None = None
    >>> to_plain({"a": (Point(1.0), Point(2.0, 3.0))})
    {'a': [{'x': 1.0, 'y': None}, {'x': 2.0, 'y': 3.0}]}
    """
    own = _fields(type(value))
    if own:
        plain: dict[str, Any] = {}
        for f in own:
            held = getattr(value, f.name)
            if f.flat:
                more = {} if held is None else to_plain(held)
                if taken := plain.keys() & more.keys():
                    raise ValueError(f"'{min(taken)}' is a key of {type(value).__name__} already: give yours another name.")
                plain |= more
            elif not (f.omit and held is None):
                plain[f.key] = to_plain(held)
        return plain
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    return value


def from_plain(kind: Any, plain: Any, where: str = "") -> Any:
    """Return the typed value that `to_plain` made plain.

    Of a union the first member that the keys fit is taken. Keys that no field has go to a flat dictionary, where there is one,
    else nowhere. A null where a number has to be is NaN.

    Args:
        kind: type of the value.
        plain: its plain form.
        where: its path, for errors.

    Raises:
        ValueError: something is missing, or of another type.

    >>> from_plain(tuple[int, ...], [1, 2]), from_plain(float | None, None), from_plain(float, None)
    ((1, 2), None, nan)
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _from_union(arguments, plain, where)
    if own := _fields(kind):
        return _from_object(kind, own, plain, where)
    if origin is tuple:
        return tuple(from_plain(arguments[0], v, f"{where}/{i}") for i, v in enumerate(_checked(plain, list, where)))
    if origin is dict:
        return {k: from_plain(arguments[1], v, f"{where}/{k}") for k, v in _checked(plain, dict, where).items()}
    if origin is Literal:
        if plain not in arguments:
            raise ValueError(f"'{where}' must be one of {', '.join(map(str, arguments))}, got {plain!r}")
        return plain
    if kind is float:
        return math.nan if plain is None else _checked(plain, (int, float), where)
    return plain if kind is Any else _checked(plain, kind, where)


def _from_object(kind: Any, own: list[_Field], plain: Any, where: str) -> Any:
    plain = _checked(plain, dict, where)
    values: dict[str, Any] = {}
    rest = dict(plain)
    for f in own:
        if f.flat:
            continue
        rest.pop(f.key, None)
        if f.key in plain:
            values[f.name] = from_plain(f.kind, plain[f.key], f"{where}/{f.key}")
        elif f.required:
            raise ValueError(f"'{where}/{f.key}' is missing")
    loose = None
    for f in own:
        if f.flat and get_origin(f.kind) is dict:
            loose = f
        elif f.flat:
            values[f.name] = from_plain(f.kind, plain, where)
            rest = {k: v for k, v in rest.items() if k not in _keys(type(values[f.name]))}
    if loose is not None:
        values[loose.name] = from_plain(loose.kind, rest, where)
    return kind(**values)


def _from_union(members: tuple[Any, ...], plain: Any, where: str) -> Any:
    if plain is None:
        return None if type(None) in members else from_plain(members[0], None, where)
    fitting = [m for m in members if m is not type(None) and _fits(m, plain)]
    if not fitting and type(None) in members and isinstance(plain, dict):
        return None  # flat, and nothing of it is there
    if not fitting:
        raise ValueError(f"'{where}' is none of {', '.join(getattr(m, '__name__', str(m)) for m in members)}")
    return from_plain(fitting[0], plain, where)


def _fits(kind: Any, plain: Any) -> bool:
    own = _fields(kind)
    if not own:
        return not isinstance(plain, dict) or get_origin(kind) is dict
    if not isinstance(plain, dict):
        return False
    literals = {f.key: get_args(f.kind) for f in own if get_origin(f.kind) is Literal}
    named = all(plain[key] in values for key, values in literals.items() if key in plain)
    return named and all(f.key in plain for f in own if f.required and not f.flat)


def _keys(kind: Any) -> set[str]:
    return {f.key for f in _fields(kind)}


def _checked(plain: Any, kind: Any, where: str) -> Any:
    if not isinstance(plain, kind) or (isinstance(plain, bool) and kind is not bool):
        raise ValueError(f"'{where}' cannot be {plain!r}")
    return plain


def take_not_finite(plain: Any) -> tuple[Any, dict[str, str]]:
    """Return a plain value with null for every number that is not finite, and which these were by JSON pointer (RFC 6901).

    >>> take_not_finite({"a": [1.0, math.inf], "b/c": {"d": math.nan}})
    ({'a': [1.0, None], 'b/c': {'d': None}}, {'/a/1': 'inf', '/b~1c/d': 'nan'})
    """
    lost = {pointer: "nan" if math.isnan(v) else "inf" if v > 0 else "-inf" for pointer, v in _infinities(plain, "")}
    return finite(plain), lost


def put_not_finite(plain: Any, lost: dict[str, str]) -> None:
    """Put numbers that are not finite back where they were, in place.

    Raises:
        ValueError: there is no such place, or no such number.
    """
    for pointer, name in lost.items():
        *way, last = (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
        try:
            place = plain
            for step in way:
                place = place[int(step) if isinstance(place, list) else step]
            place[int(last) if isinstance(place, list) else last] = NOT_FINITE[name]
        except (LookupError, TypeError, ValueError):
            raise ValueError(f"there is no place '{pointer}' for {name}") from None


def _infinities(plain: Any, at: str) -> Iterator[tuple[str, float]]:
    items = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, value in items:
        yield from _infinities(value, f"{at}/{str(key).replace('~', '~0').replace('/', '~1')}")
    if isinstance(plain, float) and not math.isfinite(plain):
        yield at, plain
