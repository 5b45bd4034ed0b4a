"""What is wrong with a file is said in one sentence, of the right residue, bond or directive."""

import openmm
import pytest

from lit_bg.energies import Molecule

ALANINE = "experiments/alanine_dipeptide.pdb"
VALINE = "tests/data/V.pdb"


def lines(path):
    with open(path) as f:
        return f.read().splitlines()


def spoiled(tmp_path, path, change):
    """A PDB file with every ATOM line changed."""
    kept = [change(line) if line.startswith(("ATOM", "HETATM")) else line for line in lines(path)]
    file = tmp_path / "spoiled.pdb"
    file.write_text("\n".join(line for line in kept if not line.startswith("CONECT")) + "\n")
    return str(file)


@pytest.mark.parametrize("name", ["DAL", "SEP"])
def test_the_unknown_residue_is_named_and_not_its_neighbour(tmp_path, name):
    path = spoiled(tmp_path, "experiments/tri_alanine.pdb", lambda s: s.replace("ALA     3", f"{name}     3"))
    with pytest.raises(ValueError, match=f"does not know residue {name} 3, and no bonds were made for it: rename it"):
        Molecule(path, forcefield=["amber14-all.xml"])


def test_a_molecule_without_hydrogens_by_nature_gets_no_advice_to_add_them(tmp_path):
    path = tmp_path / "co2.pdb"
    atom = "HETATM{:5d}  {:<3s} CO2 A   1    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00           {}"
    rows = [("C", 0.0), ("O1", 1.16), ("O2", -1.16)]
    text = [atom.format(k, name, x, 0, 0, name[0]) for k, (name, x) in enumerate(rows, 1)]
    path.write_text("\n".join([*text, "CONECT    1    2    3", "END", ""]))
    with pytest.raises(ValueError, match="no template fits CO2, add a force-field file"):
        Molecule(str(path), forcefield=["amber14-all.xml"])


def test_a_molecule_cut_by_a_box_names_the_bond(tmp_path):
    first = next(s for s in lines(VALINE) if " CB  VAL" in s)
    far = first[:30] + f"{float(first[30:38]) + 49:8.3f}" + first[38:]
    with pytest.raises(ValueError, match=r"the bond .*CB of VAL2.* is 5\.\d* nm long: make the molecule whole"):
        Molecule(spoiled(tmp_path, VALINE, lambda s: far if s == first else s), forcefield=["amber14-all.xml"])


def test_atoms_in_one_place_are_named(tmp_path):
    at = {s[12:16].strip(): s for s in lines(VALINE) if s.startswith(("ATOM", "HETATM")) and "VAL" in s}
    target = at["HG11"]
    moved = at["HG21"][:30] + target[30:54] + at["HG21"][54:]
    with pytest.raises(ValueError, match=r"HG11 of VAL2 and HG21 of VAL2 .* no two atoms can be in one place"):
        Molecule(spoiled(tmp_path, VALINE, lambda s: moved if s == at["HG21"] else s), forcefield=["amber14-all.xml"])


def write_beads(path, spacing, step):
    """Five atoms without an element, `spacing` [angstrom] apart and the last two by `step`."""
    places = [0, spacing, 2 * spacing, 3 * spacing, 3 * spacing + step]
    rows = [f"HETATM{k:5d}  X{k}  CGB A   1    {x:8.3f}   0.000   0.000  1.00  0.00" for k, x in enumerate(places, 1)]
    path.write_text("\n".join([*rows, *(f"CONECT{k:5d}{k + 1:5d}" for k in range(1, 5)), "END", ""]))


def write_chain(path):
    system, bonds = openmm.System(), openmm.HarmonicBondForce()
    for k in range(5):
        system.addParticle(72.0)
        if k:
            bonds.addBond(k - 1, k, 0.47, 1250.0)
    system.addForce(bonds)
    path.write_text(openmm.XmlSerializer.serialize(system))


def test_bonds_of_beads_are_of_any_length_and_broken_ones_are_named(tmp_path):
    pdb, xml = tmp_path / "cg.pdb", tmp_path / "cg.xml"
    write_chain(xml)
    write_beads(pdb, 4.7, 4.7)
    assert len(Molecule(str(pdb), system=str(xml)).bonds) == 4
    write_beads(pdb, 4.7, 0.0)
    with pytest.raises(ValueError, match=r"X4 of CGB1 and X5 of CGB1 .* no two atoms can be in one place"):
        Molecule(str(pdb), system=str(xml))
    write_beads(pdb, 4.7, 30.0)
    with pytest.raises(ValueError, match=r"the bond X4 of CGB1 - X5 of CGB1 of .* is 3 nm long"):
        Molecule(str(pdb), system=str(xml))


def top(tmp_path, *extra):
    text = "\n".join(lines("tests/molecules/data/ala2.top"))
    file = tmp_path / "x.top"
    file.write_text(text.replace("[ system ]", "\n".join([*extra, "[ system ]"])))
    return str(file)


GRO = "tests/molecules/data/ala2.gro"
RESTRAINTS = ["#ifdef POSRES", "[ position_restraints ]", "  2  1  1000 1000 1000", "#endif"]


def test_restraints_of_a_gromacs_topology_are_said_to_be_left_out(tmp_path, recwarn):
    Molecule(top(tmp_path, *RESTRAINTS), coordinates=GRO)
    assert not any("position_restraints" in str(w.message) for w in recwarn)
    with pytest.warns(UserWarning, match=r"has \[ position_restraints \], which OpenMM leaves out of the energy"):
        Molecule(top(tmp_path, *RESTRAINTS), coordinates=GRO, defines={"POSRES": ""})


@pytest.mark.parametrize("directive", ["position_restraints", "dihedral_restraints", "distance_restraints", "polarization"])
def test_restraints_are_found_behind_defines_and_in_included_files(tmp_path, directive):
    (tmp_path / "more.itp").write_text(f"[{directive}]\n  2  1  1000 1000 1000\n")
    with pytest.warns(UserWarning, match=rf"has \[ {directive} \], which OpenMM leaves out of the energy"):
        Molecule(top(tmp_path, "#define HELD", "#ifdef HELD", '#include "more.itp"', "#endif"), coordinates=GRO)


def test_defines_choose_among_parts_of_a_topology(tmp_path):
    other = ["#ifdef STIFF", "[ bonds ]", "  2  1  1  0.109  1000000", "#endif"]
    path = top(tmp_path, *other)
    plain, stiff = Molecule(path, coordinates=GRO), Molecule(path, coordinates=GRO, defines={"STIFF": ""})
    x = plain.initial.double() * 1.01
    assert stiff.potential(x) > plain.potential(x)
    with pytest.raises(ValueError, match="are for GROMACS topologies"):
        Molecule(ALANINE, forcefield=["amber14-all.xml"], defines={"STIFF": ""})
