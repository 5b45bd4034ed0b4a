"""Continuous flows of particles and vectors: measure, invariance, accuracy, and what is refused."""

import math

import pytest
import torch

from lit_bg.bases import Normal
from lit_bg.energies import DW4, DoubleWell, Gaussian, LennardJones
from lit_bg.energies.pair_energy import PairEnergy
from lit_bg.estimators import log_z
from lit_bg.generators import ContinuousFlow
from lit_bg.nets import EGNN, Hutchinson, MLPField, VectorField
from lit_bg.solvers import DormandPrince, Heun, Midpoint, RungeKutta4
from lit_bg.spaces import Domain, Kind, Vectors


class Springs(PairEnergy):
    """Half the squared distance of all pairs, which is N / 2 times that to the centre of mass."""

    def pair(self, r):
        return r**2 / 2

    @property
    def log_Z(self):
        return 0.5 * self.space.dof * math.log(2 * math.pi / self.event_shape[0])


class Decay(VectorField):
    """v = -a x, whose flow and density are known; a 2 x 2 matrix."""

    def build(self, energy):
        self.event_shape = energy.event_shape
        self.a = torch.nn.Parameter(torch.tensor([[0.5, 0.7], [-0.3, 1.1]]))
        return self

    def forward(self, t, x, context=None):
        return -(1 + t[:, None]) * x @ self.a.T


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def wild(energy, field, solver=None, std=0.3, **arguments):
    torch.manual_seed(1)
    flow = ContinuousFlow(field, solver=solver or RungeKutta4(40), **arguments).build(energy).double()
    for p in flow.field.parameters():
        torch.nn.init.normal_(p, std=std)
    return flow


PARTICLES = {"DW4": DW4(), "LJ5": LennardJones(5, factor=1)}


@pytest.mark.parametrize("energy", PARTICLES.values(), ids=PARTICLES)
class TestParticles:
    def test_samples_have_the_density_they_come_with_and_no_drift(self, energy):
        flow = wild(energy, EGNN(3, 8), RungeKutta4(15), scale=1.7).requires_grad_(False)
        x, log_q = flow.sample(6, rng())
        torch.testing.assert_close(flow.log_prob(x), log_q, rtol=0, atol=1e-4)
        assert x.mean(1).abs().max() < 1e-12

    def test_density_does_not_see_moves_and_exchanges(self, energy):
        flow = wild(energy, EGNN(3, 8), RungeKutta4(8)).requires_grad_(False)
        n, d = energy.event_shape
        x, _ = flow.sample(4, rng())
        log_q = flow.log_prob(x)
        q, _ = torch.linalg.qr(torch.randn(d, d, generator=rng(1), dtype=x.dtype))
        for moved in (x + 0.7, x @ q.T, x[:, torch.randperm(n, generator=rng(2))]):
            torch.testing.assert_close(flow.log_prob(moved), log_q, rtol=0, atol=1e-6)

    def test_ladj_is_that_of_the_subspace(self, energy):
        """In an orthonormal basis of what is left without the centre of mass, against autograd."""
        flow = wild(energy, EGNN(2, 8), RungeKutta4(12), scale=1.7).requires_grad_(False)
        n, d = energy.event_shape
        ones = torch.full((n, 1), n**-0.5, dtype=torch.float64)
        basis = torch.linalg.svd(ones, full_matrices=True)[0][:, 1:]  # (n, n - 1)

        def on_subspace(s):
            x = flow((basis @ s.reshape(n - 1, d))[None])[0][0]
            return (basis.T @ x).flatten()

        z, _ = flow.prior.sample(1, rng())
        jacobian = torch.autograd.functional.jacobian(on_subspace, (basis.T @ z[0]).flatten())
        assert flow(z)[1].item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-4)


def test_density_of_two_particles_integrates_to_one():
    """On the line x = (y, -y) / sqrt 2, the subspace of two particles in one dimension."""
    flow = wild(Springs(2, 1), EGNN(2, 8), RungeKutta4(10), scale=0.6)
    y = torch.linspace(-12, 12, 401, dtype=torch.float64)
    with torch.no_grad():
        q = flow.log_prob(torch.stack([y, -y], -1)[..., None] / math.sqrt(2)).exp()
    assert (q.sum() * 24 / 400).item() == pytest.approx(1, abs=1e-6)


def test_log_z_through_a_flow():
    """Weights of a wrong flow still give log Z, of particles without a centre of mass and of vectors, within 4 sigma."""
    for energy, field, scale in (
        (Springs(3, 2), EGNN(2, 8), 0.8),
        (Gaussian(4, scale=[0.7, 1.0, 1.3, 0.9]), MLPField((8,)), 1.3),
    ):
        flow = wild(energy, field, RungeKutta4(6), std=0.2, scale=scale)
        with torch.no_grad():
            x, log_q = flow.sample(1000, rng(4))
        value, error = log_z(-energy(x) - log_q)
        assert error < 0.1
        assert abs(value - energy.log_Z) < 4 * error


