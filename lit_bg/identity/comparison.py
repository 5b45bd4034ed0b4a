"""Two configurations compared, and what is said where they differ or cannot be compared."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any, NamedTuple

from lit_bg.identity.canonical import FILE, NODE

TOLERANCE = 1e-6  # relative, of numbers that went through single precision or a few digits
LONGEST = 80  # characters of a value in a message


class Comparison(NamedTuple):
    """What two configurations have to say of each other."""

    difference: str | None  # the first one, such as "a1 = 1.0, not 0.5"; None: they are one as far as they can be compared
    unknown: tuple[str, ...] = ()  # what cannot be compared, each with the reason

    @property
    def doubt(self) -> str:
        """Return what cannot be compared as one phrase; empty where nothing is."""
        return "; ".join(self.unknown)


def compare(mine: Any, theirs: Any, exact: bool = False) -> Comparison:
    """Compare a configuration with one that was written down.

    Files are one if their content is, and classes of one name if their package is (or one of them is a script). What one side
    does not say is not held against it and is named in `unknown`: arguments that a class has got since, values of which nobody
    can say what they are, and nodes of versions before this, which hold no packages, no files and no arguments of topologies.

    Args:
        mine: what is asked for.
        theirs: what was written down.
        exact: numbers are equal to the last bit; else within 1e-6 of their value.

    >>> from lit_bg.energies import DoubleWell
    >>> from lit_bg.identity import identify
    >>> compare(identify(DoubleWell(a1=0.5)), identify(DoubleWell())).difference
    'a1 = 1.0, not 0.5'
    """
    unknown: list[str] = []
    return Comparison(_walk(mine, theirs, "", exact, unknown), tuple(unknown))


def _walk(mine: Any, theirs: Any, name: str, exact: bool, unknown: list[str]) -> str | None:
    for value in (mine, theirs):
        if isinstance(value, dict) and value.keys() == {"unknown"}:
            unknown.append(f"{name}: {value['unknown']}")
            return None
    if _is(FILE, mine) and _is(FILE, theirs):
        if mine["sha256"] == theirs["sha256"]:
            return None
        return f"another content of {name} = {mine['file']}" if mine["file"] == theirs["file"] else _said(name, mine, theirs)
    if isinstance(mine, dict) and mine.keys() >= NODE:
        return _walk_nodes(mine, theirs, name, exact, unknown)
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = [*mine, *(key for key in theirs if key not in mine)]
        where = {key: name if key in ("class", "parameters") and name else f"{name}.{key}".lstrip(".") for key in keys}
        found = (_walk(mine.get(key), theirs.get(key), where[key], exact, unknown) for key in keys)
        return next((difference for difference in found if difference is not None), None)
    if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        found = (_walk(a, b, name, exact, unknown) for a, b in zip(mine, theirs, strict=True))
        return None if all(difference is None for difference in found) else _said(name, mine, theirs)
    return None if _equal(mine, theirs, exact) else _said(name, mine, theirs)


def _walk_nodes(mine: dict[str, Any], theirs: Any, name: str, exact: bool, unknown: list[str]) -> str | None:
    of = name or "the target"
    if not isinstance(theirs, dict) or "parameters" not in theirs:
        if theirs is None or (isinstance(theirs, str) and name):  # a file by its name, and what it needs beside it
            unknown.append(f"{of}: written by an earlier version")
            return None
        return _said(name, mine, theirs)
    packages = {mine["package"], theirs.get("package", mine["package"])}
    if mine["class"] != theirs["class"] or (len(packages) > 1 and "__main__" not in packages):
        here, there = ([node.get("package", ""), node["class"]] for node in (mine, theirs))
        start = int(here[1] != there[1])  # the packages are named where they are all that differs
        return f"{of} = {'.'.join(there[start:])}, not {'.'.join(here[start:])}"
    if "kT" in mine and "kT" in theirs and not _equal(mine["kT"], theirs["kT"], exact):
        return _said(f"{name}.kT", mine["kT"], theirs["kT"])
    old = "package" not in theirs
    for key in {**mine["parameters"], **theirs["parameters"]}:
        where = f"{name}.{key}".lstrip(".")
        if all(key in node["parameters"] for node in (mine, theirs)):
            a, b = mine["parameters"][key], theirs["parameters"][key]
            if old and _is(FILE, a):
                unknown.append(f"the content of {where}: written by an earlier version")
                a, b = a["file"], PurePath(str(b)).name
            difference = _walk(a, b, where, exact, unknown)
            if difference is not None:
                return difference
        elif not old or mine["parameters"].get(key, {}) != {}:
            unknown.append(f"{where}: not written by an earlier version")
    return None


def _is(keys: set[str], value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == keys


def _equal(a: Any, b: Any, exact: bool) -> bool:
    if not exact and isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-12)
    return bool(a == b)


def _said(name: str, mine: Any, theirs: Any) -> str:
    if name.endswith(".sha256"):
        return f"another content of {name.removesuffix('.sha256')}"
    here, there = _brief(mine), _brief(theirs)
    if here == there:  # too long to be shown
        return f"another value of {name}"
    return f"{name} = {there}, not {here}"


def _brief(value: Any) -> str:
    """Return a value in a few words: files by their name, objects by their class."""
    text = str(_names(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _names(value: Any) -> Any:
    if isinstance(value, list):
        return [_names(part) for part in value]
    if _is(FILE, value):
        return value["file"]
    return value["class"] if isinstance(value, dict) and "class" in value else value
