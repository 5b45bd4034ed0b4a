"""Tabulated functions and grid splines against OpenMM's Reference platform."""

import copy
import math

import openmm
import pytest
import torch

from lit_bg.forces.tabulated import Discrete, from_openmm
from lit_bg.forces.tabulated_spline import GridSpline, periodic_bicubic


def table(*sizes, periodic=False):
    """Random values in OpenMM's order, x fastest."""
    values = torch.randn(*reversed(sizes), dtype=torch.float64, generator=torch.Generator().manual_seed(sum(sizes)))
    if periodic:
        for axis in range(len(sizes)):
            values.movedim(axis, 0)[-1] = values.movedim(axis, 0)[0]
    return values.flatten().tolist()


CONTINUOUS = [
    openmm.Continuous1DFunction(table(7), -1.0, 2.0),
    openmm.Continuous1DFunction(table(2), -1.0, 2.0),
    openmm.Continuous1DFunction(table(7, periodic=True), -1.0, 2.0, True),
    openmm.Continuous1DFunction(table(3, periodic=True), -1.0, 2.0, True),
    openmm.Continuous2DFunction(5, 4, table(5, 4), -1.0, 2.0, 0.0, 1.5),
    openmm.Continuous2DFunction(5, 4, table(5, 4, periodic=True), -1.0, 2.0, 0.0, 1.5, True),
    openmm.Continuous3DFunction(5, 4, 6, table(5, 4, 6), -1.0, 2.0, 0.0, 1.5, -0.5, 1.0),
    openmm.Continuous3DFunction(5, 4, 6, table(5, 4, 6, periodic=True), -1.0, 2.0, 0.0, 1.5, -0.5, 1.0, True),
]
DISCRETE = [
    openmm.Discrete1DFunction(table(5)),
    openmm.Discrete2DFunction(3, 4, table(3, 4)),
    openmm.Discrete3DFunction(3, 2, 4, table(3, 2, 4)),
]


def identify(function):
    """Type and period. Of continuous functions only: OpenMM never sets the period that a discrete one answers with."""
    name = type(function).__name__.removesuffix("Function")
    return name + ("periodic" if name.startswith("Continuous") and function.getPeriodic() else "")


def in_openmm(function, x):
    """Values (n,) and gradients (n, d) at n points."""
    system, d = openmm.System(), x.shape[1]
    system.addParticle(1.0)
    force = openmm.CustomCompoundBondForce(1, f"f({','.join(['x1', 'y1', 'z1'][:d])})")
    force.addTabulatedFunction("f", copy.copy(function))
    force.addBond([0], [])
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    values, gradients = [], []
    for row in x.tolist():
        context.setPositions([row + [0.0] * (3 - d)])
        state = context.getState(energy=True, forces=True)
        values.append(state.getPotentialEnergy()._value)
        gradients.append([-c for c in state.getForces()._value[0][:d]])
    return torch.tensor(values, dtype=torch.float64), torch.tensor(gradients, dtype=torch.float64)


@pytest.mark.parametrize("function", CONTINUOUS, ids=identify)
def test_splines_are_those_of_openmm(function):
    spline = from_openmm(function)
    low, high = torch.tensor(spline.bounds, dtype=torch.float64).T
    inner = torch.rand(60, spline.arity, dtype=torch.float64) * (high - low) + low
    beyond = inner[:10] + (torch.rand(10, spline.arity, dtype=torch.float64) - 0.5) * 5 * (high - low)
    x = torch.cat([inner, beyond, low[None], high[None]]).requires_grad_()
    value = spline(*x.T)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    expected, slope = in_openmm(function, x.detach())
    assert (value == 0).any() != spline.periodic
    torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("function", CONTINUOUS, ids=identify)
def test_derivatives_of_splines(function):
    spline = from_openmm(function)
    low, high = torch.tensor(spline.bounds, dtype=torch.float64).T
    x = (torch.rand(3, spline.arity, dtype=torch.float64) * (high - low) + low).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: spline(*x.T), x)
    assert torch.autograd.gradgradcheck(lambda x: spline(*x.T), x)


@pytest.mark.parametrize("function", DISCRETE, ids=identify)
def test_tables_are_those_of_openmm(function):
    lookup = from_openmm(function)
    axes = [torch.tensor([-1.7, -0.6, 0.0, 0.4, 0.5, 1.0, 1.5, 2.45, 2.5, 3.0, 7.0], dtype=torch.float64)] * lookup.arity
    x = torch.cartesian_prod(*axes).view(-1, lookup.arity)[:: 3 ** (lookup.arity - 1)]
    expected, slope = in_openmm(function, x)
    assert not slope.any()
    torch.testing.assert_close(lookup(*x.T), expected, rtol=0, atol=0)


