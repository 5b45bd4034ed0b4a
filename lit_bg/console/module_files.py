"""What modules there are and what they may define, from their files alone: importing them would take seconds."""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path


def may_define(path: str) -> bool:
    """Return False if a dotted path names nothing for certain: there is no such module, or its text lacks the name.

    What comes from elsewhere (`import *`, compiled modules, `__getattr__`) may be there.

    >>> may_define("lit_bg.samples.Samples"), may_define("lit_bg.samples.Nope"), may_define("lit_bg.nowhere.Samples")
    (True, False, False)
    """
    *modules, name = path.split(".")
    spec = PathFinder.find_spec(modules[0])
    if spec is None or not spec.submodule_search_locations:
        return False
    place = Path(spec.submodule_search_locations[0], *modules[1:])
    files = [place / "__init__.py", place.with_suffix(".py")]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return any(place.parent.glob(f"{place.name}.*.so")) or any(place.parent.glob(f"{place.name}.*.pyd"))
    text = file.read_text(encoding="utf-8")
    return re.search(rf"\b{re.escape(name)}\b", text) is not None or "import *" in text or "__getattr__" in text


def is_importable(package: str) -> bool:
    """Return whether there is a package or module of a name without dots, which is not imported for that.

    >>> is_importable("json"), is_importable("jsno")
    (True, False)
    """
    return package in sys.modules or importlib.util.find_spec(package) is not None
