"""A configuration as a run keeps it: without what belongs to one machine, and without keys that say nothing."""

from __future__ import annotations

import inspect
import os
import pydoc
from typing import Any

from jsonargparse import ArgumentParser

from lit_bg.config.nodes import rebuild


def make_relative(value: Any) -> Any:
    """Return a configuration whose absolute paths are relative to the working directory.

    Of a path outside it the name is left, which `inputs/` of the run has a copy of.
    """
    if isinstance(value, dict):
        return {k: make_relative(v) for k, v in value.items()}
    if isinstance(value, list):
        return [make_relative(v) for v in value]
    if isinstance(value, str) and os.path.isabs(value):
        path = os.path.relpath(value)
        return os.path.basename(value) if path.startswith(os.pardir) else path
    return value


def leave_out_unset(value: Any) -> Any:
    """Return a configuration without the optional keys that nobody has set.

    A class may take keys by `**`, as `Molecule` takes those of the flat spelling. The parser writes all of them; one that is
    null and is null by default says nothing, so that it is left out and read back as it was. Arguments that a class names
    itself stay, whatever they are.
    """
    return rebuild(value, _without_unset)


def _without_unset(node: dict[str, Any]) -> dict[str, Any]:
    arguments = node.get("init_args")
    if not isinstance(arguments, dict) or not isinstance(node.get("class_path"), str):
        return node
    spare = _null_by_default(node["class_path"]) if None in arguments.values() else set()
    return {**node, "init_args": {k: v for k, v in arguments.items() if v is not None or k not in spare}}


def _null_by_default(path: str) -> set[str]:
    """Return the keys that a class takes by `**` and that are null where they are not given."""
    kind = pydoc.locate(path)
    if not isinstance(kind, type):
        return set()
    named = inspect.signature(kind).parameters
    if all(p.kind is not p.VAR_KEYWORD for p in named.values()):
        return set()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, fail_untyped=False, instantiate=False)
    return {k for k, v in vars(parser.get_defaults()).items() if v is None and k not in named}
