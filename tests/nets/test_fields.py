"""Laws of every exported vector field: declared symmetries, exact divergence, gradients; and what does not fit is refused."""

import copy
import inspect
import pickle

import pytest
import torch
from e3nn import o3

from lit_bg import nets
from lit_bg.energies import DW4, BistableDimer, CoulombGas, DoubleWell, Molecule
from lit_bg.energies.condition import Condition
from lit_bg.energies.pair_energy import PairEnergy
from lit_bg.generators import ContinuousFlow, Diffusion
from lit_bg.nets import EGNN, ExactDivergence, GradientField, Hutchinson, KernelField, MLPField, TensorProductField, VectorField
from lit_bg.nets.radial_basis import RadialBasis
from lit_bg.spaces import Particles


class TwoKinds(PairEnergy):
    """Five particles of two types in space."""

    def __init__(self):
        super().__init__(5, 3)
        self.space = Particles(5, 3, (0, 1, 1, 0, 1))

    def pair(self, r):
        return (r - 1) ** 2


SYSTEMS = {
    "DoubleWell": lambda: DoubleWell(3),
    "DW4": DW4,
    "two kinds": TwoKinds,
    "trap": lambda: CoulombGas(4, 3),
    "line": lambda: CoulombGas(3, 1),
}
MAKE = {
    "EGNN": [lambda layers=layers: EGNN(layers=layers, width=8) for layers in (1, 2, 4)],
    "GradientField": [lambda: GradientField(EGNN(1, 4)), lambda: GradientField(MLPField((8,)))],
    "KernelField": [lambda: KernelField(basis=8, width=4)],
    "MLPField": [lambda: MLPField((8,)), lambda: MLPField((8, 12, 8))],
    "TensorProductField": [lambda: TensorProductField(2, 4, basis=4)],
}
ON = {
    "EGNN": ("DW4", "two kinds", "trap"),
    "GradientField": ("DoubleWell", "DW4", "trap"),
    "KernelField": ("DW4", "two kinds", "line"),
    "MLPField": ("DoubleWell",),
    "TensorProductField": ("two kinds", "trap"),
}

CONDITIONS = (Condition("kT", 0.5, 2.0, log=True), Condition("field", -1.0, 1.0))


def concrete():
    classes = (getattr(nets, name) for name in nets.__all__)
    return [c for c in classes if inspect.isclass(c) and issubclass(c, VectorField) and not inspect.isabstract(c)]


def cases():
    for name, makers in MAKE.items():
        for i, make in enumerate(makers):
            for where in ON[name]:
                try:
                    make().build((system := SYSTEMS[where])())
                except ValueError:
                    continue
                yield pytest.param(make, system, id=f"{name}-{i}-{where}")


every = pytest.mark.parametrize(("make", "system"), list(cases()))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def wild(make, energy, dtype=torch.float64):
    """A field with parameters far from its start."""
    torch.manual_seed(0)
    field = make().build(energy)
    for p in field.parameters():
        torch.nn.init.normal_(p, std=0.4)
    return field.to(dtype)


def states(energy, n=4, dtype=torch.float64):
    x = torch.randn(n, *energy.event_shape, generator=rng(), dtype=dtype)
    return torch.rand(n, generator=rng(1), dtype=dtype), x - x.mean(1, keepdim=True) if energy.space.centred else x


def test_every_exported_field_is_under_law():
    assert {c.__name__ for c in concrete()} == set(MAKE) == set(ON)


