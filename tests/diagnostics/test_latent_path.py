"""Paths between two configurations: ends, densities, the short way round, and arcs."""

import math

import pytest
import torch

from lit_bg.bases import Normal
from lit_bg.diagnostics.latent_path import latent_path, straight_path
from lit_bg.energies import DW4, DoubleWell, Gaussian, Molecule
from lit_bg.energies.base import Energy, Observable
from lit_bg.generators import ContinuousFlow, CouplingFlow, ReverseDiffusion
from lit_bg.generators.transport import Transport
from lit_bg.nets import EGNN, MLPField
from lit_bg.spaces import Domain, Kind, Vectors

RNG = torch.Generator().manual_seed(0)


def disturbed(generator):
    """A flow that is not the identity."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in generator.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return generator.eval()


class Bent(Transport):
    """x1 = z1, x2 = z2 + z1^2: a flow whose lines are parabolas."""

    def build(self, energy):
        self.event_shape = energy.space.shape
        self.prior = Normal().build(energy)
        return self

    def forward(self, z, context=None):
        return torch.stack([z[:, 0], z[:, 1] + z[:, 0] ** 2], -1), z.new_zeros(len(z))

    def inverse(self, x, context=None):
        return torch.stack([x[:, 0], x[:, 1] - x[:, 0] ** 2], -1), x.new_zeros(len(x))


class Angle(Energy):
    """One angle."""

    space = Vectors(1, Domain(torch.tensor([Kind.CIRCULAR]), torch.tensor([-math.pi]), torch.tensor([math.pi])))

    def potential(self, x):
        return x[:, 0].cos()  # lowest at pi

    @property
    def observables(self):
        return {"angle": Observable(lambda x: x[:, 0], range=(-math.pi, math.pi), periodic=True)}


def test_lines_of_a_known_flow_are_parabolas():
    energy = Gaussian(2)
    a, b = torch.tensor([-1.0, 1.0]), torch.tensor([1.0, 1.0])  # z = (-1, 0) and (1, 0)
    path = latent_path(Bent().build(energy), energy, a, b, points=5)
    torch.testing.assert_close(path.x, torch.tensor([[-1.0, 1.0], [-0.5, 0.25], [0.0, 0.0], [0.5, 0.25], [1.0, 1.0]]))
    torch.testing.assert_close(path.u, energy(path.x).double())
    torch.testing.assert_close(
        path.log_q, Normal().build(energy).log_prob(path.x - path.x[:, :1] ** 2 * torch.tensor([0, 1.0])).double()
    )
    assert path.barrier == pytest.approx(0.0)
    straight = straight_path(Bent().build(energy), energy, a, b, points=5)
    torch.testing.assert_close(straight.x[2], torch.tensor([0.0, 1.0]))


def test_the_barrier_of_a_straight_line_in_the_double_well():
    """Untrained, the flow is a scaling: its lines are straight, and the barrier is that of U along x1."""
    energy = DoubleWell()
    flow = CouplingFlow(blocks=1, hidden=(4,)).build(energy)
    for path in (
        latent_path(flow, energy, *energy.initial, points=2001),
        straight_path(flow, energy, *energy.initial, points=2001),
    ):
        x1 = torch.linspace(-3, 3, 60001, dtype=torch.float64)
        u = energy(torch.stack([x1, torch.zeros_like(x1)], -1))
        top = u[(x1 > -1) & (x1 < 1)].max() - energy(energy.initial[:1].double())[0]
        assert path.barrier == pytest.approx(top.item(), abs=1e-3)
        assert path.top == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("case", ["spline", "affine", "field", "particles"])
def test_ends_and_density(case, spherical):
    """A path begins and ends where it should, and log q along it is `log_prob`."""
    energy = DW4() if case == "particles" else Gaussian(5)
    flow = {
        "spline": lambda: CouplingFlow(blocks=2, hidden=(8,)),
        "affine": lambda: CouplingFlow(blocks=2, hidden=(8,), transform="affine"),
        "field": lambda: ContinuousFlow(MLPField(hidden=(8,))),
        "particles": lambda: ContinuousFlow(EGNN(width=8, layers=1)),
    }[case]()
    flow = disturbed(flow.build(energy))
    x = flow.sample(2, torch.Generator().manual_seed(2))[0].detach()
    path = latent_path(flow, energy, x[0], x[1], points=11, spherical=spherical)
    torch.testing.assert_close(path.x[0], energy.space.wrap(x[:1])[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(path.u[-1].float(), energy(x[1:])[0].float(), atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(path.log_q, flow.log_prob(path.x).double().detach(), atol=2e-2, rtol=1e-3)
    assert path.barrier >= 0


def test_an_arc_keeps_the_distance_from_the_middle():
    """In 50 dimensions a line passes at 0.7 of the radius of its ends, an arc does not."""
    energy = Gaussian(50)
    flow = CouplingFlow(blocks=1, hidden=(4,)).build(energy)
    a, b = torch.randn(2, 50, generator=RNG)
    line, arc = (latent_path(flow, energy, a, b, points=21, spherical=s) for s in (False, True))
    radius = [flow.inverse(path.x)[0].norm(dim=1) for path in (line, arc)]
    expected = torch.linspace(radius[1][0].item(), radius[1][-1].item(), 21)
    torch.testing.assert_close(radius[1], expected, rtol=1e-4, atol=1e-4)
    assert radius[0].min() < 0.8 * expected.min()
    assert arc.log_q.min() > line.log_q[0] - 30


@pytest.mark.parametrize("b", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], ids=["parallel", "opposite", "at the middle"])
def test_an_arc_that_is_none_is_a_line(b):
    energy = Gaussian(2)
    flow = Bent().build(energy)
    to_x = lambda z: flow(torch.tensor([z]))[0][0]  # noqa: E731
    line, arc = (latent_path(flow, energy, to_x([1.0, 0.0]), to_x(b), points=5, spherical=s) for s in (False, True))
    torch.testing.assert_close(line.x, arc.x, atol=1e-4, rtol=1e-4)


def test_circles_are_crossed_the_short_way():
    """From 3 to -3 through pi, where the energy is lowest."""
    energy = Angle()
    flow = CouplingFlow(blocks=1, hidden=(4,)).build(energy)
    for path in (
        latent_path(flow, energy, torch.tensor([3.0]), torch.tensor([-3.0])),
        latent_path(flow, energy, torch.tensor([3.0]), torch.tensor([-3.0]), spherical=True),
        straight_path(flow, energy, torch.tensor([3.0]), torch.tensor([-3.0])),
    ):
        assert path.observables["angle"].abs().min() > 2.9
        assert path.barrier < 1e-3


def test_particles_are_laid_on_each_other_first():
    """A turned copy of a cluster with its particles exchanged is the same configuration: there is nothing to climb."""
    energy = DW4()
    flow = ContinuousFlow(EGNN(width=8, layers=1)).build(energy)
    x = energy.space.project(4 * torch.rand(1, 4, 2, generator=torch.Generator().manual_seed(0)))[0]
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    path = latent_path(flow, energy, x, (x @ turn)[[2, 0, 3, 1]], points=11)
    assert path.barrier < 1e-2
    assert straight_path(flow, energy, x, (x @ turn)[[2, 0, 3, 1]], points=11).barrier < 1e-2


def test_a_molecule_in_internal_coordinates():
    """Torsions turn; straight through space bonds are crossed."""
    from lit_bg.transforms import InternalCoordinates

    energy = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber99sbildn.xml", "amber99_obc.xml"])
    flow = CouplingFlow(blocks=1, hidden=(4,), coordinates=InternalCoordinates()).build(energy)
    a, b = energy.start_from_torsions(2, torch.Generator().manual_seed(0))
    path, straight = latent_path(flow, energy, a, b, points=41), straight_path(flow, energy, a, b, points=41)
    torch.testing.assert_close(path.u[[0, -1]], energy(torch.stack([a, b])), atol=0.01, rtol=0)
    assert path.barrier < 1000 < 10_000 < straight.barrier
    steps = path.observables["phi"].diff()
    assert torch.remainder(steps + math.pi, 2 * math.pi).sub(math.pi).abs().max() < 0.2


class Forbidden(Gaussian):
    """A target that covers the outside of a ring alone."""

    def in_region(self, x):
        return x.norm(dim=-1) > 0.5


def test_what_lies_outside_the_region_is_infinitely_high():
    energy = Forbidden(2)
    path = latent_path(Bent().build(energy), energy, torch.tensor([-1.0, 1.0]), torch.tensor([1.0, 1.0]), points=5)
    assert path.barrier == math.inf
    assert torch.isfinite(path.u[[0, -1]]).all()


class TestBadInput:
    def test_a_generator_without_a_latent_space(self):
        energy = DoubleWell()
        with pytest.raises(TypeError, match="ReverseDiffusion has no inverse to a latent space: take a flow"):
            latent_path(ReverseDiffusion(MLPField(hidden=(8,))).build(energy), energy, *energy.initial)

    def test_points(self):
        energy = DoubleWell()
        flow = CouplingFlow(blocks=1, hidden=(4,)).build(energy)
        with pytest.raises(ValueError, match="a path needs at least 3 points, got 2"):
            latent_path(flow, energy, *energy.initial, points=2)

    def test_shape(self):
        energy = DoubleWell()
        flow = CouplingFlow(blocks=1, hidden=(4,)).build(energy)
        with pytest.raises(ValueError, match=r"takes configurations of shape \(B, 2\), got \(2, 3\)"):
            straight_path(flow, energy, torch.zeros(3), torch.zeros(3))

    def test_an_end_that_the_flow_cannot_reach(self):
        energy = DoubleWell()
        flow = CouplingFlow(blocks=1, hidden=(4,)).build(energy)
        with pytest.raises(ValueError, match="maps an end of the path to no latent point"):
            latent_path(flow, energy, energy.initial[0], torch.full((2,), math.nan))
