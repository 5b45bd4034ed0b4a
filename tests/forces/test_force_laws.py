"""Laws of every force: energies and forces of OpenMM's Reference platform, over random configurations."""

from __future__ import annotations

import math

import numpy as np
import openmm
import pytest
import torch
from systems import ALANINES, KINDS, PDB, PEPTIDES, force_field

import lit_bg.forces.force_field as module
from lit_bg.forces import ForceField, Untranslatable, translate
from lit_bg.forces.comparison import estimate_rounding
from lit_bg.forces.torch_part import by_autograd

ALL = KINDS | ALANINES | PEPTIDES


def reference(system: openmm.System, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    energies, forces = [], []
    for positions in x.double().numpy():
        context.setPositions(positions)
        state = context.getState(getEnergy=True, getForces=True)
        energies.append(state.getPotentialEnergy()._value)
        forces.append(state.getForces(asNumpy=True)._value)
    return torch.tensor(energies, dtype=torch.float64), torch.tensor(np.array(forces))


def configurations(x0: np.ndarray, n: int, noise: float = 0.01) -> torch.Tensor:
    """Thermal at 300 K and more: bonds vibrate by 0.003 nm, hydrogens by 0.01."""
    return torch.from_numpy(x0) + noise * torch.randn(n, *x0.shape, dtype=torch.float64)


@pytest.mark.parametrize("code", ["kernel", "torch", "autograd"])
@pytest.mark.parametrize("name", ALL)
class TestEveryForce:
    @pytest.fixture
    def made(self, name: str, code: str) -> tuple[openmm.System, np.ndarray, ForceField]:
        system, x0 = ALL[name]()
        field = translate(system)
        field.code = code
        return system, x0, field

    def test_equals_openmm(self, made):
        system, x0, field = made
        x = configurations(x0, 16 if len(x0) > 40 else 32)
        energy, forces = field.energy_and_forces(x)
        their_energy, their_forces = reference(system, x)
        # OpenMM's electric constant is rounded differently in its forces, by some 1e-8
        torch.testing.assert_close(energy, their_energy, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(forces, their_forces, rtol=1e-6, atol=1e-6 * float(their_forces.abs().max()))

    def test_single_precision(self, made):
        system, x0, field = made
        x = configurations(x0, 8).float()  # rounded before, so that both see the same configurations
        energy, forces = field.energy_and_forces(x)
        their_energy, their_forces = reference(system, x)
        assert forces.dtype == torch.float32
        torch.testing.assert_close(energy, their_energy, rtol=2e-6, atol=1e-4 * len(x0))
        torch.testing.assert_close(forces.double(), their_forces, rtol=1e-4, atol=1e-5 * float(their_forces.abs().max()))

    def test_forces_are_the_gradient_and_differentiable(self, made):
        _, x0, field = made
        x = configurations(x0, 2).requires_grad_()
        (gradient,) = torch.autograd.grad(field.energy(x).sum(), x, create_graph=True)
        torch.testing.assert_close(-gradient.detach(), field.energy_and_forces(x)[1], rtol=1e-12, atol=1e-12)
        v = torch.randn_like(x)
        v = v / v.norm()
        (product,) = torch.autograd.grad((gradient * v).sum(), x)  # Hessian times v
        h = 1e-6
        ahead, behind = (field.energy_and_forces(x.detach() + s * h * v)[1] for s in (1, -1))
        difference = -(ahead - behind) / (2 * h)
        torch.testing.assert_close(product, difference, rtol=1e-4, atol=1e-5 * float(difference.abs().max()))

    def test_components_make_the_energy(self, made):
        _, x0, field = made
        x = configurations(x0, 3)
        for table in (field.components(x), field.by_group(x)):
            torch.testing.assert_close(torch.stack(list(table.values())).sum(0), field.energy(x), rtol=1e-12, atol=1e-9)

    def test_no_configuration_sees_its_neighbours(self, made, monkeypatch):
        _, x0, field = made
        x = configurations(x0, 5)
        energy, forces = field.energy_and_forces(x)
        monkeypatch.setattr("lit_bg.forces.force_field.CHUNKS", (2, 2))
        in_parts = field.energy_and_forces(x)
        torch.testing.assert_close(in_parts, (energy, forces), rtol=1e-12, atol=1e-9)
        x[1] = torch.nan
        spoilt, zero = field.energy_and_forces(x)
        assert spoilt[1] == torch.inf
        assert (zero[1] == 0).all()
        torch.testing.assert_close(spoilt[[0, 2, 3, 4]], energy[[0, 2, 3, 4]], rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_every_force_follows_its_configurations_to_their_device(name):
    """On the device without memory, where a tensor left on the CPU is found out as on any other."""
    system, x0 = ALL[name]()
    field, x = translate(system), torch.zeros(5, *x0.shape, device="meta")
    for code in ("torch", "autograd"):
        field.code = code
        for found in (*field.energy_and_forces(x), *field.components(x).values(), field.energy(x)):
            assert found.device.type == "meta"


# Measured with OpenMM 8.6.1 [kJ/mol], of the file's geometry without noise
COMPONENTS = {
    "amber96 implicit/obc1": (
        -138.99325,
        {"NonbondedForce": -97.7280, "CustomGBForce": -50.9408, "PeriodicTorsionForce": 8.0560},
    ),
    "amber96 vacuum": (-88.05239, {"HarmonicBondForce": 0.0849, "HarmonicAngleForce": 1.5347}),
    "amber96 amber96_obc": (-128.40637, {"GBSAOBCForce": -40.3539}),
    "amber99sbildn amber99_obc": (-95.69664, {"PeriodicTorsionForce": 40.7654, "NonbondedForce": -97.7281}),
    "amber14 implicit/obc1 cut": (-125.95011, {"NonbondedForce": -44.0473, "CustomGBForce": -123.8699}),
    "amber14 implicit/obc1": (-106.70172, {"PeriodicTorsionForce": 40.3471, "CustomGBForce": -50.9408}),
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_six_alanine_dipeptides(name):
    system, x0 = ALANINES[name]()
    field, x = translate(system), torch.from_numpy(x0)[None]
    energy, components = COMPONENTS[name]
    assert field.energy(x).item() == pytest.approx(energy, abs=1e-4)
    for force, value in components.items():
        assert field.components(x)[force].item() == pytest.approx(value, abs=1e-4)


slow = pytest.mark.slow
COMPILED_SLOWLY = (
    "CustomGB", "CustomNonbonded groups", "GBSAOBC cutoff", "Nonbonded in a box, switched", "amber96 implicit/gbn2"
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["PeriodicTorsion", "GBSAOBC", *(pytest.param(n, marks=slow) for n in COMPILED_SLOWLY)],
)
def test_compiled_equals_eager(name, recwarn):
    system, x0 = ALL[name]()
    field, x = translate(system), configurations(x0, 20, 0.003).float()  # filled up to a full chunk
    field.code = "torch"
    field.compile = False
    right_energy, right = field.energy_and_forces(x)
    field.compile = True
    energy, forces = field.energy_and_forces(x)
    assert [str(w.message) for w in recwarn if "of this force field" in str(w.message)] == []  # it was used
    torch.testing.assert_close(energy, right_energy, rtol=1e-5, atol=1e-3)
    assert (forces - right).norm() < 1e-5 * right.norm()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda energy, gradient: (1.1 * energy, gradient), "gave wrong energies or forces for 256 of 256"),
        (lambda energy, gradient: (energy, gradient + 1e9), "gave wrong energies or forces for 256 of 256"),
        (lambda energy, gradient: energy.nowhere, "failed: AttributeError"),
    ],
)
def test_wrong_compiled_code_is_found_out(wrong, problem, monkeypatch):
    system, x0 = ALL["PeriodicTorsion"]()
    field, x = translate(system), configurations(x0, 20, 0.003)
    field.code = "torch"
    monkeypatch.setattr(module, "_compiled", lambda: lambda part, x: wrong(*part.in_one_graph(x)))
    field.compile = True
    with pytest.warns(UserWarning, match=problem):
        found = field.energy_and_forces(x)
    torch.testing.assert_close(found, field.energy_and_forces(x))


def test_overlaps_have_infinite_energy_and_no_force():
    system, x0 = ALANINES["amber96 implicit/obc1"]()
    x = torch.from_numpy(x0)[None].repeat(3, 1, 1)
    x[1, 3] = x[1, 12]
    x.requires_grad_()
    energy = translate(system).energy(x)
    assert energy[1] == torch.inf
    (gradient,) = torch.autograd.grad(torch.exp(-energy / 1000).log().nan_to_num().sum(), x)
    assert (gradient[1] == 0).all()
    assert gradient[[0, 2]].abs().sum() > 0


def test_memory_is_bounded_by_the_chunk():
    system, _ = ALANINES["amber96 vacuum"]()
    field = translate(system)
    assert field.chunk(torch.zeros(1, dtype=torch.float32)) == 256
    field.n = 62
    assert field.chunk(torch.zeros(1, dtype=torch.float32)) == 32  # in the cache
    field.n = 892
    assert 8 <= field.chunk(torch.zeros(1, dtype=torch.float32)) <= 32
    assert field.chunk(torch.zeros(1, dtype=torch.float64)) * 2 == field.chunk(torch.zeros(1, dtype=torch.float32))


def lattice_sum():
    system, _ = KINDS["Nonbonded in a box"]()
    system.getForce(0).setNonbondedMethod(openmm.NonbondedForce.PME)
    return system


def virtual_site():
    system, _ = KINDS["HarmonicBond"]()
    system.setParticleMass(7, 0)
    system.setVirtualSite(7, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
    return system


def collective_variable():
    system, _ = KINDS["HarmonicBond"]()
    force = openmm.CustomCVForce("2*d")
    force.addCollectiveVariable("d", openmm.HarmonicBondForce())
    system.addForce(force)
    return system


@pytest.mark.parametrize(
    ("build", "named"), [(lattice_sum, "PME"), (virtual_site, "1 virtual sites"), (collective_variable, "CustomCVForce")]
)
def test_what_is_left_to_openmm_is_named(build, named):
    with pytest.raises(Untranslatable, match=named):
        translate(build())


def test_forces_without_energy_are_left_out():
    system, x0 = KINDS["HarmonicBond"]()
    x = torch.from_numpy(x0)[None]
    before = translate(system).energy(x)
    system.addForce(openmm.CMMotionRemover())
    system.addForce(openmm.MonteCarloBarostat(1.0, 300.0))
    torch.testing.assert_close(translate(system).energy(x), before)


def test_a_box_of_argon():
    rng = np.random.default_rng(0)
    system = openmm.System()
    force = openmm.NonbondedForce()
    for _ in range(125):
        system.addParticle(39.9)
        force.addParticle(0, 0.3405, 0.996)
    box = 1.9
    system.setDefaultPeriodicBoxVectors([box, 0, 0], [0, box, 0], [0, 0, box])
    force.setNonbondedMethod(force.CutoffPeriodic)
    force.setCutoffDistance(0.9)
    force.setUseSwitchingFunction(True)
    force.setSwitchingDistance(0.75)
    system.addForce(force)
    grid = np.stack(np.meshgrid(*[np.arange(5) * box / 5] * 3), -1).reshape(-1, 3)
    x = torch.from_numpy(grid + 0.02 * rng.standard_normal((4, 125, 3)))
    energy, forces = translate(system).energy_and_forces(x)
    their_energy, their_forces = reference(system, x)
    torch.testing.assert_close(energy, their_energy, rtol=1e-6, atol=0)
    torch.testing.assert_close(forces, their_forces, rtol=1e-6, atol=1e-6 * float(their_forces.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("files", [["amber99sbildn.xml", "amber99_obc.xml"], ["charmm36.xml", "implicit/gbn2.xml"]])
def test_a_protein_of_892_atoms(files):
    system, x0 = force_field(PDB / "bpti.pdb", files)
    field, x = translate(system), configurations(x0, 2, 0.005)
    their_energy, their_forces = reference(system, x)
    energy, forces = field.energy_and_forces(x)
    torch.testing.assert_close(energy, their_energy, rtol=1e-6, atol=0)
    torch.testing.assert_close(forces, their_forces, rtol=1e-6, atol=1e-6 * float(their_forces.abs().max()))
    single, _ = field.energy_and_forces(x.float())
    torch.testing.assert_close(single, field.energy(x.float().double()), rtol=0, atol=1e-4 * len(x0))


def test_what_rounding_may_move_is_allowed_where_forces_cancel_and_no_more():
    """In single precision against double, on configurations near a minimum, where a relative comparison would fail."""
    field, x = at_the_minimum()
    own = {dtype: field.differentiable(x.to(dtype)) for dtype in (torch.float32, torch.float64)}

    def gradient(x):
        return by_autograd(own[x.dtype], x)

    last = x.permute(1, 2, 0).contiguous()
    single, double = (gradient(last.to(dtype))[1].double() for dtype in own)
    allowed = estimate_rounding(own[torch.float32], last.float(), gradient)[1]
    assert ((single - double).flatten(0, 1).norm(dim=0) < allowed).all()
    thermal = last + 0.005 * torch.randn(last.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    size = gradient(thermal)[1].flatten(0, 1).norm(dim=0)
    assert (allowed < 0.1 * size).all()  # wrong forces are a tenth of them and more


def at_the_minimum() -> tuple[ForceField, torch.Tensor]:
    from lit_bg.energies import Molecule
    from lit_bg.simulators.minimise import minimise

    molecule = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber96.xml"])
    return molecule.field, minimise(molecule, molecule.initial.double().repeat(4, 1, 1))


def a_bond_at_its_length() -> tuple[ForceField, torch.Tensor]:
    system, bond = openmm.System(), openmm.HarmonicBondForce()
    for _ in range(2):
        system.addParticle(12.0)
    bond.addBond(0, 1, 0.153, 2e5)
    system.addForce(bond)
    return translate(system), torch.tensor([[[0.1, 0.2, 0.3], [0.1, 0.353, 0.3]]], dtype=torch.float64).repeat(4, 1, 1)


def with_other_rounding(part, x):
    """What a compiler may do: coordinates are right to a unit in their last place."""
    return part.in_one_graph(x * (1 + torch.finfo(x.dtype).eps * torch.randn(x.shape, dtype=x.dtype).sign()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("made", [at_the_minimum, a_bond_at_its_length])
class TestCompiledCodeAtAMinimum:
    def test_is_used(self, made, dtype, monkeypatch, recwarn):
        field, x = made()
        field.code = "torch"
        monkeypatch.setattr(module, "_compiled", lambda: with_other_rounding)
        field.compile = True
        field.energy_and_forces(x.to(dtype))
        assert field._trust.known["torch.compile", "torch", dtype, x.device]
        assert not [w for w in recwarn if "of this force field" in str(w.message)]

    @pytest.mark.parametrize("factor", [0.0, 0.9, -1.0, math.nan])
    def test_is_found_out(self, made, dtype, factor, monkeypatch):
        field, x = made()
        field.code = "torch"
        monkeypatch.setattr(module, "_compiled", lambda: lambda *a: (lambda u, g: (u, factor * g))(*with_other_rounding(*a)))
        field.compile = True
        with pytest.warns(UserWarning, match="gave wrong energies or forces for"):
            field.energy_and_forces(x.to(dtype))


def test_a_batch_without_finite_energies_does_not_vouch_for_compiled_code(monkeypatch):
    field, x = a_bond_at_its_length()
    field.code = "torch"
    monkeypatch.setattr(module, "_compiled", lambda: lambda part, x: (x.new_zeros(x.shape[-1]), x.new_zeros(x.shape)))
    field.compile = True
    energy, _ = field.energy_and_forces(torch.full_like(x, math.nan))
    assert (energy == math.inf).all()
    with pytest.warns(UserWarning, match="gave wrong"):
        field.energy_and_forces(x)
