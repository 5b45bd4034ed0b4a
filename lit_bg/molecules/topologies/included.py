"""Files that name further files: which content a force field or a topology of GROMACS has with all that it includes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from lit_bg.identity import describe_file

XML = re.compile(r"<Include\s+file\s*=\s*[\"']([^\"']+)")
GROMACS = re.compile(r"^[ \t]*#include\s+[\"<]([^\">]+)", re.MULTILINE)


def force_field_file(name: str | Path) -> str | dict[str, str]:
    """Return what tells one of OpenMM's force-field files from others: its name; of any other file its content.

    The name is that in OpenMM's own folder, whatever path was given.
    """
    from openmm import app

    own, file = Path(app.__file__).parent / "data", Path(name)
    if not file.is_file():
        return str(name)
    if file.resolve().is_relative_to(own.resolve()):
        return file.resolve().relative_to(own.resolve()).as_posix()
    return describe_file(file, _find_included(file, XML, [own]))


def topology_with_includes(path: Path, include: str | None) -> dict[str, str]:
    """Return what tells a topology of GROMACS from others: its content, and that of all files that it includes.

    Args:
        path: of the topology.
        include: the folder in which they are looked for, beside its own and that of GROMACS (GMXDATA).
    """
    folders = [path.parent, *([Path(include)] if include is not None else [])]
    if "GMXDATA" in os.environ:
        folders.append(Path(os.environ["GMXDATA"]) / "top")
    return describe_file(path, _find_included(path, GROMACS, folders))


def _find_included(file: Path, pattern: re.Pattern[str], folders: Sequence[Path]) -> list[Path]:
    """Return all files that a file includes, and those that these include, without those that cannot be found."""
    found: list[Path] = []
    waiting = [file]
    while waiting:
        now = waiting.pop()
        text = now.read_text(errors="replace") if now.is_file() else ""
        for name in pattern.findall(text):
            here = next((path for folder in (now.parent, *folders) if (path := folder / name).is_file()), None)
            if here is not None and here.resolve() not in [file.resolve(), *found]:
                found.append(here.resolve())
                waiting.append(here)
    return found
