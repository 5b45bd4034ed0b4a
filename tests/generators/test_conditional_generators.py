"""Densities under conditions: laws of every generator that follows the conditions of an energy."""

import math

import pytest
import torch

from lit_bg.diagnostics.density import density_defect
from lit_bg.energies import DW4, DoubleWell, Energy, Gaussian, Tempered
from lit_bg.evaluate import evaluate
from lit_bg.generators import ContinuousFlow, CouplingFlow, Diffusion, Generator, ReverseDiffusion
from lit_bg.nets import EGNN, MLPField
from lit_bg.samples import draw
from lit_bg.solvers import RungeKutta4
from lit_bg.testing import GENERATOR_LAWS, GeneratorCase

WELLS = Tempered(DoubleWell(), 0.5, 4.0)
CASES = {
    "spline flow": (lambda: CouplingFlow(blocks=2, hidden=(12,), bins=5), WELLS),
    "affine flow": (lambda: CouplingFlow(blocks=2, hidden=(12,), transform="affine"), WELLS),
    "one coordinate": (lambda: CouplingFlow(blocks=1, hidden=(12,)), Tempered(Gaussian(1), 0.5, 2.0)),
    "continuous flow": (lambda: ContinuousFlow(MLPField((12,)), solver=RungeKutta4(30)), WELLS),
    "particles": (lambda: ContinuousFlow(EGNN(2, 4), solver=RungeKutta4(8)), Tempered(DW4(), 0.5, 2.0)),
    "diffusion": (lambda: Diffusion(MLPField((12,)), solver=RungeKutta4(45)), WELLS),
    "reverse diffusion": (lambda: ReverseDiffusion(MLPField((12,)), steps=20), WELLS),
}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def make(case):
    torch.manual_seed(0)
    factory, energy = CASES[case]
    generator = factory().build(energy).double()
    for p in generator.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return generator, energy


def rows(energy, n):
    return energy.conditions[0].draw(n, rng(5)).double()[:, None]


@pytest.mark.parametrize("case", CASES)
class TestEveryConditionalGenerator:
    @pytest.mark.parametrize("law", [law for law in GENERATOR_LAWS if law not in ("norm", "single precision")])
    def test_obeys_every_law(self, case, law):
        generator, energy = make(case)
        reached, draws = (0.5, 200) if case == "particles" else (1.0, 4000)  # not every feature of the last layer is used
        GENERATOR_LAWS[law](GeneratorCase(generator, energy, CASES[case][0](), tolerance=1e-5, draws=draws, reached=reached))

    def test_density_depends_on_conditions_that_reach_it(self, case):
        generator, energy = make(case)
        context = rows(energy, 30)
        x, log_q = generator.sample(30, rng(), context)
        if generator.has_log_prob:
            assert (generator.log_prob(x, context.flip(0)) - log_q).abs().max() > 1e-3
        if case == "particles":
            (x.square().sum() + log_q.sum()).backward()
            assert generator.field.conditions.weight.grad[:, -1].abs().max() > 0

    def test_wrong_conditions_are_refused(self, case):
        generator, energy = make(case)
        name = type(generator).__name__
        with pytest.raises(ValueError, match=rf"{name} needs conditions \(kT from .*\) and got none: pass context"):
            generator.sample(3, rng())
        with pytest.raises(ValueError, match=rf"{name} knows kT from .*, and got kT = 0.4: stay in the range"):
            generator.sample(3, rng(), torch.tensor([0.4]))
        with pytest.raises(ValueError, match=r"got a tensor of shape \(2,\)"):
            generator.sample(3, rng(), torch.ones(2))
        with pytest.raises(ValueError, match="3 samples need as many rows of conditions, got 2"):
            generator.sample(3, rng(), torch.ones(2, 1))
        plain = CASES[case][0]().build(energy.given())
        assert plain.context == 0
        with pytest.raises(ValueError, match=f"{name} has no conditions and got a tensor"):
            plain.sample(3, rng(), torch.ones(1))

    def test_is_judged_under_the_usual_conditions(self, case):
        generator, energy = make(case)
        generator, n = generator.float(), energy.n_values
        samples = draw(generator, energy, 5, rng())
        assert energy.n_values == n + 5
        torch.testing.assert_close(samples.u, energy(samples.x))
        torch.testing.assert_close(samples.log_q, generator.sample(5, rng(), energy.default_context)[1])
        cold = draw(generator, energy, 5, rng(), torch.tensor([0.5]))
        torch.testing.assert_close(cold.u, energy.given([0.5])(cold.x))
        assert evaluate(generator, energy, 5, rng()).proposals.u.isfinite().all()
        if generator.has_log_prob:
            defect = density_defect(generator, energy, rng())
            assert defect is not None
            assert defect.agrees