@pytest.mark.parametrize(("solver", "order"), [(Midpoint, 2), (Heun, 2), (RungeKutta4, 4)])
def test_order_of_the_solvers(solver, order):
    """Against the matrix exponential: half the step, 1 / 2^order of the error."""
    torch.manual_seed(0)
    z = torch.randn(6, 2, dtype=torch.float64)
    errors = []
    for steps in (8, 16):
        flow = ContinuousFlow(Decay(), solver=solver(steps)).build(DoubleWell()).double()
        exact = z @ torch.linalg.matrix_exp(-1.5 * flow.field.a.detach()).T
        x, ladj = flow(z)
        assert ladj[0].item() == pytest.approx(-1.5 * 1.6, abs=1e-4)
        errors.append((x - exact).abs().max().item())
        assert flow.evaluations == steps * solver.evaluations
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.35)


def test_the_adaptive_solver():
    """To its tolerance, with the gradients of the fixed steps; and it says when it cannot."""
    z = torch.randn(6, 2, generator=rng(), dtype=torch.float64)
    flow = ContinuousFlow(Decay(), solver=DormandPrince(1e-6, 1e-6)).build(DoubleWell()).double()
    exact = z @ torch.linalg.matrix_exp(-1.5 * flow.field.a.detach()).T
    assert (flow(z)[0] - exact).abs().max() < 1e-4
    gradients = []
    for solver in (DormandPrince(1e-6, 1e-6), RungeKutta4(30)):
        flow = wild(DoubleWell(), MLPField((8,)), solver)
        x = torch.randn(5, 2, generator=rng(3), dtype=torch.float64)
        (-flow.log_prob(x).mean()).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in flow.field.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-4)
    flow.solver = DormandPrince(1e-12, 1e-12, max_steps=3)
    with pytest.raises(FloatingPointError, match="could not be solved to rtol=1e-12"):
        flow.sample(5, rng())


def test_hutchinson_is_an_estimate_and_says_so():
    """log q of one sample under many noises scatters about the exact one, within 4 sigma."""
    exact = wild(DW4(), EGNN(2, 8), RungeKutta4(10)).requires_grad_(False)
    assert exact.exact_density
    estimate = wild(DW4(), EGNN(2, 8), RungeKutta4(10), divergence=Hutchinson()).requires_grad_(False)
    assert not estimate.exact_density
    x, _ = exact.sample(1, rng())
    with torch.no_grad():
        values = torch.stack([estimate.log_prob(x.expand(500, -1, -1))]).flatten()
        assert abs(values.mean() - exact.log_prob(x)) < 4 * values.std() / math.sqrt(500)
    assert values.std() > 0


def test_variance_of_an_estimated_log_q():
    r"""Of v = -(1 + t) A x with signs as noise it is $1.5^2 (A_{01} + A_{10})^2$, here 0.36, within 4 sigma."""
    exact = ContinuousFlow(Decay()).build(DoubleWell()).double()
    x = torch.randn(500, 2, generator=rng(), dtype=torch.float64)
    assert exact.log_prob_variance(x, rng()) is None
    for probes in (1, 4):
        flow = ContinuousFlow(Decay(), solver=RungeKutta4(2), divergence=Hutchinson(probes)).build(DoubleWell()).double()
        with torch.no_grad():
            variance = flow.log_prob_variance(x, rng(1))
        assert abs(variance.mean().item() - 0.36 / probes) < 4 * variance.std().item() / math.sqrt(500)


def test_units_come_from_the_data():
    flow = ContinuousFlow(MLPField((8,))).build(DoubleWell()).double()
    x = torch.tensor([1.0, -2.0]) + torch.tensor([3.0, 0.5]) * torch.randn(5000, 2, generator=rng(), dtype=torch.float64)
    flow.adapt(x)
    assert flow.units.inward(x).mean(0).abs().max() < 1e-6
    torch.testing.assert_close(flow.units.inward(x).std(0, correction=0), torch.ones(2, dtype=torch.float64))
    flow = ContinuousFlow(EGNN(1, 8)).build(DW4()).double()
    x = 2.5 * Normal().build(DW4()).double().sample(5000, rng())[0] + 4.0
    flow.adapt(x)
    assert flow.units.scale.item() == pytest.approx(2.5, rel=0.02)
    assert flow.units.inward(x).mean(1).abs().max() < 1e-12
    with pytest.raises(ValueError, match="do not vary"):
        flow.adapt(x[:1].expand(5, -1, -1) * 0)


def test_what_does_not_fit_is_refused():
    class Ring(DoubleWell):
        def __init__(self):
            super().__init__()
            kinds = torch.tensor([Kind.CIRCULAR, Kind.LINEAR])
            self.space = Vectors(2, Domain(kinds, torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.0])))

    class Anywhere(Decay):
        def build(self, energy):
            return self

    with pytest.raises(ValueError, match="lives on lines, and Ring has coordinates on circles"):
        ContinuousFlow(MLPField()).build(Ring())
    with pytest.raises(ValueError, match="would move the centre of mass"):
        ContinuousFlow(Anywhere()).build(DW4())
    for bad in (
        lambda: ContinuousFlow(MLPField(), scale=0.0).build(DoubleWell()),
        lambda: RungeKutta4(0),
        lambda: DormandPrince(rtol=0.0),
    ):
        with pytest.raises(ValueError):
            bad()
