import copy
import math
import pickle
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import torch

from lit_bg.energies import Molecule
from lit_bg.energies.meter import Meter
from lit_bg.rng import stream

ALA2 = "experiments/alanine_dipeptide.pdb"
OBC1 = ["amber96.xml", "implicit/obc1.xml"]
FAST = ["amber99sbildn.xml", "amber99_obc.xml"]


@pytest.fixture(scope="module")
def ala2():
    return Molecule(ALA2, forcefield=FAST)


def thermal(molecule, n=4, width=0.005, dtype=torch.float64):
    noise = torch.randn(n, *molecule.event_shape, generator=stream(0, "thermal"), dtype=dtype)
    return torch.from_numpy(molecule.structure.positions).to(dtype) + width * noise


@pytest.mark.parametrize(("forcefield", "exact"), [(OBC1, -138.99325), (FAST, -95.69664)])
def test_reference_energy(forcefield, exact):
    molecule = Molecule(ALA2, forcefield=forcefield, platform="Reference")
    x = torch.from_numpy(molecule.structure.positions)[None]
    assert molecule.potential(x).item() == pytest.approx(exact, abs=1e-4)
    single = Molecule(ALA2, forcefield=forcefield, platform="CPU")
    assert single.potential(x).item() == pytest.approx(exact, abs=2e-3)


def test_reduced_energy_and_temperature(ala2):
    x = thermal(ala2)
    assert ala2.temperature == pytest.approx(300.0)
    assert ala2.kT == pytest.approx(2.4943387854, abs=1e-9)
    hot = ala2.at(2 * ala2.kT)
    torch.testing.assert_close(hot(x), ala2(x) / 2)
    assert hot.temperature == pytest.approx(600.0)
    assert ala2.space.dof == 63


def test_force_is_the_gradient(ala2):
    x = thermal(ala2, 2).requires_grad_()
    gradient = torch.autograd.grad(ala2(x).sum(), x)[0]
    direction = torch.randn(x.shape, generator=stream(1, "direction"), dtype=x.dtype)
    h = 1e-5
    with torch.no_grad():
        slope = (ala2(x + h * direction) - ala2(x - h * direction)) / (2 * h)
    torch.testing.assert_close((gradient * direction).sum((1, 2)), slope, rtol=1e-6, atol=1e-4)
    gradient_sum = gradient.sum(1)
    torch.testing.assert_close(gradient_sum, torch.zeros_like(gradient_sum), atol=1e-6, rtol=0)


def test_calls_are_counted(ala2):
    molecule = copy.deepcopy(ala2)
    x = thermal(molecule)
    molecule.meter = Meter()
    molecule(x)
    assert (molecule.n_values, molecule.n_gradients) == (4, 0)
    molecule(x.requires_grad_()).sum().backward()
    assert (molecule.n_values, molecule.n_gradients) == (8, 4)


def test_forces_are_computed_only_for_gradients(ala2, monkeypatch):
    molecule = copy.deepcopy(ala2)
    monkeypatch.setattr(molecule.evaluator, "energy_and_forces", lambda x: pytest.fail("forces without a gradient"))
    molecule(thermal(molecule))
    with torch.no_grad():
        molecule(thermal(molecule).requires_grad_())


def test_dtype_follows_the_input(ala2):
    x = thermal(ala2, dtype=torch.float32).requires_grad_()
    u = ala2(x)
    u.sum().backward()
    assert u.dtype == x.grad.dtype == torch.float32
    torch.testing.assert_close(u, ala2(x.detach().double()).float(), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
@pytest.mark.parametrize("forcefield", [OBC1, FAST])
def test_bad_configurations_are_infinite_and_without_force(forcefield, platform):
    molecule = Molecule(ALA2, forcefield=forcefield, platform=platform)
    x = thermal(molecule, 5)
    x[0, 3, 1] = math.nan
    x[1, 4] = x[1, 5]  # two atoms in one place
    x[2, 7, 0] = math.inf
    x[3] = 0.0
    x.requires_grad_()
    u = molecule(x)
    assert torch.equal(u.isposinf(), torch.tensor([True, True, True, True, False]))
    (2 * u).sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad[:4] == 0).all()
    assert (x.grad[4] != 0).any()


def test_copies_and_pickles_hold_no_openmm_objects():
    ala2 = Molecule(ALA2, forcefield=OBC1, backend="openmm", platform="Reference")
    x = thermal(ala2)
    u = ala2(x)
    assert ala2.evaluator._context is not None
    for twin in (copy.deepcopy(ala2), pickle.loads(pickle.dumps(ala2))):
        assert twin.evaluator._context is None
        assert torch.equal(twin(x), u)
        pickle.dumps(twin.observables)
    assert b"openmm" not in pickle.dumps(ala2.state_dict()).lower()


