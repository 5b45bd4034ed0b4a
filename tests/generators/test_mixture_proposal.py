"""Several generators as one proposal: the laws of one generator, the balance heuristic, and honest error bars."""

import math

import pytest
import torch

from lit_bg.bases import Normal
from lit_bg.diagnostics.density import density_defect
from lit_bg.energies import DoubleWell, Energy, Gaussian, Tempered
from lit_bg.estimators import ess, expectation, log_z
from lit_bg.generators import ContinuousFlow, CouplingFlow, Generator, MixtureProposal, ReverseDiffusion
from lit_bg.nets import MLPField
from lit_bg.report.assess import assess
from lit_bg.samples import draw
from lit_bg.solvers import RungeKutta4
from lit_bg.spaces import Vectors


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Line(Energy):
    space = Vectors(1)

    def potential(self, x):
        return 0.5 * (x**2).sum(-1)

    log_Z = 0.5 * math.log(2 * math.pi)


def gaussian(t, log_scale=0.0, energy=None):
    """q = N(t, exp(2 log_scale)) exactly."""
    flow = CouplingFlow(blocks=1, transform="affine").build(energy or Line()).double()
    raw = 3 * math.atanh(log_scale / 3)
    flow.stack.transforms[0].params.data = torch.tensor([t, raw], dtype=torch.float64).reshape(2, 1, 1)
    return flow


def mixture(shares=(0.7, 0.3)):
    return MixtureProposal.of([gaussian(-1.0, -0.4), gaussian(2.0, 0.3)], list(shares))


def test_the_density_is_the_balance_heuristic():
    x, log_q = mixture().sample(1000, rng())
    q = sum(
        s * torch.distributions.Normal(t, math.exp(r)).log_prob(x[:, 0]).exp() for s, t, r in ((0.7, -1, -0.4), (0.3, 2, 0.3))
    )
    torch.testing.assert_close(log_q, q.log(), rtol=0, atol=1e-6)
    torch.testing.assert_close(mixture().log_prob(x), log_q, rtol=0, atol=1e-9)
    grid = torch.linspace(-15, 15, 4001, dtype=torch.float64)
    total = torch.trapezoid(mixture().log_prob(grid[:, None]).exp(), grid)
    assert total.item() == pytest.approx(1, abs=1e-6)


def test_counts_are_fixed_but_for_rounding_and_rows_are_in_random_order():
    far = MixtureProposal.of([gaussian(-50.0), gaussian(50.0)], [0.7, 0.3])
    positions, counts = torch.zeros(7, dtype=torch.float64), []
    for seed in range(600):
        right = far.sample(7, rng(seed))[0][:, 0] > 0
        positions += right
        counts.append(int(right.sum()))
    assert set(counts) == {2, 3}  # 2.1 on average
    assert sum(counts) / 600 == pytest.approx(2.1, abs=4.5 * math.sqrt(0.1 * 0.9 / 600))
    assert ((positions / 600 - 0.3).abs() < 4.5 * math.sqrt(0.3 * 0.7 / 600)).all()
    assert int((far.sample(1000, rng())[0] > 0).sum()) == 300


def test_generators_are_asked_for_the_same_numbers_every_time():
    """A flow is compiled for every number of samples."""
    asked = set()

    class Noting(CouplingFlow):
        def sample(self, n, rng, context=None):
            asked.add(("sample", n))
            return super().sample(n, rng, context)

        def log_prob(self, x, context=None):
            asked.add(("log_prob", len(x)))
            return super().log_prob(x, context)

    q = MixtureProposal.of([Noting(1, hidden=(4,)).build(DoubleWell()), gaussian_in_two()], [2, 1])
    counts = {int((q.sample(10, rng(seed))[0][:, 0] > 50).sum()) for seed in range(50)}
    assert counts == {3, 4}
    assert asked == {("sample", 7), ("log_prob", 10)}


def gaussian_in_two():
    """Far to the right."""
    flow = CouplingFlow(1, hidden=(4,)).build(DoubleWell())
    flow.adapt(torch.tensor([100.0, 0.0]) + torch.randn(100, 2, generator=rng()))
    return flow


