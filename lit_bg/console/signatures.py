"""python -m lit_bg.console.signatures: write schema.json, what an experiment may name, from the signatures themselves.

To be run after an argument of a public class, or a class, has come or gone; a test compares the file with the signatures.
"""

from __future__ import annotations

import collections.abc
import importlib
import inspect
import json
import pkgutil
from argparse import ArgumentParser
from typing import Any, get_args, get_origin

from jsonargparse._common import get_generic_origin, get_unaliased_type, is_subclasses_disabled
from jsonargparse._parameter_resolvers import get_signature_parameters
from jsonargparse._typehints import get_all_subclass_paths, is_single_subclass_or_closed_type
from jsonargparse._util import get_import_path

from lit_bg.console.schema import ANYTHING, FILE, installed

PUBLIC = ("lit_bg.", "torch.optim.", "lightning.")
FOREIGN = ("torch", "lightning")
HIDDEN = ("lit_bg.testing.", "lit_bg.runs.")  # classes that no experiment names, there or not by what was imported before
GIVEN = ("params", "optimizer")  # what optimizers and schedules of the learning rate are given where they are built
SMALLEST = {
    "energy": {"class_path": "DoubleWell"},
    "generator": {"class_path": "CouplingFlow"},
    "loss": {"class_path": "ReverseKL"},
    "optimizer": {"class_path": "torch.optim.Adam"},
}


def make_schema() -> dict[str, Any]:
    """Return keys, classes and versions as schema.json holds them."""
    from lit_bg.config import cli
    from lit_bg.samplers import Sampler

    for package in cli.public_packages():  # a class may be named by its full path wherever its module is
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    keys: dict[str, list[str]] = {}
    kinds: set[type] = {Sampler}  # which no experiment names, and `lit-bg list` does
    for action in cli.CLI({"model": SMALLEST}).parser._actions:
        if not action.dest.endswith(".help") and action.dest not in ("help", "trainer", "model", "data"):
            found, plain = find_kinds(getattr(action, "_typehint", None))
            keys[action.dest] = _encode(found, plain)
            kinds |= found
    classes = _describe_all(kinds)
    versions = {package: installed(package) for package in FOREIGN}
    return {"versions": versions, "keys": dict(sorted(keys.items())), "classes": dict(sorted(classes.items()))}


def _describe_all(kinds: set[type]) -> dict[str, dict[str, Any]]:
    """Describe the classes of some kinds, and those that their parameters take, which are added to the kinds."""
    classes: dict[str, dict[str, Any]] = {}
    described: dict[str, type] = {}
    queue = [*kinds]
    while queue:
        for path in get_all_subclass_paths(queue.pop(), include_abstract=True):
            if path not in described and path.startswith(PUBLIC) and not path.startswith(HIDDEN):
                described[path] = of = _import(path)
                classes[path], found = _describe(path, of)
                queue += found - kinds
                kinds |= found
    for path, entry in classes.items():
        entry["kinds"] = sorted(str(get_import_path(base)) for base in kinds if issubclass(described[path], base))
    return classes


def _describe(path: str, of: type) -> tuple[dict[str, Any], set[type]]:
    """Describe one class; return the kinds that its parameters take, too."""
    entry: dict[str, Any] = {"doc": _first_sentence(of), "kinds": [], "parameters": {}}
    if inspect.isabstract(of):
        entry["abstract"] = True
    if is_subclasses_disabled(of):
        entry["closed"] = True
    if (defined := f"{of.__module__}.{of.__qualname__}") != path:
        entry["also"] = [defined]
    kinds: set[type] = set()
    for parameter in get_signature_parameters(of, None):
        if not (parameter.name in GIVEN and path.startswith(FOREIGN)):
            found, plain = find_kinds(parameter.annotation)
            entry["parameters"][parameter.name] = _encode(found, plain)
            kinds |= found
    return entry, kinds


def find_kinds(typehint: Any) -> tuple[set[type], bool]:
    """Return the classes that a type takes descriptions of, and whether it takes plain values too.

    >>> from lit_bg.losses import Loss
    >>> find_kinds(list[Loss] | None), find_kinds(int | str)
    (({<class 'lit_bg.losses.base.Loss'>}, False), (set(), True))
    """
    if typehint is type(None):
        return set(), False
    typehint = get_unaliased_type(typehint)
    origin = get_origin(typehint)
    if origin is collections.abc.Callable:
        found, plain = find_kinds(get_args(typehint)[1]) if get_args(typehint) else (set(), True)
        return found, plain or not found
    if is_single_subclass_or_closed_type(typehint, origin) and typehint is not inspect.Parameter.empty:
        of = get_generic_origin(typehint)
        named = str(get_import_path(of)).startswith(PUBLIC) and not issubclass(of, ArgumentParser)
        return ({of}, False) if named else (set(), True)  # no YAML builds a tensor
    inner = [] if origin is type else [hint for hint in get_args(typehint) if hint is not ...]
    if inspect.isclass(origin) and issubclass(origin, collections.abc.Mapping):
        inner = inner[1:]
    parts = [find_kinds(hint) for hint in inner if not isinstance(hint, (str, int, list))]
    classes: set[type] = set().union(*(found for found, _ in parts))
    return classes, not classes or any(plain for _, plain in parts)


def _first_sentence(of: type) -> str:
    """Of a docstring, on one line; of our own classes, since only those are listed."""
    if of.__module__.partition(".")[0] != "lit_bg":
        return ""
    paragraph = " ".join((inspect.getdoc(of) or "").partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".:")


def _import(path: str) -> type:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _encode(kinds: set[type], plain: bool) -> list[str]:
    """Plain values are an empty list, as most arguments are."""
    return sorted(str(get_import_path(kind)) for kind in kinds) + ([ANYTHING] if plain and kinds else [])


def write(schema: dict[str, Any]) -> str:
    """Return the schema as text, a line per key and class, so that a change is seen as what it is."""
    lines = []
    for section, content in schema.items():
        inside = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in content.items())
        lines.append(f" {json.dumps(section)}: {{\n{inside}\n }}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(write(make_schema()), encoding="utf-8")
    print(f"Written: {FILE}")
