"""Classes that have moved: runs of before name them where they were, and go on."""

from __future__ import annotations

import importlib
import sys
from typing import Any

MOVED = {"lit_bg.pairings": "lit_bg.losses.pairings"}


def find_moved() -> None:
    """Let packages be imported by their former names, so that a configuration that has one is read."""
    for former, present in MOVED.items():
        sys.modules.setdefault(former, importlib.import_module(present))


def name_as_now(value: Any) -> Any:
    """Return a configuration with the present name of every class.

    >>> name_as_now({"class_path": "lit_bg.pairings.MinibatchOT", "init_args": {"block": 8}})
    {'class_path': 'lit_bg.losses.pairings.MinibatchOT', 'init_args': {'block': 8}}
    """
    if isinstance(value, list):
        return [name_as_now(v) for v in value]
    if not isinstance(value, dict):
        return value
    named = {k: name_as_now(v) for k, v in value.items()}
    path = named.get("class_path")
    if isinstance(path, str):
        package, _, name = path.rpartition(".")
        former = next((f for f in MOVED if f"{package}.".startswith(f"{f}.")), None)
        if former is not None:
            named["class_path"] = f"{MOVED[former]}{package.removeprefix(former)}.{name}"
    return named
