"""Laws of the charts of molecules, over molecules with rings, bridges and several chains."""

import copy
import functools
import math

import pytest
import torch
from small_molecules import BPTI, DIPEPTIDE, PEPTIDES, Bare, from_base, jittered, molecule, superposed, toy

from lit_bg.bases.canonical import Canonical
from lit_bg.molecules.chirality import is_mirrored
from lit_bg.rng import stream
from lit_bg.spaces import Kind
from lit_bg.transforms import InternalCoordinates, MixedCoordinates

CHARTS = {
    "internal": InternalCoordinates,
    "internal-data": lambda: InternalCoordinates(torsions="data"),
    "mixed-data": lambda: MixedCoordinates(torsions="data"),
}
BENT = toy([[0.1, 0, 0], [0, 0, 0], [0, 0.1, 0]], [(0, 1), (1, 2)], "HOH")  # the frame alone
CHIRAL = toy([[0.1, 0, 0], [0, 0, 0], [0, 0.1, 0], [0, 0, 0.1]], [(0, 1), (1, 2), (1, 3)], "HNHH")


def built(chart, energy):
    return CHARTS[chart]().build(energy).double()


@functools.cache
def adapted(chart, path, n=1000):
    """The chart after data, and the data: draws of its own base where torsions are narrower on one side."""
    energy = molecule(path)
    c = built(chart, energy)
    z = from_base(c, n)
    z = torch.where(c.domain.kinds == Kind.CIRCULAR, 0.4 * z.sign() * z.square() + 0.3, z)
    x = c(z)[0]
    x = x[x.isfinite().flatten(1).all(1)]
    c.adapt(x)
    return c, x


def turned(difference, chart):
    """Distances, along the circle where there is one."""
    return torch.where(chart.domain.kinds == Kind.CIRCULAR, (difference + 1) % 2 - 1, difference)


def cartesian(chart, v):
    """All 3N coordinates from z, centre and Euler angles."""
    internal, centre, euler = v[:-6], v[-6:-3], v[-3:]
    x = chart(internal[None])[0][0]
    (ca, cb, cg), (sa, sb, sg) = euler.cos(), euler.sin()
    one, o = torch.ones_like(ca), torch.zeros_like(ca)
    za = torch.stack([ca, -sa, o, sa, ca, o, o, o, one]).reshape(3, 3)
    yb = torch.stack([cb, o, sb, o, one, o, -sb, o, cb]).reshape(3, 3)
    zg = torch.stack([cg, -sg, o, sg, cg, o, o, o, one]).reshape(3, 3)
    return (x @ (za @ yb @ zg).T + centre).flatten()


def jacobian(f, v):
    return torch.func.jacrev(f)(v)


@pytest.mark.parametrize("path", PEPTIDES)
@pytest.mark.parametrize("chart", CHARTS)
class TestEveryMolecule:
    @pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
    def test_round_trip(self, chart, path, dtype, atol):
        c, x = adapted(chart, path)
        c, x = copy.deepcopy(c).to(dtype), x.to(dtype)
        z, ladj = c.inverse(x)
        assert z.shape == (len(x), 3 * x.shape[1] - 6) == (len(x), c.domain.dim)
        y, back = c(z)
        assert len(x) > 980
        assert (superposed(y, x) - x).abs().max() < atol
        torch.testing.assert_close(ladj, -back, rtol=1e-6, atol=1e-3 if dtype == torch.float32 else 1e-8)
        assert y.mean(1).abs().max() < 1e-6
        structure = molecule(path).structure  # Cartesian anchors may mirror a centre, and then keep it so
        assert torch.equal(is_mirrored(y, structure), is_mirrored(x, structure))

    def test_invariant_under_motions_and_not_under_reflection(self, chart, path):
        c, x = adapted(chart, path)
        z, ladj = c.inverse(x)
        moved = c.complete(x, stream(0, "rotation")) + torch.tensor([3.0, -1.0, 2.0])
        z2, ladj2 = c.inverse(moved)
        assert turned(z2 - z, c).abs().max() < 1e-8
        torch.testing.assert_close(ladj2, ladj, rtol=0, atol=1e-8)
        narrow = c.domain.kinds != Kind.CIRCULAR
        narrow[: len(narrow) - len(c.rows)] = False
        mirrored = c.inverse(x * torch.tensor([1.0, 1.0, -1.0]))[0]
        assert ((mirrored - z).abs()[:, narrow].max(-1).values > 10).all()  # standard deviations

    def test_data_are_of_order_one(self, chart, path):
        c, x = adapted(chart, path)
        z = c.inverse(x)[0]
        circular = c.domain.kinds == Kind.CIRCULAR
        assert z[:, circular].abs().max() <= 1
        unit = torch.ones_like(z[0, ~circular])
        torch.testing.assert_close(z[:, ~circular].mean(0), 0 * unit, rtol=0, atol=1e-6)
        torch.testing.assert_close(z[:, ~circular].std(0), unit, rtol=0, atol=2e-3)

    def test_gradients_are_finite(self, chart, path):
        c = CHARTS[chart]().build(molecule(path))
        z = c.inverse(jittered(molecule(path), 5, torch.float32))[0].requires_grad_()
        x, ladj = c(z)
        (x.square().sum() + ladj.sum()).backward()
        assert z.grad.isfinite().all()
        assert (z.grad.abs().sum(0) > 0).all()


