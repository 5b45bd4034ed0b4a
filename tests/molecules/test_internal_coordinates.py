import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_bg.energies import DoubleWell, Energy, Molecule
from lit_bg.molecules import Structure, ZMatrix
from lit_bg.molecules.geometry import angle, dihedral, distance, place, random_rotations
from lit_bg.rng import stream
from lit_bg.transforms.domain import Kind
from lit_bg.transforms.internal_coordinates import InternalCoordinates

FILES = ["experiments/alanine_dipeptide.pdb", "tests/data/AAA.pdb", "tests/data/AAAAA.pdb"]


def molecule(path):
    return Molecule(path, ["amber99sbildn.xml", "amber99_obc.xml"])


def toy(positions, bonds, elements=None):
    """A bare structure; elements default to carbon."""
    n = len(positions)
    x = np.asarray(positions, dtype=np.float64)
    return Structure(
        positions=x - x.mean(0), names=tuple(f"A{i}" for i in range(n)), elements=tuple(elements or "C" * n),
        masses=(12.0,) * n, bonds=tuple(bonds), residues=("TOY",), residue_of=(0,) * n,
    )  # fmt: skip


class Bare(Energy):
    """An energy that is nothing but a structure."""

    def __init__(self, structure: Structure) -> None:
        super().__init__()
        self.structure, self.event_shape = structure, (structure.n_atoms, 3)

    def potential(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), dtype=x.dtype)


def chart_of(energy, dtype):
    return InternalCoordinates().build(energy).to(dtype)


def thermal(energy, n, dtype, width=0.01):
    noise = torch.randn(n, *energy.event_shape, generator=stream(0, "thermal"), dtype=torch.float64)
    x = torch.from_numpy(energy.structure.positions) + width * noise
    return (x - x.mean(1, keepdim=True)).to(dtype)


def superposed(x, y):
    """x turned onto y by proper rotations."""
    u, _, vh = torch.linalg.svd(x.mT @ y)
    u = torch.cat([u[..., :2], u[..., 2:] * torch.det(u @ vh).sign()[:, None, None]], -1)
    return x @ (u @ vh)


@pytest.mark.parametrize("path", FILES)
class TestEveryMolecule:
    @pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
    def test_round_trip(self, path, dtype, atol):
        energy = molecule(path)
        chart = chart_of(energy, dtype)
        x = thermal(energy, 100, dtype)
        z, ladj = chart.inverse(x)
        assert z.shape == (100, 3 * energy.structure.n_atoms - 6) == (100, chart.domain.dim)
        y, back = chart(z)
        assert (superposed(y, x) - x).abs().max() < atol
        torch.testing.assert_close(ladj, -back, rtol=1e-5, atol=1e-3)
        assert y.mean(1).abs().max() < 1e-6

    def test_invariant_under_motions_and_not_under_reflection(self, path):
        energy = molecule(path)
        chart = chart_of(energy, torch.float64)
        x = thermal(energy, 50, torch.float64)
        z, ladj = chart.inverse(x)
        moved = chart.complete(x, stream(0, "rotation")) + torch.tensor([3.0, -1.0, 2.0])
        z2, ladj2 = chart.inverse(moved)
        delta = (z2 - z).abs()
        delta = torch.where(chart.torsion, torch.minimum(delta, 2 - delta), delta)
        assert delta.max() < 1e-9
        torch.testing.assert_close(ladj2, ladj, rtol=0, atol=1e-9)
        mirrored = chart.inverse(x * torch.tensor([1.0, 1.0, -1.0]))[0]
        impropers = ~chart.torsion
        assert ((mirrored - z).abs()[:, impropers].max(-1).values > 10).all()  # standard deviations

    def test_thermal_molecules_are_of_order_one(self, path):
        energy = molecule(path)
        chart = chart_of(energy, torch.float64)
        x = thermal(energy, 400, torch.float64)
        chart.adapt(x)
        z = chart.inverse(x)[0]
        circular = chart.domain.kinds == Kind.CIRCULAR
        assert z[:, circular].abs().max() <= 1
        torch.testing.assert_close(z[:, ~circular].mean(0), torch.zeros_like(z[0, ~circular]), rtol=0, atol=1e-6)
        torch.testing.assert_close(z[:, ~circular].std(0), torch.ones_like(z[0, ~circular]), rtol=0, atol=1e-6)

    def test_gradients_are_finite(self, path):
        energy = molecule(path)
        chart = chart_of(energy, torch.float32)
        z = chart.inverse(thermal(energy, 5, torch.float32))[0].requires_grad_()
        x, ladj = chart(z)
        (x.square().sum() + ladj.sum()).backward()
        assert z.grad.isfinite().all()


