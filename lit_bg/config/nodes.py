"""Changes to every node of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def rebuild(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return a configuration in which every dictionary is changed, the inner ones first.

    >>> rebuild([{"a": {"b": 1}}], lambda node: {**node, "n": len(node)})
    [{'a': {'b': 1, 'n': 1}, 'n': 1}]
    """
    if isinstance(value, list):
        return [rebuild(v, change) for v in value]
    if not isinstance(value, dict):
        return value
    return change({k: rebuild(v, change) for k, v in value.items()})