@every
class TestEveryField:
    def test_shapes_and_no_neighbours(self, make, system):
        energy = system()
        field, (t, x) = wild(make, energy), states(energy)
        v = field(t, x)
        assert v.shape == x.shape
        torch.testing.assert_close(field(t[2:3], x[2:3]), v[2:3])

    def test_it_starts_at_rest(self, make, system):
        energy = system()
        t, x = states(energy, dtype=torch.float32)
        assert make().build(energy)(t, x).abs().max() < 1e-6

    def test_the_divergence_is_the_trace_of_the_jacobian(self, make, system):
        energy = system()
        field, (t, x) = wild(make, energy), states(energy)
        v, divergence = field.with_divergence(t, x)
        torch.testing.assert_close(v, field(t, x))
        for b in (0, 3):
            jacobian = torch.autograd.functional.jacobian(lambda y, b=b: field(t[b : b + 1], y[None])[0], x[b])
            trace = jacobian.reshape(energy.dim, energy.dim).trace()
            torch.testing.assert_close(divergence[b], trace, rtol=1e-10, atol=1e-10)
        with torch.no_grad():
            quiet = field.with_divergence(t, x)
        torch.testing.assert_close(quiet[1], divergence)
        assert not quiet[0].requires_grad
        torch.testing.assert_close(VectorField.with_divergence(field, t, x)[1], divergence, rtol=1e-10, atol=1e-10)

    def test_gradients_of_the_divergence(self, make, system):
        """By the parameters and by x, against central differences along a random direction of each."""
        energy = system()
        field, (t, x) = wild(make, energy), states(energy, 2)
        x.requires_grad_()
        for tensors in ([x], list(field.parameters())):
            divergence = field.with_divergence(t, x)[1].sum()
            gradients = torch.autograd.grad(divergence, tensors, allow_unused=True)
            draws = rng(5)
            steps = [1e-5 * torch.randn(tensor.shape, generator=draws, dtype=tensor.dtype) for tensor in tensors]
            values = []
            with torch.no_grad():
                for sign in (1, -2):
                    for tensor, step in zip(tensors, steps, strict=True):
                        tensor.add_(sign * step)
                    values.append(field.with_divergence(t, x)[1].sum().item())
                for tensor, step in zip(tensors, steps, strict=True):
                    tensor.add_(step)
            slope = sum((g * step).sum().item() for g, step in zip(gradients, steps, strict=True) if g is not None)
            assert (values[0] - values[1]) / 2 == pytest.approx(slope, rel=1e-5, abs=1e-10)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_declared_symmetries(self, make, system, dtype):
        energy = system()
        field, (t, x) = wild(make, energy, dtype), states(energy, dtype=dtype)
        if not field.symmetries:
            pytest.skip("none declared")
        v, tolerance = field(t, x), {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 1e-12}
        d = energy.event_shape[1]
        if "translation" in field.symmetries:
            torch.testing.assert_close(field(t, x + 0.5), v, **tolerance)
            assert v.mean(1).abs().max() < tolerance["atol"]
        else:
            assert (field(t, x + 0.5) - v).abs().max() > 1e-3
        q, _ = torch.linalg.qr(torch.randn(d, d, generator=rng(2), dtype=dtype))
        turn = torch.cat([q[:1] * torch.linalg.det(q).sign(), q[1:]])
        for name, matrix in {"rotation": turn, "reflection": torch.cat([-turn[:1], turn[1:]])}.items():
            followed = (field(t, x @ matrix.T) - v @ matrix.T).abs().max() < tolerance["atol"]
            assert followed == (name in field.symmetries)

    def test_exchange(self, make, system):
        """Of particles of one type it is followed; of different ones it is not."""
        energy = system()
        field, (t, x) = wild(make, energy), states(energy)
        if not field.exchangeable:
            pytest.skip("not exchangeable")
        v, types, order = field(t, x), torch.tensor(energy.space.types), torch.arange(energy.event_shape[0])
        for kind in types.unique():
            same, swapped = (types == kind).nonzero().flatten(), order.clone()
            swapped[same] = same.roll(1)
            torch.testing.assert_close(field(t, x[:, swapped]), v[:, swapped], rtol=0, atol=1e-12)
        if len(types.unique()) > 1:
            assert (field(t, x.roll(1, 1)) - v.roll(1, 1)).abs().max() > 1e-3

    def test_copies_pickles_and_states(self, make, system):
        energy = system()
        field, (t, x) = wild(make, energy), states(energy)
        other = make().build(energy).double()
        other.load_state_dict(field.state_dict())
        for twin in (copy.deepcopy(field), pickle.loads(pickle.dumps(field)), other):
            assert torch.equal(twin(t, x), field(t, x))

    def test_hutchinson_is_unbiased(self, make, system):
        """1000 probes of each kind within 4 sigma of the exact divergence."""
        energy = system()
        field, (t, x) = wild(make, energy), states(energy, 1)
        exact = ExactDivergence()(field, t, x, None)[1].item()
        n = 1_000
        many_t, many = t.expand(n), x.expand(n, *energy.event_shape)
        for kind in ("rademacher", "gaussian"):
            probe = Hutchinson(noise=kind)
            with torch.no_grad():
                values = probe(field, many_t, many, probe.draw(many, rng(3)))[1]
            assert abs(values.mean().item() - exact) < 4 * values.std().item() / n**0.5 + 1e-9


