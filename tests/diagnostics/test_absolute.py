"""The free energy of one target: errors that cover it whatever the frames' correlation, and what a lost region does."""

import math

import pytest
import torch

from lit_bg.diagnostics.absolute import FreeEnergy, Parts, estimate_absolute
from lit_bg.diagnostics.states import Drawn, estimate_states
from lit_bg.report.free_energies import judge_run, judge_states

SCALE, SHIFT = 0.8, 0.3
EXACT = -math.log(SCALE * math.sqrt(2 * math.pi))


def log_q(x):
    return -0.5 * x**2 - 0.5 * math.log(2 * math.pi)


def u(x):
    return 0.5 * ((x - SHIFT) / SCALE) ** 2


def works(seed, n=400, frames=120, walkers=5, rho=0.8):
    """Proposals of a standard normal density, and frames of walkers that remember where they were."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(n, generator=rng, dtype=torch.float64)
    y = torch.randn(frames, walkers, generator=rng, dtype=torch.float64)
    for t in range(1, frames):
        y[t] = rho * y[t - 1] + math.sqrt(1 - rho**2) * y[t]
    y = SHIFT + SCALE * y
    return u(z) + log_q(z), -u(y) - log_q(y)


def z_scores(repeats):
    rows = []
    for seed in range(repeats):
        e = estimate_absolute(*works(seed), 4, torch.Generator().manual_seed(seed)).bar
        rows.append([(e.value - EXACT) / error for error in (e.analytic, e.bootstrap, e.error)])
    return torch.tensor(rows)


def check(z):
    """One sigma holds 68 %, two 95 %; the largest of the errors holds more. Within 3 sigma of so many repeats."""
    slack = 3 / math.sqrt(len(z))
    one, two = (z.abs() < 1).double().mean(0), (z.abs() < 2).double().mean(0)
    assert (one > 0.683 - 0.465 * slack).all()
    assert (two > 0.954 - 0.209 * slack).all()
    assert (one[:2] < 0.75 + 0.465 * slack).all()  # nor are they far too large
    assert (z.mean(0).abs() < 0.1 + slack).all()


@pytest.mark.slow
def test_errors_cover():
    check(z_scores(300))


@pytest.mark.slow
def test_coverage_can_fail():
    """Frames that are taken for independent, though six of them say what one does."""
    rng = torch.Generator().manual_seed(0)
    rows = []
    for seed in range(60):
        forward, reverse = works(seed, n=5000, frames=60, rho=0.97)
        e = estimate_absolute(forward, reverse.flatten()[None], 2, rng).bar
        rows.append([(e.value - EXACT) / e.analytic] * 3)
    with pytest.raises(AssertionError):
        check(torch.tensor(rows))


def test_frames_are_thinned_by_their_correlation():
    forward, reverse = works(0, frames=2000)
    a = estimate_absolute(forward, reverse, 4, torch.Generator().manual_seed(0))
    assert 5 < a.inefficiency < 10.5  # of x itself it is 9
    assert a.independent == 5 * len(a.kept)
    assert len(a.kept) == pytest.approx(2000 / a.inefficiency, abs=1)
    assert (a.frames, a.proposals, a.unreached) == (10_000, 400, 0)


def test_bar_mends_a_region_that_proposals_miss_and_the_verdict_says_so():
    """The generator is the target without its upper tenth: LFEP is off by ln 0.9, BAR is not."""
    rng = torch.Generator().manual_seed(0)
    n, frames = 5000, 4000
    forward = torch.full((n,), -math.log(0.9), dtype=torch.float64)  # -log w with Z = 1 and q = p / 0.9
    missed = torch.rand(frames, generator=rng) < 0.1
    reverse = torch.where(missed, math.inf, math.log(0.9)).double()
    a = estimate_absolute(forward, reverse[None], 8, rng)
    assert a.lfep.value == pytest.approx(-math.log(0.9))
    assert abs(a.bar.value) < 4 * a.bar.error
    assert a.bar.error < 0.01
    verdict = judge_run(a, "CouplingFlow", True, None, ())
    assert verdict.word == "do not trust"
    assert any("the generator misses a region that the frames hold" in s for s in verdict.sentences)


def test_no_overlap_leaves_lfep_and_a_reason():
    forward = torch.full((100,), math.inf, dtype=torch.float64)
    forward[:50] = 3.0
    a = estimate_absolute(forward, torch.full((40, 2), math.inf, dtype=torch.float64), 4, torch.Generator().manual_seed(0))
    assert a.bar is None
    assert a.best is a.lfep
    assert a.unreached == 50
    verdict = judge_run(a, "CouplingFlow", True, None, ())
    assert verdict.word == "do not trust"
    assert any(s.startswith("BAR has no answer: none of 80 reverse works is finite") for s in verdict.sentences)


def test_words_without_frames():
    """What nothing contradicts is unchecked; an exact value decides."""
    forward, _ = works(0)
    a = estimate_absolute(forward, None, 4, torch.Generator().manual_seed(0))
    assert a.best is a.lfep
    for exact, word in ((None, "unchecked"), (EXACT, "trust"), (EXACT + 1, "do not trust")):
        assert judge_run(a, "CouplingFlow", True, "there are no data", (), exact).word == word
    assert judge_run(a, "ContinuousFlow", False, "there are no data", ()).word == "do not trust"


def test_words_of_exchange():
    m = estimate_states(["a", "b"], ladder([0.0, 1.0]), torch.Generator().manual_seed(1))
    assert judge_states(m, ordered=True, round_trips=0).word == "unchecked"
    assert judge_states(m, ordered=True, round_trips=3).word == "trust"


def test_few_frames_have_no_parts():
    forward, reverse = works(1, frames=7, walkers=1)
    a = estimate_absolute(forward, reverse, 8, torch.Generator().manual_seed(0))
    assert a.bar.parts is None
    assert a.lfep.parts.n == 8


def test_differences_add_errors_in_squares():
    a = FreeEnergy(3.0, 0.3, 0.6, Parts(4, 3.1, 0.2))
    b = FreeEnergy(1.0, 0.4, 0.8, Parts(4, 1.2, 0.4))
    d = a.minus(b)
    assert (d.value, d.analytic, d.bootstrap) == pytest.approx((2.0, 0.5, 1.0))
    assert d.parts.error == pytest.approx(math.hypot(0.2, 0.4) / 2)
    assert d.error == d.bootstrap
    assert a.minus(b._replace(parts=None)).parts is None


def ladder(centres, n=400, seed=0):
    rng = torch.Generator().manual_seed(seed)
    c = torch.tensor(centres, dtype=torch.float64)
    x = torch.cat([k + torch.randn(n, generator=rng, dtype=torch.float64) for k in c])
    state = torch.arange(len(c)).repeat_interleave(n)
    order = torch.randperm(len(x), generator=rng)
    return [Drawn((0.5 * (x[:, None] - c) ** 2 + c)[order], state[order])]  # f_k = c_k


def test_states_and_their_bootstrap():
    m = estimate_states(["a", "b", "c"], ladder([0.0, 1.0, 2.0]), torch.Generator().manual_seed(1))
    for k, exact in enumerate((0.0, 1.0, 2.0)):
        value, analytic, spread = m.difference(k)
        assert abs(value - exact) <= 4 * analytic
        if k:
            assert spread == pytest.approx(analytic, rel=0.4)
    value, analytic, _ = m.difference(2, to=1)
    assert abs(value - 1) < 4 * analytic
    assert m.convergence.forward[-1].tolist() == pytest.approx([m.difference(2)[0], m.difference(2)[1]])
    assert (m.u.argmin(0) >= 0).all()
    assert m.counts.tolist() == [400] * 3
    assert judge_states(m, ordered=True).word == "trust"


def test_states_that_hardly_overlap_are_said():
    m = estimate_states(["a", "b", "c"], ladder([0.0, 1.0, 6.0]), torch.Generator().manual_seed(1))
    verdict = judge_states(m, ordered=True)
    assert verdict.word == "do not trust"
    assert verdict.sentences[0].startswith("Too little overlap between b and c")
    reordered = estimate_states(["a", "c", "b"], ladder([0.0, 3.0, 1.5]), torch.Generator().manual_seed(1))
    assert judge_states(reordered, ordered=False).word == "trust"  # a joins c by way of b