def test_trained_generators_are_left_as_they_are():
    class Bare(Generator):
        """It keeps no shape, as a user's own may."""

        def build(self, energy):
            self.t = torch.nn.Parameter(torch.zeros(()))
            return self

        def sample(self, n, rng, context=None):
            x = self.t + torch.randn(n, 1, generator=rng)
            return x, self.log_prob(x)

        def log_prob(self, x, context=None):
            return torch.distributions.Normal(self.t, 1.0).log_prob(x[:, 0])

    trained = Bare().build(Line())
    trained.t.data.fill_(3.0)
    joined = MixtureProposal.of([trained, Bare().build(Line())])
    assert (joined.sample(1000, rng())[0] > 1.5).double().mean().item() == pytest.approx(0.5, abs=0.1)
    with pytest.raises(RuntimeError, match="joins generators that are trained: building them again would undo that"):
        joined.build(Line())
    assert trained.t == 3.0
    together = MixtureProposal([Bare(), Bare()]).build(Line())
    assert len(list(together.parameters())) == 2


def test_one_generator_is_itself_and_equal_shares_are_the_default():
    one = MixtureProposal.of([gaussian(0.5)])
    x, log_q = one.sample(20, rng())
    torch.testing.assert_close(log_q, gaussian(0.5).log_prob(x))
    assert MixtureProposal([gaussian(0.0), gaussian(1.0)]).shares == [0.5, 0.5]
    assert MixtureProposal([gaussian(0.0), gaussian(1.0)], [3, 1]).shares == [0.75, 0.25]


def test_a_generator_of_each_mode_is_enough_and_error_bars_cover():
    """Two Gaussians, each blind to the other well: log Z and P(left) over 200 repeats, one and two errors wide."""
    energy = DoubleWell()

    def well(at, s):
        """A normal in one well."""
        flow = CouplingFlow(blocks=1, hidden=(4,), transform="affine").build(energy)
        flow.adapt(torch.tensor([[at, 0.0]]) + torch.tensor([[s, 1.0]]) * torch.randn(4000, 2, generator=rng(1)))
        return flow

    both = MixtureProposal.of([well(-1.78, 0.3), well(1.67, 0.3)], [0.6, 0.4])
    n, repeats = 1000, 200
    with torch.no_grad():
        drawn = [draw(both, energy, n, rng(seed)) for seed in range(repeats)]
    covered = {"log Z": [], "P": []}
    for s in drawn:
        value, error = log_z(s.log_w)
        covered["log Z"].append(abs(value - energy.log_Z) / error)
        value, error = expectation((s.x[:, 0] < 0).double(), s.log_w)
        covered["P"].append(abs(value - energy.p_left) / error)
    for name, pulls in covered.items():
        pulls = torch.tensor(pulls)
        # shares of 200 repeats have standard errors of 3.3 % and 1.5 %; conservative, so only too narrow is wrong
        assert (pulls < 1).double().mean() > 0.68 - 3 * 0.033, name
        assert (pulls < 2).double().mean() > 0.954 - 3 * 0.015, name
    weights = torch.cat([s.log_w for s in drawn])
    value, error = log_z(weights)
    assert abs(value - energy.log_Z) < 4 * error
    assert error < 0.015
    with torch.no_grad():
        alone = draw(both.generators[0], energy, 20_000, rng(7))
    assert log_z(alone.log_w)[0] < energy.log_Z - 0.02  # the left normal alone has lost the right well


def test_fixed_counts_scatter_less_than_their_error_bars_say():
    """Weights of one generator all near 2 Z and of the other near 0: what scatters is the choice, and it is not random here."""
    q = MixtureProposal.of([gaussian(0.0), gaussian(6.0)], [0.5, 0.5])
    with torch.no_grad():
        w = torch.stack([(-Line()(x) - log_q).exp() for x, log_q in (q.sample(200, rng(seed)) for seed in range(300))])
    own = (w.var(1) / 200).mean()
    assert w.mean(1).var() < 0.05 * own
    assert abs(w.mean().item() - math.exp(Line.log_Z)) < 4 * w.mean(1).std().item() / math.sqrt(300)


def test_a_defensive_share_bounds_weights():
    wide, narrow = gaussian(0.0, 0.5), gaussian(0.0, -1.0)  # weights of the narrow one have no variance
    mixed = MixtureProposal.of([narrow, wide], [0.9, 0.1])
    x, log_q = mixed.sample(20_000, rng())
    log_w = -Line()(x) - log_q
    bound = math.log(10) + (-Line()(x) - wide.log_prob(x))
    assert (log_w <= bound + 1e-9).all()
    value, error = log_z(log_w)
    assert math.isfinite(error)
    assert abs(value - Line.log_Z) < 4 * error
    x, log_q = narrow.sample(20_000, rng())
    assert ess(-Line()(x) - log_q) < 0.5 * ess(log_w)


TEMPERED = Tempered(DoubleWell(), 0.5, 4.0)


def conditional():
    torch.manual_seed(0)
    flow = CouplingFlow(blocks=2, hidden=(12,), bins=5).build(TEMPERED).double()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return flow