@pytest.mark.parametrize("system", ["two kinds", "trap"])
def test_parts_make_no_difference(system, monkeypatch):
    """A few samples and a few directions at a time, the last part smaller."""
    energy = SYSTEMS[system]()
    energy.conditions = CONDITIONS[:1]
    field, (t, x) = wild(lambda: EGNN(4, 8), energy), states(energy, 7)
    context = torch.randn(7, 1, generator=rng(3), dtype=torch.float64)
    whole = ExactDivergence()(field, t, x, None, context)
    n = len(field.types)
    monkeypatch.setattr("lit_bg.nets.egnn.PAIRS", 3 * 8 * n**2)
    monkeypatch.setattr("lit_bg.nets.egnn.DIRECTIONS", (3 * 2 * 3 * 8 * n**2, 0))
    assert field.at_once(x) == 3
    for a, b in zip(ExactDivergence()(field, t, x, None, context), whole, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("error:torch.compile of")
@pytest.mark.parametrize(
    ("make", "system"),
    [
        (lambda: MLPField((8,)), "DoubleWell"),
        pytest.param(lambda: EGNN(3, 4), "DW4", marks=pytest.mark.slow),
        pytest.param(lambda: KernelField(8, 4), "DW4", marks=pytest.mark.slow),
    ],
    ids=["MLPField", "EGNN", "KernelField"],
)
def test_compiled_is_eager(make, system, monkeypatch):
    """Velocity, divergence and their gradients by the parameters, in parts of which the last is filled up."""
    energy = SYSTEMS[system]()
    field, (t, x) = wild(make, energy, torch.float32), states(energy, 5, torch.float32)
    monkeypatch.setattr(field, "at_once", lambda x: 3)
    results = []
    for compile in (False, True):
        v, divergence = ExactDivergence(compile)(field, t, x, None)
        gradients = torch.autograd.grad(v.square().sum() + divergence.sum(), list(field.parameters()), allow_unused=True)
        with torch.no_grad():
            quiet = ExactDivergence(compile)(field, t, x, None)
        results.append([v, divergence, *quiet, *(g for g in gradients if g is not None)])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-4)


def test_a_divergence_by_autograd_is_not_compiled():
    for made in (GradientField(EGNN(1, 4)), TensorProductField(2, 4)):
        with pytest.raises(ValueError, match="is taken by autograd, which"):
            ContinuousFlow(made, divergence=ExactDivergence(compile=True)).build(TwoKinds())
    with pytest.raises(ValueError, match="Denoiser is taken by autograd"):
        Diffusion(TensorProductField(2, 4), divergence=ExactDivergence(compile=True)).build(TwoKinds())
    ContinuousFlow(EGNN(1, 4), divergence=ExactDivergence(compile=True)).build(TwoKinds())  # but this does


def test_context_changes_the_field():
    for field, energy in (
        (EGNN(2, 8), DW4()),
        (MLPField((8,)), DoubleWell()),
        (KernelField(8, 4), DW4()),
        (GradientField(EGNN(2, 4)), DW4()),
        (TensorProductField(2, 4), TwoKinds()),
    ):
        energy.conditions = CONDITIONS
        field = wild(lambda field=field: field, energy)
        assert field.context == 2
        t, x = states(energy)
        context = torch.randn(4, 2, generator=rng(3), dtype=torch.float64)
        v = field(t, x, context)
        assert (field(t, x, context + 1) - v).abs().max() > 1e-4
        torch.testing.assert_close(field.with_divergence(t, x, context)[0], v)


