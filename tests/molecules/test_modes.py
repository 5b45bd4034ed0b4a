"""Metastable states of molecules: given by borders, found in frames, and handed on by the card of a data set."""

import itertools
import math
import pickle
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from lit_bg import fit
from lit_bg.data.dataset import Dataset
from lit_bg.energies import Molecule
from lit_bg.energies.molecular_modes import torsion_modes
from lit_bg.energies.molecular_observables import torsions_of
from lit_bg.molecules.geometry import dihedral
from lit_bg.molecules.rotatable import side_of_bond, turn
from lit_bg.molecules.topologies import PDB
from lit_bg.runs.load import load
from lit_bg.simulators.base import Trajectory
from lit_bg.simulators.start import starting_points

ALA2 = PDB("experiments/alanine_dipeptide.pdb", ["amber99sbildn.xml", "amber99_obc.xml"])
BORDERS = {"phi": [0.0, 2.15], "psi": [-2.0, 1.0]}


@pytest.fixture(scope="module")
def ala2():
    return Molecule(ALA2, modes=BORDERS)


def torsions(energy, x):
    return dihedral(x, torch.tensor([torsions_of(energy.structure)[name] for name in ("phi", "psi")])).T


def test_borders_cut_the_circle(ala2):
    """Every combination of the two sides of phi and of psi; the last side goes around."""
    modes = pickle.loads(pickle.dumps(ala2.modes))
    around = starting_points(ala2, 400, "torsions")
    phi, psi = torsions(ala2, around)
    inside = 2 * ((phi < 0.0) | (phi > 2.15)).long() + ((psi < -2.0) | (psi > 1.0)).long()
    assert torch.equal(modes.label(around), inside)
    assert modes.names[0] == "phi 0..123, psi -115..57"
    assert modes.names[3] == "phi 123..0, psi 57..-115"
    assert len(modes.names) == 4


@pytest.mark.parametrize(
    ("borders", "message"),
    [
        ({"chi1": [0.0, 1.0]}, "torsion 'chi1', and this molecule has phi, psi"),
        ({"phi": [1.0]}, "two or more ascending borders"),
        ({"phi": [1.0, 0.0]}, "two or more ascending borders"),
        ({"phi": [-4.0, 3.0]}, "within 2 pi"),
        ({"phi": [0.1 * k for k in range(10)], "psi": [0.1 * k for k in range(10)]}, "make 100 modes"),
    ],
)
def test_borders_that_make_no_modes(ala2, borders, message):
    with pytest.raises(ValueError, match=message):
        torsion_modes(ala2.structure, borders)


def frames(energy, walkers=10, n=500):
    """(T, W, N, 3) in three places of the torsion plane with probabilities 0.6, 0.3, 0.1, and 5 frames in a fourth."""
    random = torch.Generator().manual_seed(0)
    which = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), walkers * n, replacement=True, generator=random)
    which[:5] = 3
    centre = torch.tensor([[-1.4, 2.6], [-1.4, -0.5], [1.0, 0.6], [1.0, 2.6]], dtype=torch.float64)[which]
    wanted = centre + 0.15 * torch.randn(centre.shape, generator=random, dtype=torch.float64)
    x = energy.initial.double().repeat(walkers * n, 1, 1)
    for k, name in enumerate(("phi", "psi")):
        atoms = torsions_of(energy.structure)[name]
        side = torch.zeros(len(x), energy.structure.n_atoms, dtype=torch.bool)
        side[:, side_of_bond(energy.structure, *atoms[1:3])] = True
        by = wanted[:, k] - dihedral(x, torch.tensor([atoms]))[:, 0]
        x = turn(x, torch.tensor(atoms[1:3]).expand(len(x), 2), side, by)
    torch.testing.assert_close(torch.cos(torsions(energy, x).T - wanted), torch.ones_like(wanted))
    return x.reshape(n, walkers, *energy.event_shape), which