def test_one_conditional_generator_at_several_temperatures():
    flow = conditional()
    kTs = [torch.tensor([kT], dtype=torch.float64) for kT in (0.7, 3.0)]
    ladder = MixtureProposal.of([flow, flow], contexts=kTs)
    assert ladder.context == 0
    x, log_q = ladder.sample(60, rng())
    expected = torch.logsumexp(torch.stack([flow.log_prob(x, kT) for kT in kTs]), 0) - math.log(2)
    torch.testing.assert_close(log_q, expected, rtol=0, atol=1e-8)
    torch.testing.assert_close(ladder.log_prob(x), log_q, rtol=0, atol=1e-8)
    with pytest.raises(ValueError, match="MixtureProposal has no conditions"):
        ladder.sample(3, rng(), kTs[0])
    assert density_defect(ladder, TEMPERED, rng()).agrees


def test_generators_that_follow_the_conditions_asked_for():
    flow, hot = conditional(), torch.tensor([4.0], dtype=torch.float64)
    both = MixtureProposal.of([flow, flow], [0.8, 0.2], [None, hot])
    assert both.context == 1
    each = torch.linspace(0.5, 4.0, 50, dtype=torch.float64)[:, None]
    for context in (each, each[10]):
        x, log_q = both.sample(50, rng(), context)
        expected = torch.logaddexp(flow.log_prob(x, context) + math.log(0.8), flow.log_prob(x, hot) + math.log(0.2))
        torch.testing.assert_close(log_q, expected, rtol=0, atol=1e-8)
        torch.testing.assert_close(both.log_prob(x, context), log_q, rtol=0, atol=1e-8)
    with pytest.raises(ValueError, match="needs conditions"):
        both.sample(3, rng())


class Blind(Generator):
    def build(self, energy):
        self.event_shape = energy.space.shape
        return self

    def sample(self, n, rng, context=None):
        return torch.zeros(n, *self.event_shape), torch.zeros(n)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MixtureProposal([]), "got 0 generators"),
        (lambda: MixtureProposal([gaussian(0.0)], [1.0, 2.0]), "got 1 generators and 2 shares"),
        (lambda: MixtureProposal([gaussian(0.0), gaussian(1.0)], [1.0, 0.0]), "must be positive"),
        (lambda: MixtureProposal([gaussian(0.0), Blind()]), "Blind has no log_prob: leave it out"),
        (lambda: MixtureProposal([ReverseDiffusion(MLPField((4,)), steps=2)]), "ReverseDiffusion has no log_prob"),
        (lambda: MixtureProposal.of([gaussian(0.0), CouplingFlow(1).build(DoubleWell())]), "different shapes"),
        (
            lambda: MixtureProposal.of([gaussian(0.0)], contexts=[None, None]),
            "1 generators need as many conditions or None, got 2",
        ),
        (
            lambda: MixtureProposal.of([conditional(), CouplingFlow(1).build(Tempered(DoubleWell(), 0.5, 2.0))]),
            "follow different conditions",
        ),
    ],
)
def test_what_cannot_be_mixed_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_log_q_is_known_to_be_right_where_it_is_of_every_generator():
    wells = DoubleWell()
    good = CouplingFlow(1, hidden=(4,)).build(wells)
    mixed = MixtureProposal.of([good, ContinuousFlow(MLPField((4,)), solver=RungeKutta4(10)).build(wells)])
    assert density_defect(mixed, wells, rng()).agrees
    mixed.sample(4, rng())
    assert mixed.evaluations == mixed.generators[1].evaluations > 0

    class Wrong(CouplingFlow):
        def sample(self, n, rng, context=None):
            x, log_q = super().sample(n, rng, context)
            return x, log_q + 0.5

        def log_prob(self, x, context=None):
            return super().log_prob(x, context) + 0.5

    assert not density_defect(MixtureProposal.of([good, Wrong(1).build(wells)]), wells, rng()).agrees

    class Unknown(Generator):
        def build(self, energy):
            self.event_shape, self.base = energy.space.shape, Normal().build(energy)
            return self

        def sample(self, n, rng, context=None):
            return self.base.sample(n, rng)

        def log_prob(self, x, context=None):
            return self.base.log_prob(x)

    assert density_defect(MixtureProposal.of([good, Unknown().build(wells)]), wells, rng()) is None


def test_a_mixture_is_judged_like_any_generator():
    energy = Gaussian(2)
    flows = [CouplingFlow(1, hidden=(4,)).build(energy) for _ in range(2)]
    found = assess(MixtureProposal.of(flows, [0.5, 0.5]), energy, 2000, rng())
    assert found.verdict.word == "trust"
    assert found.findings.weights.ess > 0.5