@pytest.mark.parametrize("path", ["tests/data/PP.pdb", "tests/data/CC.pdb"])
@pytest.mark.parametrize("chart", ["internal-data", "mixed-data"])
def test_log_determinant_is_that_of_all_cartesians(chart, path):
    """Position and orientation appended, the map is one of 3N coordinates, and autograd knows its determinant."""
    c, x = adapted(chart, path)
    check_determinant(c, c.inverse(x[:1])[0][0])


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("structure", [BENT, CHIRAL], ids=["3 atoms", "4 atoms"])
def test_log_determinant_of_the_smallest_molecules(chart, structure):
    factory = (lambda: MixedCoordinates(anchors=["A0", "A1", "A2"])) if chart.startswith("mixed") else CHARTS[chart]
    c = factory().build(Bare(structure)).double()
    assert c.domain.dim == 3 * structure.n_atoms - 6
    z = 0.5 * from_base(c, 5)
    check_determinant(c, z[0])
    x = c(z)[0]
    torch.testing.assert_close(c.inverse(x)[0], z, rtol=0, atol=1e-9)


def check_determinant(chart, z):
    n = chart.event_shape[0]
    euler = torch.tensor([0.3, 1.1, -0.7], dtype=torch.float64)
    v = torch.cat([z, torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), euler])
    full = torch.linalg.slogdet(jacobian(lambda v: cartesian(chart, v), v)).logabsdet
    # d^3N x = (N^{3/2} d^3 centre) d^{3N-3} y, and dOmega = sin(beta) d alpha d beta d gamma
    in_subspace = full - 1.5 * math.log(n) - math.log(math.sin(1.1)) + math.log(8 * math.pi**2)
    assert chart(z[None])[1].item() == pytest.approx(in_subspace.item(), abs=1e-7)


@pytest.mark.parametrize("path", [DIPEPTIDE, "tests/data/CC.pdb"])
def test_internal_and_mixed_coordinates_give_one_density(path):
    """A density on one set of coordinates, carried to the other by its Jacobian, is the same density of x."""
    mixed, x = adapted("mixed-data", path)
    internal = built("internal", molecule(path))
    z, ladj = mixed.inverse(x[:3])
    _, other = internal.inverse(x[:3])
    for n in range(3):
        between = torch.linalg.slogdet(jacobian(lambda z: internal.inverse(mixed(z[None])[0])[0][0], z[n])).logabsdet
        assert (ladj[n] + between).item() == pytest.approx(other[n].item(), abs=1e-7)


@pytest.mark.parametrize("chart", CHARTS)
def test_what_data_gave_is_in_the_state(chart):
    c, x = adapted(chart, PEPTIDES[2])
    fresh = built(chart, molecule(PEPTIDES[2]))
    assert not torch.equal(c.inverse(x)[0], fresh.inverse(x)[0])
    fresh.load_state_dict(c.state_dict())
    assert torch.equal(c.inverse(x)[0], fresh.inverse(x)[0])
    assert torch.equal(copy.deepcopy(c).inverse(x)[0], c.inverse(x)[0])


