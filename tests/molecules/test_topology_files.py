"""Every reader against the System its files were written from, and every mistake in one sentence."""

import functools
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openmm
import pytest
from openmm import app, unit

from lit_bg.molecules.structure import Structure
from lit_bg.molecules.topologies import topology_of


class Built(NamedTuple):
    structure: Structure
    system: openmm.System

    @property
    def positions(self):
        return self.structure.positions


def read_molecule(*path, **flat):
    return Built(*topology_of(*path, **flat).build())


ALA2 = "experiments/alanine_dipeptide.pdb"
AAA = "experiments/tri_alanine.pdb"
DATA = "tests/molecules/data/ala2"
PRMTOP, RST7, TOP, GRO = f"{DATA}.prmtop", f"{DATA}.rst7", f"{DATA}.top", f"{DATA}.gro"
PSF, PRM, CRD = f"{DATA}.psf", f"{DATA}.prm", f"{DATA}.crd"
FF = ["amber96.xml", "amber96_obc.xml"]


def energy(system, x):
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(x)
    return context.getState(getEnergy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)


force_field = functools.cache(app.ForceField)


def made(files, **options):
    """What OpenMM's own calls make of the PDB file, and its positions [nm]."""
    pdb = app.PDBFile(ALA2)
    if "box" in options:
        pdb.topology.setUnitCellDimensions(3 * [options.pop("box")])
    system = force_field(*files).createSystem(pdb.topology, **{"rigidWater": False, **options})
    return system, np.array(pdb.positions.value_in_unit(unit.nanometer))


def shaken(x):
    return x + 0.01 * np.random.default_rng(0).standard_normal(x.shape)