@pytest.mark.parametrize("function", CONTINUOUS + DISCRETE, ids=identify)
def test_every_function_follows_dtype_and_shape_and_keeps_nan(function):
    module = from_openmm(function)
    x = [torch.rand(4, 1), torch.rand(4, 6), torch.rand(6)][: module.arity]
    shape = torch.broadcast_shapes(*(u.shape for u in x))
    value = module(*x)
    assert (value.dtype, value.shape) == (torch.float32, shape)
    torch.testing.assert_close(value.double(), module(*(u.double() for u in x)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(copy.deepcopy(module).float()(*x), value)
    assert module.state_dict() == {}
    x[-1] = torch.full_like(x[-1], math.nan)
    assert module(*x).isnan().all()
    x[-1] = torch.full_like(x[-1], math.inf)
    module(*x)  # no index out of range


def test_a_spline_reproduces_what_it_can_represent():
    x, y = torch.linspace(0, 1, 4, dtype=torch.float64), torch.linspace(-1, 1, 6, dtype=torch.float64)
    spline = GridSpline((2 * x[:, None] * y - y + 1)[None], [(0, 1), (-1, 1)])
    u, v = torch.rand(2, 20, dtype=torch.float64)
    torch.testing.assert_close(spline(u, v), 2 * u * v - v + 1)


def test_a_periodic_spline_converges_to_a_wave():
    errors = []
    for n in (12, 24):
        angle = torch.arange(n, dtype=torch.float64) * 2 * math.pi / n
        spline = periodic_bicubic((torch.sin(angle)[:, None] * torch.cos(angle - 0.3))[None])
        u, v = 40 * torch.rand(2, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 20
        errors.append((spline(u, v) - torch.sin(u) * torch.cos(v - 0.3)).abs().max().item())
    assert errors[1] < 2e-4
    assert 12 < errors[0] / errors[1] < 20  # fourth order: 16


def dihedral(x, atoms):
    p = x[..., atoms, :]
    b1, b2, b3 = p[..., 1, :] - p[..., 0, :], p[..., 2, :] - p[..., 1, :], p[..., 3, :] - p[..., 2, :]
    n1, n2 = torch.linalg.cross(b1, b2), torch.linalg.cross(b2, b3)
    return torch.atan2(b2.norm(dim=-1) * (b1 * n2).sum(-1), (n1 * n2).sum(-1))


def test_maps_of_torsions_are_those_of_openmm():
    n, atoms = 8, 5
    energies = [(5 * torch.randn(n * n, dtype=torch.float64)).tolist() for _ in range(2)]
    terms = [(0, [0, 1, 2, 3], [1, 2, 3, 4]), (1, [1, 2, 3, 4], [4, 0, 2, 1]), (0, [3, 2, 0, 1], [2, 4, 3, 0])]
    system, force = openmm.System(), openmm.CMAPTorsionForce()
    for _ in range(atoms):
        system.addParticle(1.0)
    for values in energies:
        force.addMap(n, values)
    for index, phi, psi in terms:
        force.addTorsion(index, *phi, *psi)
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))

    spline = periodic_bicubic(torch.stack([torch.tensor(e, dtype=torch.float64).view(n, n).T for e in energies]))
    index = torch.tensor([[i] for i, _, _ in terms])
    x = torch.randn(12, atoms, 3, dtype=torch.float64, requires_grad=True)
    phi, psi = (torch.stack([dihedral(x, term[k]) for term in terms]) for k in (1, 2))
    energy = spline(phi, psi, table=index)
    assert energy.shape == (3, 12)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    for b in range(12):
        context.setPositions(x[b].tolist())
        state = context.getState(energy=True, forces=True)
        assert energy[:, b].sum().item() == pytest.approx(state.getPotentialEnergy()._value, rel=1e-10)
        forces = torch.tensor(state.getForces()._value, dtype=torch.float64)
        torch.testing.assert_close(-gradient[b], forces, rtol=1e-8, atol=1e-8 * forces.abs().max().item())


@pytest.mark.parametrize(
    ("values", "bounds", "periodic", "message"),
    [
        (torch.zeros(1, 1), [(0, 1)], False, "1 points: a spline needs at least 2"),
        (torch.zeros(1, 2), [(0, 1)], True, "2 points: a spline needs at least 3"),
        (torch.zeros(1, 4), [(1, 1)], False, "from 1 to 1"),
        (torch.zeros(1, 4, 4), [(0, 1)], False, "2 variables need as many pairs of bounds, got 1"),
        (torch.arange(4.0)[None], [(0, 1)], True, "does not end as it began"),
        (torch.tensor([[0.0, math.nan, 1.0]]), [(0, 1)], False, "finite values"),
    ],
)
def test_impossible_tables_are_refused(values, bounds, periodic, message):
    with pytest.raises(ValueError, match=message):
        GridSpline(values, bounds, periodic)


def test_an_unknown_kind_of_function_is_refused():
    with pytest.raises(ValueError, match="NoneType is not translated"):
        from_openmm(None)


def test_tables_take_plain_numbers():
    lookup = Discrete(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    torch.testing.assert_close(lookup(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0])), torch.tensor([6.0, 2.0]))
