"""What an experiment may name: read from a file that ships with the package, so that nothing heavy need be imported."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("schema.json")
ROOTS = ("lit_bg", "torch", "lightning")  # packages whose classes are known; those of others are their authors' own
ANYTHING = "*"  # in a list of kinds: values that describe no class are accepted, too


class Parameter(NamedTuple):
    """What a key accepts, as far as classes go.

    Attributes:
        kinds: base classes whose descendants it takes, alone or in a list; none for a plain value.
        plain: whether it takes values that are no class, such as a number or a word.
    """

    kinds: tuple[str, ...]
    plain: bool


class KnownClass(NamedTuple):
    """A class that a configuration can name.

    Attributes:
        path: where it is imported from.
        doc: the first sentence of its docstring.
        kinds: base classes of parameters that it descends from.
        parameters: arguments by name.
        abstract: whether it is a base class that cannot be built.
        closed: whether it is a group of values, whose keys are given without a class path.
    """

    path: str
    doc: str
    kinds: tuple[str, ...]
    parameters: dict[str, Parameter]
    abstract: bool
    closed: bool

    @property
    def name(self) -> str:
        """Return the name without the module."""
        return self.path.rpartition(".")[2]


class Schema:
    """Keys of a configuration and classes that they can name.

    Args:
        content: of schema.json, as `lit_bg.console.signatures` writes it.

    Attributes:
        keys: what each dotted key of the sections accepts.
        classes: by every path that names them.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.versions: dict[str, str] = content["versions"]
        self.keys = {key: _parameter(kinds) for key, kinds in content["keys"].items()}
        self.classes: dict[str, KnownClass] = {}
        for path, entry in content["classes"].items():
            known = KnownClass(
                path,
                entry["doc"],
                tuple(entry["kinds"]),
                {name: _parameter(kinds) for name, kinds in entry["parameters"].items()},
                entry.get("abstract", False),
                entry.get("closed", False),
            )
            for name in (path, *entry.get("also", ())):
                self.classes[name] = known

    def children(self, key: str) -> list[str]:
        """Return the keys of a section, or the sections for an empty key.

        >>> read_schema().children("model")
        ['energy', 'generator', 'loss', 'lr_scheduler', 'optimizer', 'seed']
        """
        start = f"{key}." if key else ""
        return list(dict.fromkeys(k[len(start) :].partition(".")[0] for k in self.keys if k.startswith(start)))

    def of_kind(self, kinds: tuple[str, ...]) -> list[KnownClass]:
        """Return the classes that a parameter of some kinds takes, each once, in the order of their names."""
        found = {known.path: known for known in self.classes.values() if set(kinds) & set(known.kinds)}
        return sorted(found.values(), key=lambda known: known.name.lower())

    def is_current(self, root: str) -> bool:
        """Return whether the installed version of a package is the one whose signatures these are.

        Other versions may know other classes and arguments, so that what is unknown here may be right.
        """
        return root not in self.versions or installed(root) == self.versions[root]


def _parameter(kinds: list[str]) -> Parameter:
    return Parameter(tuple(kind for kind in kinds if kind != ANYTHING), not kinds or ANYTHING in kinds)


@cache
def installed(package: str) -> str | None:
    """Return the version of a package that is installed, without what its builder has added; None if it is not."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return None


@cache
def read_schema() -> Schema:
    """Read what ships with the package."""
    return Schema(json.loads(FILE.read_text(encoding="utf-8")))