@pytest.mark.parametrize("path", FILES[:2])
def test_log_determinant_is_that_of_all_cartesians(path):
    """Position and orientation appended, the map is one of 3N coordinates, and autograd knows its determinant."""
    energy = molecule(path)
    chart = chart_of(energy, torch.float64)
    z = chart.inverse(thermal(energy, 1, torch.float64))[0][0]
    n = energy.structure.n_atoms

    def cartesian(v):
        internal, centre, euler = v[:-6], v[-6:-3], v[-3:]
        x = chart(internal[None])[0][0]
        ca, cb, cg = euler.cos()
        sa, sb, sg = euler.sin()
        one, o = torch.ones_like(ca), torch.zeros_like(ca)
        za = torch.stack([ca, -sa, o, sa, ca, o, o, o, one]).reshape(3, 3)
        yb = torch.stack([cb, o, sb, o, one, o, -sb, o, cb]).reshape(3, 3)
        zg = torch.stack([cg, -sg, o, sg, cg, o, o, o, one]).reshape(3, 3)
        return (x @ (za @ yb @ zg).T + centre).flatten()

    euler = torch.tensor([0.3, 1.1, -0.7], dtype=torch.float64)
    v = torch.cat([z, torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), euler])
    full = torch.linalg.slogdet(torch.autograd.functional.jacobian(cartesian, v)).logabsdet
    # d^3N x = (N^{3/2} d^3 centre) d^{3N-3} y, and dOmega = sin(beta) d alpha d beta d gamma
    in_subspace = full - 1.5 * math.log(n) - math.log(math.sin(1.1)) + math.log(8 * math.pi**2)
    assert chart(z[None])[1].item() == pytest.approx(in_subspace.item(), abs=1e-8)


class Springs(Energy):
    r"""Four atoms, a harmonic spring of its own length between every pair.

    $u(x) = \frac{1}{2} \sum_{i<j} k (r_{ij} - d_{ij})^2$; two mirror images.
    """

    def __init__(self, k: float = 4.0) -> None:
        super().__init__()
        corners = torch.tensor([[0, 0, 0], [1.0, 0, 0], [0.2, 1.1, 0], [0.3, 0.4, 0.9]], dtype=torch.float64)
        self.event_shape, self.k = (4, 3), k
        self.structure = toy(corners.numpy(), [(0, 1), (0, 2), (0, 3)])
        self.register_buffer("pairs", torch.combinations(torch.arange(4)))
        self.register_buffer("d", distance(corners[None], self.pairs)[0])

    def potential(self, x: Tensor) -> Tensor:
        return 0.5 * self.k * (distance(x, self.pairs) - self.d).square().sum(-1)


def log_mean_exp(log_w: Tensor) -> tuple[float, float]:
    """Logarithm of the mean weight, and its standard error."""
    top = log_w.max()
    w = (log_w - top).exp()
    return (top + w.mean().log()).item(), (w.std() / w.mean() / math.sqrt(len(w))).item()