def test_basins_are_found_named_and_handed_on(tmp_path):
    """Three combinations of basins, the most populated first; five frames elsewhere are in no mode."""
    energy = Molecule(ALA2, modes="basins")
    assert energy.modes is None
    x, which = frames(energy)
    data = Dataset.from_trajectory(energy, Trajectory(x))
    assert list(data.card["found_modes"]["borders"]) == ["phi", "psi"]
    populations = [mode["p"] for mode in data.card["modes"].values()]
    assert populations == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    label = energy.modes.label(x.reshape(-1, *energy.event_shape))
    assert (label == torch.where(which < 3, which, -1)).double().mean() > 0.999
    assert not any("never visited" in p for p in data.card["verdict"])
    data.save(tmp_path / "x.npz")
    again = Molecule(ALA2, modes="basins")
    Dataset.load(tmp_path / "x.npz", again, force=True)
    assert again.modes.names == energy.modes.names
    sides = Molecule(ALA2, modes="phi")  # the same data serve other modes
    Dataset.load(tmp_path / "x.npz", sides, force=True)
    assert sides.modes.names == ("phi<0", "phi>0")


def test_a_molecule_without_backbone_has_torsions_and_finds_its_modes():
    from openmm import app

    topology = app.Topology()
    residue = topology.addResidue("BUT", topology.addChain())
    carbons = [topology.addAtom(f"C{i}", app.Element.getBySymbol("C"), residue) for i in range(4)]
    hydrogens = [(topology.addAtom(f"H{i}{k}", app.Element.getBySymbol("H"), residue), i) for i in range(4) for k in range(3)]
    hydrogens = [h for h in hydrogens if h[0].name not in ("H12", "H22")]
    for a, b in itertools.pairwise(carbons):
        topology.addBond(a, b)
    for h, i in hydrogens:
        topology.addBond(h, carbons[i])
    energy = molecule_of(topology)
    assert torsions_of(energy.structure) == {"C0-C1-C2-C3": (0, 1, 2, 3)}
    assert "C0-C1-C2-C3" in energy.observables
    assert energy.finds_modes
    with pytest.raises(ValueError, match="has no phi torsion: use modes: basins"):
        molecule_of(topology, modes="phi")


def molecule_of(topology, **arguments):
    """A molecule without forces, its atoms on a spiral."""
    import openmm
    from openmm import unit

    class Read:
        pass

    system, read = openmm.System(), Read()
    n = topology.getNumAtoms()
    for atom in topology.atoms():
        system.addParticle(atom.element.mass)
    places = [openmm.Vec3(0.1 * math.cos(k), 0.1 * math.sin(k), 0.05 * k) for k in range(n)]
    read.topology, read.positions = topology, places * unit.nanometer
    return Molecule.from_system(system, read, 300.0, **arguments)


@pytest.mark.parametrize("tempered", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_run_holds_the_modes_that_it_has_found(tmp_path, monkeypatch, tempered):
    """Found in data, written into config.yaml, read by `load`, and no other run for `--resume`."""
    energy = Molecule(ALA2, modes="basins")
    data = Dataset.from_trajectory(energy, Trajectory(frames(energy, n=300)[0]))
    node = {"class_path": "Molecule", "init_args": {"topology": "alanine_dipeptide.pdb", "forcefield": ALA2.forcefield}}
    node["init_args"]["modes"] = "basins"
    if tempered:
        node = {"class_path": "Tempered", "init_args": {"energy": node, "lowest": 2.0, "highest": 4.0}}
    shutil.copy(ALA2.path, tmp_path / "alanine_dipeptide.pdb")
    monkeypatch.chdir(tmp_path)
    data.save("x.npz")
    flow = {"blocks": 1, "hidden": [4], "coordinates": {"class_path": "InternalCoordinates"}}
    model = {
        "energy": node,
        "generator": {"class_path": "CouplingFlow", "init_args": flow},
        "loss": {"class_path": "ForwardKL"},
    }
    model["optimizer"] = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.001}}
    sizes = {"batch_size": 8, "steps_per_epoch": 1, "val_samples": 100, "test_samples": 100}
    trainer = {"max_epochs": 1, "enable_progress_bar": False, "accelerator": "cpu"}
    config = {"trainer": trainer, "model": model, "data": {"path": "x.npz", "force": True, **sizes}}
    Path("found.yaml").write_text(yaml.safe_dump(config))
    fit.main(["-c", "found.yaml"])
    x = energy.initial.repeat(5, 1, 1)
    for step in (1, 2):
        run = load("runs/found", "last")
        assert run.step == step
        assert run.energy.modes.names == energy.modes.names
        assert torch.equal(run.energy.modes.label(x), energy.modes.label(x))
        assert not run.energy.finds_modes
        if step == 1:
            fit.main(["--resume", "runs/found", "--trainer.max_epochs=2"])