def test_torsions_agree_with_mdtraj():
    molecule = Molecule("experiments/tri_alanine.pdb", forcefield=FAST)
    x = thermal(molecule, 7, 0.02)
    frames = mdtraj.load("experiments/tri_alanine.pdb")
    frames = mdtraj.Trajectory(x.numpy(), frames.topology)
    for name, reference in {"phi": mdtraj.compute_phi(frames)[1], "psi": mdtraj.compute_psi(frames)[1]}.items():
        mine = [molecule.observables[f"{name} {k}"].function(x) for k in (1, 2, 3)]
        np.testing.assert_allclose(torch.stack(mine, -1).numpy(), reference, atol=1e-4)
    mass = molecule.masses.numpy()
    centred = x.numpy() - (x.numpy() * mass[:, None]).sum(1, keepdims=True) / mass.sum()
    rg = np.sqrt((centred**2 * mass[:, None]).sum((1, 2)) / mass.sum())
    np.testing.assert_allclose(molecule.observables["Rg"].function(x).numpy(), rg, rtol=1e-10)


def test_chirality_and_modes(ala2):
    x = thermal(ala2)
    assert (ala2.observables["P(L)"].function(x) == 1).all()
    assert (ala2.observables["P(L)"].function(-x) == 0).all()
    phi = ala2.observables["phi"].function(x)
    assert torch.equal(ala2.modes.label(x), ((phi > 0) & (phi < 2.15)).long())
    names = Molecule("experiments/tri_alanine.pdb", forcefield=FAST).modes.names
    assert names == ("phi<0", "phi 1>0", "phi 2>0", "phi 3>0", "several phi>0")


def write(path, text):
    path.write_text(text)
    return str(path)


def test_unreadable_input_is_refused_in_one_sentence(tmp_path):
    pdb = Path(ALA2).read_text()
    scaled = "\n".join(
        line[:30] + "".join(f"{float(line[30 + 8 * k : 38 + 8 * k]) / 10:8.3f}" for k in range(3))
        if line[:4] == "ATOM"
        else line
        for line in pdb.splitlines()
    )
    bare = "\n".join(line for line in pdb.splitlines() if "H" not in line[12:16]) + "\n"
    cases = [
        ({"topology": "experiments/alanine_dipeptid.pdb", "forcefield": OBC1}, "did you mean .*alanine_dipeptide.pdb"),
        ({"topology": write(tmp_path / "nm.pdb", scaled), "forcefield": OBC1}, "angstrom"),
        ({"topology": write(tmp_path / "x.xyz", "3"), "forcefield": OBC1}, "suffix '.xyz'"),
        ({"topology": write(tmp_path / "bare.pdb", bare), "forcefield": OBC1}, "residue ACE 1 .*addHydrogens"),
        ({"topology": ALA2, "forcefield": ["amber69.xml"]}, "amber69.xml does not exist: did you mean amber96.xml"),
        ({"topology": ALA2, "forcefield": [write(tmp_path / "bad.xml", "<Force")]}, "bad.xml cannot be read"),
        ({"topology": ALA2, "forcefield": []}, "forcefield="),
        ({"topology": ALA2}, "needs forcefield"),
        ({"topology": ALA2, "forcefield": OBC1, "temperature": 0}, "temperature must be positive, got 0"),
        ({"topology": ALA2, "forcefield": OBC1, "nonbonded": "PME"}, "nonbonded=PME needs a box"),
        ({"topology": ALA2, "forcefield": OBC1, "constraints": "HBonds"}, "constraints"),
        ({"topology": ALA2, "forcefield": FAST, "platform": "Abacus"}, "no platform Abacus"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message) as error:
            Molecule(**arguments)
        assert "\n" not in str(error.value), arguments


def serialized(path, box=None, **options):
    import openmm
    from openmm import app

    pdb = app.PDBFile(ALA2)
    if box is not None:
        pdb.topology.setUnitCellDimensions((box, box, box))
    system = app.ForceField(*FAST[: 1 if box else 2]).createSystem(pdb.topology, **options)
    return write(path, openmm.XmlSerializer.serialize(system))


def test_a_serialized_system_gives_the_same_energy(tmp_path, ala2):
    path = serialized(tmp_path / "system.xml")
    x = thermal(ala2)
    assert torch.equal(Molecule(ALA2, system=path)(x), ala2(x))


def test_unfit_systems_are_refused(tmp_path):
    from openmm import app

    with pytest.raises(ValueError, match=r"12 constraints.*constraints=None"):
        Molecule(ALA2, system=serialized(tmp_path / "h.xml", constraints=app.HBonds))
    with pytest.raises(ValueError, match="22 particles and the topology 42 atoms"):
        Molecule("experiments/tri_alanine.pdb", system=serialized(tmp_path / "s.xml"))
    with pytest.raises(ValueError, match="no serialized OpenMM System"):
        Molecule(ALA2, system=ALA2)
    with pytest.raises(ValueError, match="does not exist"):
        Molecule(ALA2, system="nowhere.xml")


def test_configurations_in_angstrom_are_refused(ala2):
    ala2.check_configurations(thermal(ala2))
    with pytest.raises(ValueError, match="nanometres"):
        ala2.check_configurations(10 * thermal(ala2))
    with pytest.raises(ValueError, match=r"22, 3\), got \(4, 21, 3\)"):
        ala2(thermal(ala2)[:, :21])