def test_log_z_is_the_same_number_in_both_coordinates():
    """The reference measure, by Gaussian proposals in Cartesians without centre of mass and in internal coordinates."""
    energy, n = Springs(), 400_000
    rng = stream(0, "measure")

    # Cartesian: an isotropic Gaussian on the centre-of-mass-free subspace, in an orthonormal basis of it
    basis = torch.linalg.qr(torch.cat([torch.ones(4, 1), torch.eye(4)[:, :3]], 1).double())[0][:, 1:]
    s = 0.62
    y = s * torch.randn(n, 3, 3, generator=rng, dtype=torch.float64)
    log_q = -0.5 * (y / s).square().sum((1, 2)) - 4.5 * math.log(2 * math.pi * s * s)
    cartesian, error_c = log_mean_exp(-energy(torch.einsum("ia,nad->nid", basis, y)) - log_q)

    # internal: 3 bonds, 2 angles, 1 improper of both signs; proposals broad on each
    chart = InternalCoordinates().build(energy).double()
    chart.mean[:] = torch.tensor([1.0, 1.0, 1.0, 1.4, 1.4, 0.0])
    chart.scale[:] = torch.tensor([0.45, 0.45, 0.45, 0.55, 0.55, 1.6])
    z = torch.randn(n, 6, generator=rng, dtype=torch.float64)
    x, ladj = chart(z)
    log_p = -0.5 * z.square().sum(-1) - 3 * math.log(2 * math.pi)
    valid = x.isfinite().all(-1).all(-1)
    assert not valid.all()  # proposals out of range exist here, and are no configurations
    log_w = torch.where(valid, -energy(x.nan_to_num()) - (log_p - ladj), -math.inf)
    internal, error_i = log_mean_exp(log_w)

    assert error_c < 0.02
    assert error_i < 0.02
    assert abs(cartesian - internal) < 3 * math.hypot(error_c, error_i)


def test_log_z_of_a_chain_is_exact():
    r"""Three atoms, u = a (r_1^2 + r_2^2) / 2: Z = (2 pi / a)^3 / 3^{3/2} in the centre-of-mass-free measure.

    The Jacobian from orthonormal coordinates to the two bond vectors is sqrt(N)^3.
    """
    a, n = 50.0, 200_000
    structure = toy([[0.2, 0, 0], [0, 0, 0], [0, 0.2, 0]], [(0, 1), (1, 2)])
    chart = InternalCoordinates().build(Bare(structure)).double()
    chart.mean[:] = torch.tensor([0.25, 0.25, math.pi / 2])
    chart.scale[:] = torch.tensor([0.09, 0.09, 0.7])
    z = torch.randn(n, 3, generator=stream(0, "chain"), dtype=torch.float64)
    x, ladj = chart(z)
    log_p = -0.5 * z.square().sum(-1) - 1.5 * math.log(2 * math.pi)
    u = 0.5 * a * distance(x, torch.tensor([[0, 1], [1, 2]])).square().sum(-1)
    log_w = torch.where(u.isfinite(), -u - log_p + ladj, -math.inf)
    value, error = log_mean_exp(log_w)
    assert error < 0.02
    assert abs(value - (3 * math.log(2 * math.pi / a) - 1.5 * math.log(3))) < 3 * error


def test_out_of_range_is_no_configuration():
    energy = molecule(FILES[0])
    chart = InternalCoordinates().build(energy)
    z = chart.inverse(energy.initial)[0].repeat(4, 1)
    z[1, 0] = -1000.0  # a bond of negative length
    z[2, 21] = 1000.0  # the first angle beyond pi
    z[3, -1] = 1000.0  # an improper more than a turn away
    z.requires_grad_()
    x, ladj = chart(z)
    assert ladj.isfinite().all()
    assert torch.equal(energy(x).isposinf(), torch.tensor([False, True, True, True]))
    energy(x)[0].backward()
    assert z.grad.isfinite().all()


def test_torsions_of_the_backbone_are_coordinates():
    energy = molecule(FILES[1])
    rows = {frozenset(row) for row, proper in zip(ZMatrix.of(energy.structure).rows, [True] * 99, strict=False) if proper}
    for name, atoms in energy.structure.backbone_torsions.items():
        assert frozenset(atoms) in rows, name


def test_every_atom_is_placed_from_atoms_placed_before():
    for path in FILES:
        z = ZMatrix.of(molecule(path).structure)
        placed, level = set(z.frame), 0
        new = set()
        for row, depth in zip(z.rows, z.depth, strict=True):
            if depth != level:
                placed, new, level = placed | new, set(), depth
            assert {row[1], row[2]} <= placed
            assert len(set(row)) == 4
            new.add(row[0])
        assert len(placed | new) == len(z.rows) + 3
        assert max(z.depth) <= len(z.rows) / 4  # shallow


