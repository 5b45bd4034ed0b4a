"""Classes that have moved: runs of before name them where they were, and go on."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from lit_bg.config.nodes import rebuild

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
    return rebuild(value, _rename)


def _rename(node: dict[str, Any]) -> dict[str, Any]:
    path = str(node.get("class_path", ""))
    former = next((f for f in MOVED if path.startswith(f"{f}.")), None)
    return node if former is None else {**node, "class_path": MOVED[former] + path.removeprefix(former)}
