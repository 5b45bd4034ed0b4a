"""Experiments that ship with the package: what begins with experiments/ and is not here is taken from there."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePath

from lit_bg.activity import say

FOLDER = "experiments"


def find_shipped() -> Path | None:
    """Return the folder of the experiments: inside an installed package, beside the package in a checkout; None without one."""
    package = Path(str(files("lit_bg")))
    if (package / FOLDER).is_dir():
        return package / FOLDER
    beside = package.parent / FOLDER
    return beside if beside.is_dir() and (package.parent / "pyproject.toml").is_file() else None


def locate(path: str) -> str:
    """Return the path of a file: the one that is given, or where nothing is, the one that ships with lit_bg under this name.

    Which file ships is said once, to standard error.

    >>> locate("elsewhere/double_well.yaml")
    'elsewhere/double_well.yaml'
    """
    parts = PurePath(path).parts
    if os.path.exists(path) or not parts or parts[0] != FOLDER or ".." in parts:
        return path
    folder = find_shipped()
    if folder is None or not folder.joinpath(*parts[1:]).is_file():
        return path
    found = str(folder.joinpath(*parts[1:]))
    _say(path, found)
    return found


def locate_configurations(args: Sequence[str]) -> list[str]:
    """Return the arguments of a command, with the files after -c or --config located.

    >>> locate_configurations(["-c", "elsewhere/my.yaml", "--name=my"])
    ['-c', 'elsewhere/my.yaml', '--name=my']
    """
    found = list(args)
    for i, word in enumerate(args):
        if word in ("-c", "--config") and i + 1 < len(args):
            found[i + 1] = locate(args[i + 1])
        elif word.startswith("--config="):
            found[i] = f"--config={locate(word.removeprefix('--config='))}"
    return found


def suggest(path: str) -> str:
    """Return the path of the experiment that ships and has the closest name, or of one that everybody can run."""
    folder = find_shipped()
    names = [] if folder is None else [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*.yaml"))]
    close = difflib.get_close_matches(PurePath(path).as_posix().removeprefix(f"{FOLDER}/"), names, 1)
    return f"{FOLDER}/{close[0] if close else 'double_well.yaml'}"


@cache  # once for every file
def _say(path: str, found: str) -> None:
    say(f"{path} is not here: taken from the package, {found}")