@pytest.mark.parametrize("case", ["spline flow", "affine flow", "continuous flow"])
def test_the_density_integrates_to_one_under_every_condition(case):
    generator, _ = make(case)
    for kT in (0.5, 1.3, 4.0):
        reach = 1.5 * generator.sample(2000, rng(), torch.tensor([kT]))[0].detach().abs().max(0).values
        n = 300 if case != "continuous flow" else 80
        grid = reach * torch.cartesian_prod(*[2 * (torch.arange(n, dtype=torch.float64) + 0.5) / n - 1] * 2)
        with torch.no_grad():
            total = generator.log_prob(grid, torch.tensor([kT])).exp().mean() * (2 * reach).prod()
        assert total.item() == pytest.approx(1, abs=5e-3)


def test_weights_give_log_z_at_every_temperature():
    """Of a flow that has learned nothing, within 4 sigma."""
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(WELLS)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.1)
    for kT in (1.0, 2.0, 4.0):
        log_w = draw(flow, WELLS, 50_000, rng(), torch.tensor([kT])).log_w.double().detach()
        log_z = torch.logsumexp(log_w, 0) - math.log(len(log_w))
        w = (log_w - log_z).exp()
        error = w.std().item() / math.sqrt(len(w))
        assert error < 0.1
        assert abs(log_z.item() - WELLS.given([kT]).log_Z) < 4 * error


def test_a_field_that_does_not_follow_conditions_is_refused():
    class Deaf(MLPField):
        def build(self, energy):
            super().build(energy.given())
            return self

    with pytest.raises(ValueError, match=r"Tempered has 1 conditions \(kT from 0.5 to 4\) and Deaf takes 0"):
        ContinuousFlow(Deaf((8,))).build(WELLS)


def test_a_generator_without_conditions_is_refused_by_training():
    from lit_bg.losses import ReverseKL
    from lit_bg.module import BoltzmannGenerator

    class Blind(Generator):
        def build(self, energy: Energy):
            self.w = torch.nn.Parameter(torch.zeros(()))
            return self

        def sample(self, n, rng, context=None):
            raise NotImplementedError

    with pytest.raises(ValueError, match=r"Tempered has conditions \(kT from 0.5 to 4\) and Blind does not follow them"):
        BoltzmannGenerator(WELLS, Blind(), ReverseKL(), torch.optim.Adam)


@pytest.mark.filterwarnings("error:torch.compile of")
@pytest.mark.slow
def test_compiled_is_eager():
    torch.manual_seed(0)
    eager = CouplingFlow(blocks=1, hidden=(8,), bins=3).build(WELLS).double()
    for p in eager.parameters():
        torch.nn.init.normal_(p, std=0.5)
    compiled = CouplingFlow(blocks=1, hidden=(8,), bins=3, compile=True).build(WELLS).double()
    compiled.load_state_dict(eager.state_dict())
    context, results = rows(WELLS, 64), []
    for flow in (eager, compiled):
        x, log_q = flow.sample(64, rng(), context)
        again = flow.log_prob(x.detach(), context)
        (x.square().sum() + log_q.sum() + again.sum()).backward()
        results.append([x, log_q, again, flow.log_prob(x, torch.tensor([0.7])), *(p.grad for p in flow.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