def test_a_gradient_field_is_one():
    """The gradient of its potential, without a graph where none is wanted, also for x that wants one."""
    energy = DW4()
    field, (t, x) = wild(lambda: GradientField(EGNN(2, 4)), energy), states(energy)
    x.requires_grad_()
    v = field(t, x)
    assert v.requires_grad
    torch.testing.assert_close(v, torch.autograd.grad(field.potential(t, x).sum(), x)[0])
    with torch.no_grad():
        quiet = field(t, x)
    assert not quiet.requires_grad
    torch.testing.assert_close(quiet, v)


def test_a_kernel_field_is_a_gradient():
    energy = TwoKinds()
    field, (t, x) = wild(lambda: KernelField(8, 4), energy), states(energy, 1)
    jacobian = torch.autograd.functional.jacobian(lambda y: field(t, y[None])[0], x[0]).reshape(energy.dim, energy.dim)
    torch.testing.assert_close(jacobian, jacobian.T)


def test_radial_functions_have_the_slope_of_their_distance():
    basis, r = RadialBasis(5, 0.1, 3.0).double(), torch.tensor([0.0, 0.02, 0.3, 5.0], dtype=torch.float64, requires_grad=True)
    phi, slope = basis.with_slope(r**2)
    for k in range(5):
        torch.testing.assert_close(slope[:, k], r * torch.autograd.grad(phi[:, k].sum(), r, retain_graph=True)[0])


def test_without_cross_products_reflections_are_followed():
    energy = TwoKinds()
    field, (t, x) = wild(lambda: TensorProductField(2, 4, reflection=True, basis=4), energy), states(energy)
    assert field.symmetries == {"translation", "rotation", "reflection"}
    torch.testing.assert_close(field(t, -x), -field(t, x), rtol=0, atol=1e-12)


def test_products_are_those_of_e3nn():
    """Cartesian products of a vector with harmonics of l = 1 and 2, and Clebsch-Gordan coefficients, up to a constant each."""
    v, y = torch.randn(2, 3, generator=rng(), dtype=torch.float64)
    ours = {1: torch.linalg.cross(v, y), 2: y * (y @ v) - y @ y * v / 3}
    for degree, product in ours.items():
        harmonics = o3.spherical_harmonics(degree, y, normalize=False)
        theirs = torch.einsum("ijk,i,j->k", o3.wigner_3j(1, degree, 1, dtype=torch.float64), v, harmonics)
        torch.testing.assert_close((theirs / product), (theirs / product)[:1].expand(3))


def test_what_does_not_fit_is_refused():
    alanine = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber96.xml"])
    refused = [
        (EGNN(), DoubleWell(), "EGNN moves particles, and DoubleWell has 2 coordinates: use MLPField"),
        (EGNN(), BistableDimer(), "does not change under any reflection, and BistableDimer does change: use a field without"),
        (EGNN(), alanine, "does not change under any reflection, and Molecule does change: use TensorProductField"),
        (KernelField(), alanine, "does not change under any reflection, and Molecule does change: use TensorProductField"),
        (TensorProductField(reflection=True), alanine, "does not change under any reflection"),
        (TensorProductField(), DW4(), "moves particles in three dimensions, DW4 has 4 particles in 2 dimensions: use EGNN"),
        (GradientField(MLPField()), DW4(), "MLPField takes vectors, and DW4 has"),
        (MLPField(), DW4(), "MLPField takes vectors, and DW4 has"),
    ]
    for field, energy, message in refused:
        with pytest.raises(ValueError, match=message):
            field.build(energy)
    TensorProductField(2, 2).build(alanine)  # but this does
    for bad in (
        lambda: EGNN(layers=0),
        lambda: MLPField(()),
        lambda: Hutchinson(0),
        lambda: KernelField(basis=1),
        lambda: KernelField(nearest=3.0, farthest=2.0),
        lambda: TensorProductField(layers=1),
    ):
        with pytest.raises(ValueError):
            bad()