AMBER96 = {"files": ["amber96.xml"]}
CUT = {"nonbondedCutoff": 1.2 * unit.nanometer}
CASES = {
    "pdb": ({"topology": ALA2, "forcefield": ["amber96.xml"]}, AMBER96, 1e-12),
    "pdb, cut": (
        {"topology": ALA2, "forcefield": ["amber96.xml"], "nonbonded": "CutoffNonPeriodic", "cutoff": 1.2},
        AMBER96 | {"nonbondedMethod": app.CutoffNonPeriodic, **CUT},
        1e-12,
    ),
    "pdb, other coordinates": ({"topology": ALA2, "forcefield": ["amber96.xml"], "coordinates": RST7}, AMBER96, 1e-12),
    # Files of text hold charges and force constants with 7 to 8 digits.
    "prmtop": ({"topology": PRMTOP, "coordinates": RST7}, AMBER96, 1e-6),
    "prmtop, pdb": ({"topology": PRMTOP, "coordinates": ALA2}, AMBER96, 1e-6),
    "prmtop, OBC1": (
        {"topology": PRMTOP, "coordinates": RST7, "implicit_solvent": "OBC1"},
        {"files": ["amber96.xml", "implicit/obc1.xml"]},
        1e-6,
    ),
    "top": ({"topology": TOP, "coordinates": GRO}, AMBER96, 1e-6),
    "top, CutoffPeriodic": (
        {"topology": TOP, "coordinates": GRO, "nonbonded": "CutoffPeriodic", "cutoff": 1.2},
        AMBER96 | {"nonbondedMethod": app.CutoffPeriodic, "box": 3.0, **CUT},
        1e-6,
    ),
    "prmtop, PME": (
        {"topology": PRMTOP, "coordinates": GRO, "nonbonded": "PME", "cutoff": 1.2},
        AMBER96 | {"nonbondedMethod": app.PME, "box": 3.0, **CUT},
        1e-6,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_energy_is_that_of_the_system_the_files_were_written_from(case):
    arguments, options, tolerance = CASES[case]
    reference, x = made(**options)
    inputs = read_molecule(**arguments)
    # a gro file has three decimals
    np.testing.assert_allclose(inputs.positions, x, atol=5.1e-4)
    assert inputs.positions.dtype == np.float64
    assert inputs.system.getNumConstraints() == 0
    assert list(inputs.structure.elements) == [a.element.symbol for a in app.PDBFile(ALA2).topology.atoms()]
    assert len(inputs.structure.bonds) == 21
    for y in (x, shaken(x)):
        assert energy(inputs.system, y) == pytest.approx(energy(reference, y), rel=tolerance)


def test_charmm_files():
    inputs = read_molecule(PSF, [PRM], coordinates=CRD)
    assert energy(inputs.system, inputs.positions) == pytest.approx(-32.217562137, abs=1e-8)
    # charmm36.xml takes half a minute to load, so its energy is written here
    assert energy(inputs.system, shaken(inputs.positions)) == pytest.approx(764.123256581, abs=1e-6)
    solvated = read_molecule(PSF, [PRM], coordinates=ALA2, implicit_solvent="GBn2")
    names = [force.getName() for force in solvated.system.getForces()]
    assert "CustomGBForce" in names
    np.testing.assert_allclose(solvated.positions, inputs.positions, atol=1e-6)


def test_an_amber_file_with_the_suffix_of_gromacs(tmp_path):
    twin = tmp_path / "ala2.top"
    twin.write_text(Path(PRMTOP).read_text())
    inputs = read_molecule(str(twin), coordinates=RST7)
    assert energy(inputs.system, inputs.positions) == energy(read_molecule(PRMTOP, coordinates=RST7).system, inputs.positions)


def test_the_include_directory_of_gromacs(tmp_path):
    """A topology that includes its force field, from a directory that is named."""
    head, tail = Path(TOP).read_text().split("[ moleculetype ]")
    (tmp_path / "ff").mkdir()
    (tmp_path / "ff" / "amber.itp").write_text(head)
    split = tmp_path / "split.top"
    split.write_text('#include "amber.itp"\n[ moleculetype ]' + tail)
    with pytest.raises(ValueError, match=r"amber.itp; set include: directory that holds it \(forcefield: \[directory\]"):
        read_molecule(str(split), coordinates=GRO)
    inputs = read_molecule(str(split), [str(tmp_path / "ff")], coordinates=GRO)
    assert energy(inputs.system, inputs.positions) == energy(read_molecule(TOP, coordinates=GRO).system, inputs.positions)


def test_disulfides_and_termini_need_no_template_of_their_own(tmp_path):
    """Residues that only a patch describes are no reason to refuse a force field."""
    patched = """<ForceField><AtomTypes><Type name="H" class="H" element="H" mass="1"/></AtomTypes>
      <Residues><Residue name="H1"><Atom name="HA" type="H"/><ExternalBond atomName="HA"/><AllowPatch name="END"/>
      </Residue></Residues>
      <Patches><Patch name="END"><AddAtom name="HB" type="H"/><AddBond atomName1="HA" atomName2="HB"/>
      <RemoveExternalBond atomName="HA"/><ApplyToResidue name="H1"/></Patch></Patches>
      <HarmonicBondForce><Bond class1="H" class2="H" length="0.074" k="1000"/></HarmonicBondForce></ForceField>"""
    pdb = (
        "HETATM    1  HA  H1  A   1       0.000   0.000   0.000  1.00  0.00           H\n"
        "HETATM    2  HB  H1  A   1       0.740   0.000   0.000  1.00  0.00           H\nCONECT    1    2\nEND\n"
    )
    (tmp_path / "h.xml").write_text(patched)
    (tmp_path / "h.pdb").write_text(pdb)
    topology = app.PDBFile(str(tmp_path / "h.pdb")).topology
    assert app.ForceField(str(tmp_path / "h.xml")).getUnmatchedResidues(topology)  # the trap
    assert read_molecule(str(tmp_path / "h.pdb"), [str(tmp_path / "h.xml")]).system.getNumParticles() == 2


def serialized(path, **options):
    system, _ = made(**{"files": FF, **options})
    path.write_text(openmm.XmlSerializer.serialize(system))
    return str(path)


def test_a_serialized_system(tmp_path):
    reference, x = made(FF)
    for topology, coordinates in ((ALA2, None), (PRMTOP, RST7), (TOP, GRO), (PSF, CRD)):
        inputs = read_molecule(topology, system=serialized(tmp_path / "s.xml"), coordinates=coordinates)
        assert energy(inputs.system, x) == pytest.approx(energy(reference, x), rel=1e-12)


def test_constraints_are_dropped_where_the_bonds_are_there_too(tmp_path):
    reference, x = made(FF)
    path = serialized(tmp_path / "flexible.xml", constraints=app.HAngles, flexibleConstraints=True)
    with pytest.warns(UserWarning, match=r"flexible.xml has \d+ constraints, which are dropped") as said:
        inputs = read_molecule(ALA2, system=path)
    assert len(said) == 1
    assert inputs.system.getNumConstraints() == 0
    assert energy(inputs.system, shaken(x)) == pytest.approx(energy(reference, shaken(x)), rel=1e-12)
    with pytest.raises(ValueError, match=r"12 constraints, 12 of them in place of a bond.*constraints=None, rigidWater=False"):
        read_molecule(ALA2, system=serialized(tmp_path / "rigid.xml", constraints=app.HBonds))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_molecule(ALA2, system=serialized(tmp_path / "free.xml"))


def test_virtual_sites_are_refused(tmp_path):
    system, _ = made(FF)
    system.setParticleMass(0, 0.0)
    system.setVirtualSite(0, openmm.TwoParticleAverageSite(1, 2, 0.5, 0.5))
    path = tmp_path / "site.xml"
    path.write_text(openmm.XmlSerializer.serialize(system))
    with pytest.raises(ValueError, match="1 virtual sites"):
        read_molecule(ALA2, system=str(path))


def write(path, text):
    path.write_text(text)
    return str(path)


def mistakes(folder):
    pdb = Path(ALA2).read_text()
    lines = pdb.splitlines(keepends=True)
    nanometres = "".join(
        line[:30] + "".join(f"{float(line[30 + 8 * k : 38 + 8 * k]) / 10:8.3f}" for k in range(3)) + line[54:]
        if line.startswith("ATOM")
        else line
        for line in lines
    )
    angstrom = "".join(
        line[:20] + "".join(f"{10 * float(line[20 + 8 * k : 28 + 8 * k]):8.3f}" for k in range(3)) + "\n"
        if len(line) == 45
        else line
        for line in Path(GRO).read_text().splitlines(keepends=True)
    )
    atoms = [line for line in lines if line.startswith(("ATOM", "HETATM"))]
    carbonyl = next(line for line in atoms if " O   ALA" in line)
    first_h = next(line for line in atoms if " HB1 ALA" in line or "1HB" in line)
    other_order = "".join([*atoms[:2][::-1], *atoms[2:]])
    box = "CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1           1 \n"
    ff = {"forcefield": FF}
    amber = {"topology": PRMTOP, "coordinates": RST7}
    periodic = serialized(folder / "periodic.xml", files=FF[:1], box=3.0, nonbondedMethod=app.PME)
    small = Path(periodic).read_text().replace('cutoff="1"', 'cutoff="1.6"')
    yield {"topology": "experiments/alanine_dipeptid.pdb"} | ff, "did you mean .*alanine_dipeptide.pdb"
    yield {"topology": PRMTOP, "coordinates": f"{DATA}.rst"}, "coordinates .*ala2.rst does not exist: did you mean .*ala2.rst7"
    yield {"topology": write(folder / "x.xyz", "3")} | ff, r"suffix '.xyz', known are .pdb, .* .prmtop, .*.psf"
    yield amber | {"coordinates": write(folder / "y.xyz", "3")}, r"suffix '.xyz', known are .pdb, .*.rst7"
    yield {"topology": write(folder / "nm.pdb", nanometres)} | ff, "median bond .* angstrom"
    yield {"topology": TOP, "coordinates": write(folder / "a.gro", angstrom)}, "median bond .* nanometres"
    yield (
        {"topology": write(folder / "heavy.pdb", "".join(a for a in atoms if "H" not in a[12:16]))} | ff,
        ("residue ACE 1 with 2 atoms: it has no hydrogens: add them with .*addHydrogens"),
    )
    yield (
        {"topology": write(folder / "h.pdb", pdb.replace(first_h, ""))} | ff,
        "residue ALA 2 with 9 atoms: .*missing 1 H atom.*addHydrogens",
    )
    yield (
        {"topology": write(folder / "o.pdb", pdb.replace(carbonyl, ""))} | ff,
        "residue ALA 2 with 9 atoms: .*missing 1 O atom.*PDBFixer",
    )
    yield {"topology": write(folder / "noise.pdb", "ATOM      1  N   ALA A   x")} | ff, "noise.pdb cannot be read as pdb"
    yield {"topology": write(folder / "bad.prmtop", "%VERSION\nx"), "coordinates": RST7}, "OpenMM|cannot be read as prmtop"
    yield {"topology": ALA2, "forcefield": ["amber69.xml"]}, "amber69.xml does not exist: did you mean amber96.xml"
    yield {"topology": ALA2, "forcefield": [write(folder / "bad.xml", "<Force")]}, "bad.xml cannot be read"
    yield {"topology": ALA2}, "forcefield="
    yield {"topology": ALA2, "system": "s.xml"} | ff, "leave forcefield"
    yield {"topology": ALA2, "system": "nowhere.xml"}, "nowhere.xml does not exist"
    yield {"topology": ALA2, "system": ALA2}, "no serialized OpenMM System"
    yield {"topology": AAA, "system": serialized(folder / "s.xml")}, "22 particles and the topology 42 atoms"
    yield {"topology": ALA2, "system": write(folder / "cut.xml", small)}, "cutoff of 1.6 nm, more than half the width 3 nm"
    yield {"topology": PRMTOP}, "holds no positions"
    yield amber | {"coordinates": AAA}, "has 22 atoms, coordinates .* have 42"
    yield amber | {"coordinates": write(folder / "order.pdb", other_order)}, "atom 1 is H .* and C in .*one order"
    yield amber | ff, "holds its force field"
    yield amber | {"nonbonded": "PME"}, "nonbonded=PME needs a box"
    yield amber | {"nonbonded": "Cutoff"}, "nonbonded=Cutoff is unknown: use one of NoCutoff"
    yield amber | {"cutoff": 0.0}, "cutoff must be positive, got 0.0 nm"
    yield amber | {"constraints": "HBonds"}, "constraints=HBonds"
    yield amber | {"implicit_solvent": "OBC3"}, "implicit_solvent=OBC3 is unknown: use one of HCT"
    yield (
        {"topology": write(folder / "box.pdb", box + pdb), "nonbonded": "CutoffPeriodic", "cutoff": 1.01} | ff,
        ("cutoff of 1.01 nm, more than half the width 2 nm of the box"),
    )
    yield {"topology": ALA2, "implicit_solvent": "GBn2"} | ff, "add implicit/gbn2.xml to forcefield"
    yield {"topology": TOP, "coordinates": GRO, "implicit_solvent": "OBC2"}, "implicit/obc2.xml"
    yield {"topology": TOP, "coordinates": GRO, "forcefield": ["nowhere"]}, "is not one directory"
    yield {"topology": TOP, "coordinates": GRO, "forcefield": [str(folder), str(folder)]}, "is not one directory"
    yield {"topology": PSF, "coordinates": CRD}, "CHARMM's .rtf, .prm and .str files"
    yield {"topology": PSF, "coordinates": CRD, "forcefield": [f"{DATA}.pm"]}, "ala2.pm does not exist: did you mean .*ala2.prm"
    yield {"topology": PSF, "coordinates": CRD, "forcefield": [CRD]}, "CHARMM's files are .rtf"
    few = Path(PRM).read_text().replace("\nC NH1 ", "\nC NH9 ")
    yield (
        {"topology": PSF, "coordinates": CRD, "forcefield": [write(folder / "few.prm", few)]},
        "cannot make a System of .*psf: Missing",
    )


def test_every_mistake_is_told_in_one_sentence(tmp_path):
    for arguments, message in mistakes(tmp_path):
        with pytest.raises(ValueError, match=message) as error:
            read_molecule(**arguments)
        assert "\n" not in str(error.value), arguments