def test_torsions_of_the_base_are_those_of_the_data():
    c, x = adapted("internal-data", DIPEPTIDE, 4000)
    circular = c.domain.kinds == Kind.CIRCULAR
    z = c.inverse(x)[0][:, circular].sort(0).values
    uniform = torch.linspace(-1, 1, len(z), dtype=z.dtype)[:, None]
    # twice the distance of Kolmogorov: 0.043 at one in 1000 for 4000 draws, 0.04 for the uniform part, 0.03 for the knots
    assert (z - uniform).abs().max() < 0.113
    plain = built("internal", molecule(DIPEPTIDE))
    plain.adapt(x)
    assert (plain.inverse(x)[0][:, circular].sort(0).values - uniform).abs().max() > 0.3

    # the likelihood of the data under the base is what the smoother marginals are for
    prior = Canonical().on(c.space).double()
    gain = [(prior.log_prob(chart.inverse(x)[0]) + chart.inverse(x)[1]).mean() for chart in (c, plain)]
    assert gain[0] - gain[1] > 0.3 * int(circular.sum())


def test_out_of_range_is_no_configuration():
    energy = molecule(DIPEPTIDE)
    for chart, columns in (("internal", (0, 21, 59)), ("mixed-data", (0, 30, 50))):
        c = CHARTS[chart]().build(energy)
        z = c.inverse(energy.initial)[0].repeat(4, 1)
        z[1, columns[0]] = -1000.0  # a bond, or the distance of the first two anchors, below zero
        z[2, columns[1]] = 1000.0  # an angle beyond pi, a bond below zero
        z[3, columns[2]] = 1000.0 if chart == "internal" else -1000.0  # an improper more than a turn away
        x, ladj = c(z)
        assert ladj.isfinite().all()
        assert x.isfinite().flatten(1).all(1).tolist() == [True, False, x[2].isfinite().all().item(), False]
        assert energy(x)[1:2].isposinf().all()
        assert energy(x)[0].isfinite()


class TestProtein:
    """BPTI: 892 atoms, three disulfide bridges."""

    @pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 2e-5), (torch.float64, 1e-10)])
    def test_round_trip_in_mixed_coordinates(self, dtype, atol):
        energy = molecule(BPTI)
        c = MixedCoordinates(torsions="data").build(energy).to(dtype)
        x = c(0.3 * from_base(c, 20).to(dtype))[0]
        x = x - x.mean(1, keepdim=True)
        z, ladj = c.inverse(x)
        assert z.shape == (20, 2670)
        y, back = c(z)
        assert (superposed(y, x) - x).abs().max() < atol
        torch.testing.assert_close(ladj, -back, rtol=1e-6, atol=1e-7)
        assert not is_mirrored(y, energy.structure).any()

    def test_anchors_are_backbone_and_bridges(self):
        energy = molecule(BPTI)
        c = MixedCoordinates().build(energy)
        s = energy.structure
        chosen = sorted((s.residue_of[i], s.names[i]) for i in c.start.tolist())
        cysteines = [r for r, name in enumerate(s.residues) if name in ("CYS", "CYX")]
        assert len(cysteines) == 6
        expected = [(r, n) for r in range(58) for n in ("N", "CA", "C")] + [(r, n) for r in cysteines for n in ("CB", "SG")]
        assert chosen == sorted(expected)
        r, _, rho = c._pinned(energy.initial)[0, :3].tolist()
        assert min(r, rho) > 0.5  # [nm]: the frame has long legs

    @pytest.mark.slow
    @pytest.mark.parametrize("chart", ["internal", "mixed-data"])
    def test_round_trip_of_adapted_charts(self, chart):
        energy = molecule(BPTI)
        c = built(chart, energy)
        x = built("mixed-data", energy)(0.3 * from_base(built("mixed-data", energy), 1000))[0]
        c.adapt(x)
        assert (superposed(c(c.inverse(x)[0])[0], x) - x).abs().max() < 1e-10
        c, x = c.float(), x.float()
        assert (superposed(c(c.inverse(x)[0])[0], x) - x).abs().max() < 3e-5
