"""Imports run downwards: no room of the package knows one above it, not even for a type."""

import ast
from pathlib import PurePosixPath

import pytest
from snippets import ROOT

# From the ground to the roof. Whatever stands in a line knows only what stands before it; an inner room,
# or a file that needs nothing of its room, has a place of its own.
ROOMS = (
    "files", "identity", "activity", "shipped", "rng", "signals", "cost", "compiling",
    "config.old_spelling", "config.command_line", "config.file", "runs.folder", "runs.metrics_file",
    "spaces", "molecules", "molecules.topologies", "forces.expressions", "forces",
    "samples", "estimators",
    "interpolants", "solvers", "nets", "transforms",
    "energies", "bases", "generators",
    "kernels", "simulators", "data", "evaluate", "samplers",
    "losses.pairings", "losses",
    "diagnostics", "metrics", "figures", "report",
    "optimizer_trial", "module", "callbacks",
    "config", "runs", "__init__", "commands", "sweeps", "console",
    "fit", "simulate", "sample", "free_energy", "judge", "profile", "sweep", "wandb_workspace", "__main__",
    "testing",
)  # fmt: skip
BESIDE = {"energies": {"interpolants", "solvers", "nets", "transforms"}}  # a system knows nothing of what models are made of


def room_of(name: str) -> str:
    """Return the innermost room that a module, named without `lit_bg`, is in.

    >>> room_of("losses.pairings.base"), room_of("losses.batch"), room_of("load")
    ('losses.pairings', 'losses', '__init__')
    """
    parts = name.split(".")
    inner = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((room for room in inner if room in ROOMS), "__init__")


def imported(source: str, package: str) -> set[str]:
    """Return the rooms that a file imports from, wherever in it and for whatever purpose.

    Args:
        source: text of the file.
        package: the one that it is in, such as `lit_bg.nets`.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return {room_of(name.removeprefix("lit_bg").removeprefix(".")) for name in names if name.split(".")[0] == "lit_bg"}


def refused(source: str, path: str) -> list[str]:
    """Return the rooms above or beside its own that a file, `lit_bg/nets/egnn.py` say, imports from."""
    module = PurePosixPath(path).relative_to("lit_bg").with_suffix("")
    own = room_of(".".join(module.parts))
    found = imported(source, ".".join(PurePosixPath(path).parent.parts))
    return sorted(room for room in found if ROOMS.index(room) > ROOMS.index(own) or room in BESIDE.get(own, ()))


def test_no_import_goes_up():
    files = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "lit_bg").rglob("*.py")}
    found = {path: refused(source, path) for path, source in files.items()}
    assert {path: rooms for path, rooms in found.items() if rooms} == {}


def test_every_room_has_its_place():
    """A new room is given one here; a room that is gone leaves none."""
    top = {p.stem for p in (ROOT / "lit_bg").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert top == {room for room in ROOMS if "." not in room}
    inner = [ROOT / "lit_bg" / room.replace(".", "/") for room in ROOMS if "." in room]
    assert all((place / "__init__.py").is_file() or place.with_suffix(".py").is_file() for place in inner)
    assert len(set(ROOMS)) == len(ROOMS)


@pytest.mark.parametrize(
    ("path", "source", "room"),
    [
        ("lit_bg/energies/base.py", "from lit_bg.transforms import Chart", "transforms"),
        ("lit_bg/nets/egnn.py", "from lit_bg.energies.base import Energy", "energies"),
        ("lit_bg/nets/egnn.py", "if TYPE_CHECKING:\n    from lit_bg.energies.base import Energy", "energies"),
        ("lit_bg/nets/egnn.py", "def build():\n    import lit_bg.energies.base as base", "energies"),
        ("lit_bg/nets/egnn.py", "from ..energies.base import Energy", "energies"),
        ("lit_bg/nets/egnn.py", "from .. import energies", "energies"),
        ("lit_bg/nets/egnn.py", "from .mlp import MLP", None),
        ("lit_bg/estimators/bar.py", "from lit_bg import spaces, energies", "energies"),
        ("lit_bg/losses/pairings/base.py", "from lit_bg.losses.batch import Batch", "losses"),
        ("lit_bg/losses/base.py", "from lit_bg.losses.pairings import Pairing", None),
        ("lit_bg/runs/load.py", "from lit_bg import load", "__init__"),
        ("lit_bg/__init__.py", "import lit_bg.fit", "fit"),
        ("lit_bg/files.py", "import os, lit_bg.rng", "rng"),
        ("lit_bg/files.py", "import lit_bg_of_another", None),
    ],
)
def test_an_import_upwards_is_caught(path, source, room):
    assert refused(source, path) == ([] if room is None else [room])
