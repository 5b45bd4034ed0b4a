"""Configurations for a reader: as YAML, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

SAME = ("version",)  # keys that differ between any two runs and say nothing


def to_yaml(config: Any) -> str:
    """Return a configuration as YAML, without the keys that were left at null."""
    import yaml

    return yaml.safe_dump(_given(config), sort_keys=False, width=100, allow_unicode=True)


def find_differences(configs: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the keys, with dots, whose values differ, and the values in every configuration; a dash where there is none.

    >>> find_differences([{"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}])
    {'a.b': ['1', '3']}
    """
    flat = [dict(_leaves(config)) for config in configs]
    keys = dict.fromkeys(key for leaves in flat for key in leaves)
    rows = {key: [_text(leaves[key]) if key in leaves else "-" for leaves in flat] for key in keys if key not in SAME}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def _leaves(config: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    items = config.items() if isinstance(config, dict) else enumerate(config)
    for key, value in items:
        name = f"{at}.{key}" if at else str(key)
        nested = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, dict) for v in value))
        if nested and value:
            yield from _leaves(value, name)
        else:
            yield name, value


def _given(config: Any) -> Any:
    if isinstance(config, dict):
        return {k: _given(v) for k, v in config.items() if v is not None}
    return [_given(v) for v in config] if isinstance(config, list) else config


def _text(value: Any) -> str:
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n...\n").removesuffix("\n")
