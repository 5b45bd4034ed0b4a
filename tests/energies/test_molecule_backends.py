"""A Molecule in torch and in OpenMM: one energy, whoever evaluates it."""

from pathlib import Path

import openmm
import pytest
import torch
from openmm import app

from lit_bg.energies import Molecule

PDB = str(Path(__file__).parents[2] / "experiments" / "alanine_dipeptide.pdb")
FIELD = ["amber99sbildn.xml", "amber99_obc.xml"]


@pytest.fixture(scope="module")
def pair():
    return Molecule(PDB, forcefield=FIELD), Molecule(PDB, forcefield=FIELD, backend="openmm", platform="Reference")


def thermal(energy, n):
    return energy.initial.double() + 0.005 * torch.randn(n, *energy.event_shape, dtype=torch.float64)


def test_both_backends_agree_and_count(pair):
    x = thermal(pair[0], 5)
    values = []
    for energy in pair:
        before = energy.n_values, energy.n_gradients
        z = x.clone().requires_grad_()
        u = energy(z)
        (gradient,) = torch.autograd.grad(u.sum(), z)
        assert (energy.n_values - before[0], energy.n_gradients - before[1]) == (5, 5)
        values.append((u.detach(), gradient))
    torch.testing.assert_close(values[0], values[1], rtol=1e-6, atol=1e-6 * float(values[0][1].abs().max()))


def test_components_are_named_and_sum_up(pair):
    x = thermal(pair[0], 2)
    components = pair[0].energy_components(x)
    assert {"HarmonicBondForce", "GBSAOBCForce", "NonbondedForce"} <= set(components)
    torch.testing.assert_close(torch.stack(list(components.values())).sum(0), pair[0].potential(x))
    with pytest.raises(ValueError, match="evaluated by OpenMM"):
        pair[1].energy_components(x)


def test_what_has_no_translation_goes_to_openmm_with_a_warning():
    read = app.PDBFile(PDB)
    system = app.ForceField("amber96.xml").createSystem(read.topology)
    custom = openmm.CustomCVForce("3*d")
    inner = openmm.HarmonicBondForce()
    inner.addBond(0, 21, 1.0, 5.0)
    custom.addCollectiveVariable("d", inner)
    system.addForce(custom)
    with pytest.warns(UserWarning, match="CustomCVForce has no translation"):
        energy = Molecule.from_system(system, read, 300.0)
    assert energy.field is None
    plain = Molecule(PDB, forcefield=["amber96.xml"])
    x = thermal(plain, 2)
    length = (x[:, 0] - x[:, 21]).norm(dim=-1)
    expected = plain.potential(x) + 3 * 2.5 * (length - 1.0) ** 2
    torch.testing.assert_close(energy.potential(x), expected, rtol=1e-4, atol=1e-2)


def test_objects_of_openmm_give_the_same_molecule_as_files(pair):
    read = app.PDBFile(PDB)
    system = app.ForceField(*FIELD).createSystem(read.topology)
    x = thermal(pair[0], 2)
    for topology in (read, PDB):
        torch.testing.assert_close(Molecule.from_system(system, topology, 300.0)(x), pair[0](x))
    with pytest.raises(ValueError, match="22 atoms"):
        Molecule.from_system(openmm.System(), read)


def test_inference_mode_leaves_the_molecule_as_it_is(pair, recwarn):
    energy, x = Molecule(PDB, forcefield=FIELD), thermal(pair[0], 3)
    with torch.inference_mode():
        u = energy(x.clone())
        found, gradient = energy.value_and_gradient(x.clone())
    torch.testing.assert_close(u, pair[0](x))
    torch.testing.assert_close((found, gradient), pair[0].value_and_gradient(x))
    assert not [w for w in recwarn if "of this force field" in str(w.message)]
    assert not energy.field.uses_torch(x)


class Restrained(Molecule):
    """A molecule with a potential of the user's own beside the force field."""

    def potential(self, x):
        return super().potential(x) + 100.0 * x[:, 0, 0] ** 2


def test_dynamics_see_the_potential_of_a_subclass():
    energy = Restrained(PDB, forcefield=FIELD)
    x = thermal(energy, 3).requires_grad_()
    u = energy(x)
    (gradient,) = torch.autograd.grad(u.sum(), x)
    found_u, found = energy.value_and_gradient(x)
    torch.testing.assert_close(found_u, u.detach())
    torch.testing.assert_close(found, gradient)


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64])
def test_other_numbers_are_refused(pair, dtype):
    with pytest.raises((TypeError, RuntimeError), match="float"):
        pair[0].value_and_gradient(thermal(pair[0], 2).to(dtype))


def test_compilation_waits_until_it_pays(pair):
    energy = Molecule(PDB, forcefield=FIELD)
    batch, few = thermal(energy, 256), thermal(energy, 8)
    field = energy.field
    field.work = [10_000_000, 10_000_000]
    assert not field.compiles(batch, True)  # the kernel does it all
    field.work = [0, 0]
    field.code = "torch"
    assert not field.compiles(batch, True)
    field.work = [10_000_000, 10_000_000]
    assert field.compiles(batch, True)
    assert field.compiles(batch, False)
    assert not field.compiles(few, True)
    state = energy.get_extra_state()
    field.work = [0, 0]
    energy.set_extra_state(state)
    assert field.compiles(batch, True)  # as in the run that was saved
    field.compile = False
    assert not field.compiles(batch, True)


def test_unknown_backend():
    with pytest.raises(ValueError, match="backend=cuda is unknown"):
        Molecule(PDB, forcefield=FIELD, backend="cuda")
