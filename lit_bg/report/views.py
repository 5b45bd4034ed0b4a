"""Molecules of a page: what the viewer shows, and a still picture for readers without one."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from lit_bg.figures import draw_molecule
from lit_bg.figures.style import png

TITLES = {"lowest_energy": "Lowest energy of all proposals", "highest_weight": "Highest weight of all proposals"}


class View(NamedTuple):
    """A structure to look at."""

    name: str
    title: str
    pdb: str  # of the first model
    still: bytes  # PNG


def view(name: str, path: Path) -> View:
    """Return the first model of a PDB file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    import mdtraj

    try:
        frame = mdtraj.load_frame(str(path), 0)
        table = frame.topology
        elements = [atom.element.symbol if atom.element is not None else "" for atom in table.atoms]
        bonds = [(bond.atom1.index, bond.atom2.index) for bond in table.bonds]
        still = png(draw_molecule(frame.xyz[0].astype(float), elements, bonds))
        return View(name, TITLES.get(name, name), first_model(path.read_text(encoding="utf-8")), still)
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"'{path}' is no PDB file ({error}): mend it, or move it away.") from error


def first_model(pdb: str) -> str:
    r"""Return the first model of a PDB file, with its bonds.

    >>> first_model("MODEL 0\nATOM 1\nENDMDL\nMODEL 1\nATOM 2\nENDMDL\nCONECT 1\nEND\n")
    'ATOM 1\nCONECT 1\nEND\n'
    """
    lines = pdb.splitlines()
    end = next((i for i, line in enumerate(lines) if line.startswith("ENDMDL")), len(lines))
    atoms = [line for line in lines[:end] if line.startswith(("ATOM", "HETATM"))]
    bonds = [line for line in lines if line.startswith("CONECT")]
    return "\n".join([*atoms, *bonds, "END", ""])


def viewer() -> str:
    """Return 3Dmol.js with its licence in front, fit to stand inside a script element."""
    folder = files("lit_bg.report") / "vendored"
    licence = (folder / "3Dmol-LICENSE.txt").read_text(encoding="utf-8")
    code = (folder / "3Dmol-min.js").read_text(encoding="utf-8")
    return "/*!\n" + licence.replace("*/", "* /") + "\n*/\n" + code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
