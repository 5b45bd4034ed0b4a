"""Every kind of topology makes one molecule, whether it is an object, flat keys beside a path, or YAML."""

import copy
import inspect
import pickle
import re
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
import yaml
from openmm import app, unit

from lit_bg.config.cli import CLI, build
from lit_bg.energies import Energy, Molecule
from lit_bg.identity import compare, identify
from lit_bg.molecules import topologies
from lit_bg.molecules.topologies import (
    CHARMM,
    GROMACS,
    PDB,
    Amber,
    OpenMMObjects,
    Read,
    SerializedSystem,
    Topology,
    TopologyFile,
    topology_of,
)

ALA2 = "experiments/alanine_dipeptide.pdb"
DATA = "tests/molecules/data/ala2"
FF = ["amber96.xml", "amber96_obc.xml"]
AMBER = {"path": f"{DATA}.prmtop", "coordinates": f"{DATA}.rst7"}


def flat(path, **more):
    return {"topology": path, **more}


# Class, its arguments, and the same beside a path; {system} and {ff} are files that the test writes.
KINDS = {
    "pdb": (PDB, {"path": ALA2, "forcefield": FF}, flat(ALA2, forcefield=FF)),
    "pdb, cut": (
        PDB,
        {"path": ALA2, "forcefield": FF[:1], "coordinates": f"{DATA}.rst7", "nonbonded": "CutoffNonPeriodic", "cutoff": 0.8},
        flat(ALA2, forcefield=FF[:1], coordinates=f"{DATA}.rst7", nonbonded="CutoffNonPeriodic", cutoff=0.8),
    ),
    "amber": (
        Amber,
        {**AMBER, "implicit_solvent": "OBC1"},
        flat(AMBER["path"], coordinates=AMBER["coordinates"], implicit_solvent="OBC1"),
    ),
    "gromacs": (GROMACS, {"path": f"{DATA}.top", "coordinates": f"{DATA}.gro"}, flat(f"{DATA}.top", coordinates=f"{DATA}.gro")),
    "gromacs, with all": (
        GROMACS,
        {"path": "{top}", "coordinates": f"{DATA}.gro", "include": "{ff}", "defines": {"STIFF": ""}},
        flat("{top}", coordinates=f"{DATA}.gro", forcefield=["{ff}"], defines={"STIFF": ""}),
    ),
    "charmm": (
        CHARMM,
        {"path": f"{DATA}.psf", "coordinates": f"{DATA}.crd", "parameters": [f"{DATA}.prm"]},
        flat(f"{DATA}.psf", coordinates=f"{DATA}.crd", forcefield=[f"{DATA}.prm"]),
    ),
    "serialized": (SerializedSystem, {"path": "{system}", "structure": ALA2}, flat(ALA2, system="{system}")),
    "serialized, atoms of amber": (
        SerializedSystem,
        {"path": "{system}", "structure": {"class_path": "Amber", "init_args": AMBER}},
        flat(AMBER["path"], coordinates=AMBER["coordinates"], system="{system}"),
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files that the kinds above name."""
    folder = tmp_path_factory.mktemp("files")
    pdb = app.PDBFile(ALA2)
    system = app.ForceField(*FF).createSystem(pdb.topology, rigidWater=False)
    (folder / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    with open(f"{DATA}.top") as f:
        head, tail = f.read().split("[ moleculetype ]")
    (folder / "ff").mkdir()
    (folder / "ff" / "amber.itp").write_text(head)
    stiff = "#ifdef STIFF\n[ bonds ]\n  2  1  1  0.109  1000000\n#endif\n[ system ]"
    (folder / "split.top").write_text('#include "amber.itp"\n[ moleculetype ]' + tail.replace("[ system ]", stiff))
    return {"{system}": str(folder / "system.xml"), "{ff}": str(folder / "ff"), "{top}": str(folder / "split.top")}


def filled(value, files):
    if isinstance(value, dict):
        return {k: filled(v, files) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(v, files) for v in value]
    return files.get(value, value) if isinstance(value, str) else value


def experiment(folder, arguments):
    """The path of an experiment with a Molecule of these arguments."""
    model = {"energy": {"class_path": "Molecule", "init_args": arguments}, "generator": {"class_path": "CouplingFlow"}}
    model |= {"loss": {"class_path": "ReverseKL"}, "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.001}}}
    file = folder / "x.yaml"
    file.write_text(yaml.safe_dump({"model": model}))
    return str(file)


def made(cls, arguments):
    """The object, with objects inside it made too."""
    inner = arguments.get("structure")
    if isinstance(inner, dict):
        arguments = arguments | {"structure": made(getattr(topologies, inner["class_path"]), inner["init_args"])}
    return cls(**arguments)


def test_every_kind_is_here():
    kinds = {c for c in vars(topologies).values() if inspect.isclass(c) and issubclass(c, Topology)}
    assert {cls for cls, _, _ in KINDS.values()} == kinds - {Topology, TopologyFile, OpenMMObjects}


@pytest.mark.parametrize("kind", KINDS)
class TestBothSpellings:
    def test_make_one_molecule_of_one_identity(self, kind, files):
        cls, arguments, beside = KINDS[kind]
        arguments, beside = filled(arguments, files), filled(beside, files)
        molecules = [
            Molecule(made(cls, arguments), 310.0),
            Molecule(temperature=310.0, **beside),
            *(
                build(Energy, {"class_path": "Molecule", "init_args": {"temperature": 310.0, **keys}})
                for keys in ({"topology": {"class_path": cls.__name__, "init_args": arguments}}, beside)
            ),
        ]
        first = molecules[0]
        x = first.initial.double() + 0.01 * torch.randn(4, *first.space.shape, generator=torch.Generator().manual_seed(0))
        for other in molecules[1:]:
            assert torch.equal(other(x), first(x))
            assert other.name == first.name
            assert other.structure.names == first.structure.names
            assert compare(identify(other), identify(first), exact=True) == (None, ())
        assert first.name == beside["topology"]

    def test_can_be_copied_and_pickled(self, kind, files):
        cls, arguments, _ = KINDS[kind]
        topology = made(cls, filled(arguments, files))
        for twin in (copy.deepcopy(topology), pickle.loads(pickle.dumps(topology))):
            assert identify(twin) == identify(topology)

    def test_a_run_holds_what_builds_it_again(self, kind, files, tmp_path):
        """A configuration read and written, of either spelling, gives the same molecule."""
        cls, arguments, beside = KINDS[kind]
        arguments, beside = filled(arguments, files), filled(beside, files)
        identity = []
        for keys in ({"topology": {"class_path": cls.__name__, "init_args": arguments}}, beside):
            cli = CLI(["-c", experiment(tmp_path, {**keys, "temperature": 310.0})])
            identity.append(identify(build(Energy, cli.parser_dict(cli.config)["model"]["energy"])))
        assert identity[0] == identity[1] == identify(Molecule(made(cls, arguments), 310.0))


def test_the_configuration_of_a_run_of_before_is_read():
    """All keys with their defaults, as runs wrote them."""
    keys = {
        "topology": ALA2,
        "forcefield": FF,
        "temperature": 300.0,
        "nonbonded": "NoCutoff",
        "cutoff": 1.0,
        "constraints": None,
    }
    keys |= {"system": None, "coordinates": None, "implicit_solvent": None, "defines": None, "modes": None}
    keys |= {"backend": "torch", "compile": None, "platform": None, "processes": 1}
    molecule = build(Energy, {"class_path": "lit_bg.energies.Molecule", "init_args": keys})
    assert identify(molecule) == identify(Molecule(PDB(ALA2, FF)))


def test_a_serialized_system_is_part_of_the_identity(files, tmp_path):
    other = tmp_path / "other.xml"
    other.write_text(Path(files["{system}"]).read_text())
    here, there = (identify(Molecule(SerializedSystem(str(path), ALA2))) for path in (files["{system}"], other))
    assert compare(here, there) == (None, ())
    other.write_text(other.read_text() + "\n")
    there = identify(Molecule(SerializedSystem(str(other), ALA2)))
    assert compare(there, here).difference == "topology.path = system.xml, not other.xml"


def test_objects_of_openmm_are_a_topology_too():
    read = app.PDBFile(ALA2)
    system = app.ForceField(*FF).createSystem(read.topology, rigidWater=False)
    plain = Molecule(PDB(ALA2, FF))
    x = plain.initial.double()
    for source, name in ((read, "the molecule of 22 atoms"), (ALA2, ALA2)):
        ours, as_before = Molecule(OpenMMObjects(system, source)), Molecule.from_system(system, source)
        assert ours.name == as_before.name == name
        assert identify(ours) == identify(as_before)
        torch.testing.assert_close(ours(x), plain(x))
    before = system.getNumForces()
    system.addForce(openmm.MonteCarloBarostat(1.0, 300.0))
    with pytest.warns(UserWarning, match="MonteCarloBarostat is left out"):
        Molecule(OpenMMObjects(system, read))
    assert system.getNumForces() == before + 1  # it is copied


class Pair(Topology):
    """Two atoms of argon on a spring: a topology of somebody else."""

    name = "two atoms"

    def __init__(self, constrained=False, particles=2):
        self.constrained, self.particles = constrained, particles

    def read(self):
        atoms, system = app.Topology(), openmm.System()
        residue = atoms.addResidue("AR", atoms.addChain())
        a, b = (atoms.addAtom(name, app.element.argon, residue) for name in ("A", "B"))
        atoms.addBond(a, b)
        for _ in range(self.particles):
            system.addParticle(39.9)
        if self.constrained:
            system.addConstraint(0, 1, 0.3)
        else:
            spring = openmm.HarmonicBondForce()
            spring.addBond(0, 1, 0.3 * unit.nanometer, 100.0)
            system.addForce(spring)
        return Read(atoms, np.array([[0.0, 0.0, 0.0], [0.4, 0.0, 0.0]]), lambda: system)


def test_a_topology_of_your_own():
    pair = Molecule(Pair(), modes="basins")
    assert float(pair.potential(pair.initial)) == pytest.approx(0.5 * 100 * 0.1**2)
    assert identify(pair)["parameters"]["topology"]["parameters"] == {"constrained": False, "particles": 2}
    with pytest.raises(ValueError, match="two atoms has 1 constraints, 1 of them in place of a bond"):
        Molecule(Pair(constrained=True))
    with pytest.raises(ValueError, match="System has 3 particles and the topology 2 atoms"):
        Molecule(Pair(particles=3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Molecule(PDB(ALA2, FF), nonbonded="PME"), "nonbonded cannot stand beside a topology that is a PDB"),
        (lambda: Molecule(PDB(ALA2), forcefield=FF, cutoff=1.0), "forcefield, cutoff cannot stand beside"),
        (lambda: Molecule(ALA2, FF), r"temperature must be a number \[K\], got \['amber96.xml'.*forcefield=\["),
        (lambda: Molecule(PDB(ALA2)), r"needs forcefield=\[...\]"),
        (lambda: PDB(ALA2, FF, nonbonded="Cutoff"), "nonbonded=Cutoff is unknown"),
        (lambda: Amber(**AMBER, cutoff=0.0), "cutoff must be positive, got 0.0 nm"),
        (lambda: Amber(**AMBER, implicit_solvent="OBC3"), "implicit_solvent=OBC3 is unknown: use one of HCT"),
        (lambda: GROMACS(f"{DATA}.top", f"{DATA}.gro", include="nowhere"), "include=nowhere is not a directory"),
        (lambda: CHARMM(f"{DATA}.psf", f"{DATA}.crd").build(), r"needs parameters=\[...\].*CHARMM's .rtf, .prm and .str files"),
        (lambda: SerializedSystem("s.xml", PDB(ALA2, FF)), "s.xml holds its own force field and solvent: leave forcefield"),
        (lambda: SerializedSystem("s.xml", Amber(**AMBER, implicit_solvent="OBC1")), "leave forcefield and implicit_solvent"),
        (lambda: PDB(f"{DATA}.top", FF).build(), "has the suffix '.top'|have the suffix '.top'"),
        (lambda: Amber("experiments/nothing.prmtop", f"{DATA}.rst7").build(), "nothing.prmtop does not exist"),
    ],
)
def test_mistakes_are_told_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_an_object_is_returned_as_it_is():
    topology = PDB(ALA2, FF)
    assert topology_of(topology) is topology


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ({"class_path": "Ambr", "init_args": AMBER}, "no class 'Ambr' for topology, did you mean 'Amber'"),
        ({"class_path": "Amber", "init_args": {"path": "x.prmtop"}}, "coordinates missing: the configuration must give it"),
        (
            {"class_path": "PDB", "init_args": {"path": ALA2, "forcefeld": FF}},
            "unknown key 'forcefeld', did you mean 'forcefield'",
        ),
        ({"class_path": "DoubleWell"}, "'DoubleWell' is not what topology needs: it is a class of another kind"),
        ({"path": ALA2}, "Topology does not define read, so it cannot be used"),
        (3, "topology must be of type str, got 3"),
        (None, "topology missing: the configuration must give it"),
    ],
)
def test_mistakes_in_yaml(topology, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        CLI(["-c", experiment(tmp_path, {"topology": topology})])
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert len(said.strip().splitlines()) == 1


def test_unknown_keys_are_told_with_what_is_meant(tmp_path, capsys):
    with pytest.raises(SystemExit):
        CLI(["-c", experiment(tmp_path, {"topology": ALA2, "forcefeld": ["amber96.xml"]})])
    assert "unknown key 'forcefeld', did you mean 'forcefield'" in capsys.readouterr().err
    topology = {"class_path": "PDB", "init_args": {"path": ALA2, "forcefeld": FF}}
    with pytest.raises(ValueError, match="unknown key 'forcefeld'; PDB takes path, forcefield, coordinates, nonbonded, cutoff"):
        build(Energy, {"class_path": "Molecule", "init_args": {"topology": topology}})


def test_flat_keys_can_be_given_on_the_command_line():
    cli = CLI(["-c", "experiments/alanine_dipeptide.yaml", "--model.energy.nonbonded=CutoffNonPeriodic"])
    assert cli.config.model.energy.init_args.nonbonded == "CutoffNonPeriodic"
    assert cli.config.model.energy.init_args.forcefield == ["amber96.xml", "implicit/obc1.xml"]


def test_the_path_of_a_file_is_not_taken_for_a_module(tmp_path, monkeypatch):
    """`peptide.pdb` looks like an attribute of the module `peptide`, which must not be imported."""
    (tmp_path / "peptide.py").write_text("raise SystemError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"topology peptide\.pdb does not exist"):
        build(Energy, {"class_path": "Molecule", "init_args": {"topology": "peptide.pdb", "forcefield": FF}})