def test_kinds_follow_from_the_graph_alone():
    kinds = InternalCoordinates().build(molecule(FILES[0])).domain.kinds
    assert kinds.tolist().count(Kind.CIRCULAR) == 7  # phi, psi, two omega, three methyl groups
    assert kinds.tolist().count(Kind.LINEAR) == 53


def test_a_ring_and_a_triangle():
    t = torch.arange(6) * math.pi / 3
    ring = torch.stack([0.14 * t.cos(), 0.14 * t.sin(), 0.02 * (-1.0) ** torch.arange(6)], -1)
    energy = Bare(toy(ring.numpy(), [(i, (i + 1) % 6) for i in range(6)]))
    chart = InternalCoordinates().build(energy).double()
    x = thermal(energy, 20, torch.float64)
    assert (superposed(chart(chart.inverse(x)[0])[0], x) - x).abs().max() < 1e-10


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (DoubleWell(), r"DoubleWell\(2,\) has none"),
        (
            Bare(toy([[0, 0, 0], [1, 0, 0], [5, 0, 0], [6, 0, 0], [7, 0, 0]], [(0, 1), (2, 3), (3, 4)])),
            "2 parts of 3, 2 atoms",
        ),
        (Bare(toy([[0, 0, 0], [1, 0, 0]], [(0, 1)])), "at least three atoms, got 2"),
    ],
)
def test_what_is_no_molecule_is_refused(energy, message):
    with pytest.raises(ValueError, match=message):
        InternalCoordinates().build(energy)


def test_placement_inverts_measurement():
    x = torch.randn(50, 4, 3, generator=stream(0, "place"), dtype=torch.float64)
    i, j, k, l = x.unbind(1)  # noqa: E741
    r = distance(x, torch.tensor([[0, 1]]))[:, 0]
    theta, phi = angle(x, torch.tensor([[0, 1, 2]]))[:, 0], dihedral(x, torch.tensor([[0, 1, 2, 3]]))[:, 0]
    torch.testing.assert_close(place(j, k, l, r, theta, phi), i)


def test_random_rotations_are_uniform_and_proper():
    q = random_rotations(20_000, stream(0, "rotations"), torch.float64)
    torch.testing.assert_close(q @ q.mT, torch.eye(3, dtype=q.dtype).expand_as(q))
    torch.testing.assert_close(torch.det(q), torch.ones(len(q), dtype=q.dtype))
    # Haar: every entry has mean 0 and variance 1/3, the trace mean 0 and variance 1
    assert (q.mean(0).abs() < 4 * math.sqrt(1 / 3 / len(q))).all()
    trace = q.diagonal(dim1=1, dim2=2).sum(-1)
    assert abs(trace.mean()) < 4 / math.sqrt(len(q))
    assert abs(trace.square().mean() - 1) < 4 * (trace.square().std() / math.sqrt(len(q)))


def test_adapted_scales_are_in_the_state():
    energy = molecule(FILES[0])
    chart, twin = InternalCoordinates().build(energy), InternalCoordinates().build(energy)
    x = thermal(energy, 200, torch.float32)
    chart.adapt(x)
    assert not torch.equal(chart.inverse(x)[0], twin.inverse(x)[0])
    twin.load_state_dict(chart.state_dict())
    assert torch.equal(chart.inverse(x)[0], twin.inverse(x)[0])


def test_torsions_are_cut_where_there_are_fewest_data():
    energy = molecule(FILES[0])
    chart = InternalCoordinates().build(energy).double()
    z = chart.inverse(thermal(energy, 2000, torch.float64, 0.003))[0]
    z[:, chart.torsion] = 0.9 + 0.1 * torch.randn(2000, 7, generator=stream(0, "cut"), dtype=torch.float64)  # across the cut
    x, _ = chart(z)
    assert chart.inverse(x)[0][:, chart.torsion].std(0).min() > 0.5
    chart.adapt(x)
    assert chart.inverse(x)[0][:, chart.torsion].std(0).max() < 0.2
