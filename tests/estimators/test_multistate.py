import math

import pytest
import torch

from lit_bg.estimators import ladder_populations, mbar, mbar_log_weights

# Two harmonic wells in D dimensions, well b GAP above well a and softer: everything is known at every temperature.
D, GAP, SOFTER = 10, 7.0, 1.2
BETA = torch.tensor([1.0, 0.75, 0.55, 0.4], dtype=torch.float64)


def log_z(beta):
    a = -0.5 * D * beta.log()
    return torch.stack([a, a + D * math.log(SOFTER) - beta * GAP])  # (2, R), without (2 pi)^(D/2)


def wells(frames, ladders, seed):
    """Energies and labels (T, W, R), independent."""
    rng = torch.Generator().manual_seed(seed)
    shape = (frames, ladders, len(BETA))
    label = (torch.rand(shape, generator=rng, dtype=torch.float64) < log_z(BETA).softmax(0)[1]).long()
    harmonic = 0.5 * torch.randn(*shape, D, generator=rng, dtype=torch.float64).square().sum(-1) / BETA
    return harmonic + GAP * label, label


def test_free_energies_are_exact():
    u, _ = wells(2000, 8, seed=0)
    counts = torch.full((4,), 16000)
    f = mbar(BETA[:, None] * u.flatten(), counts)
    exact = -log_z(BETA).logsumexp(0)
    error = 4 / math.sqrt(16000)  # neighbours overlap well: about one part in sqrt(N) for each of three steps
    assert torch.allclose(f, exact - exact[0], atol=error)


def test_equations_of_mbar_hold():
    u, _ = wells(300, 4, seed=1)
    flat = BETA[:, None] * u.flatten()
    counts = torch.full((4,), 1200)
    f = mbar(flat, counts)
    for k in range(4):  # every state's own weights add up to its partition function
        assert mbar_log_weights(flat, flat[k], counts, f).logsumexp(0).item() == pytest.approx(-f[k].item(), abs=1e-7)


def test_two_states_are_bennetts_acceptance_ratio():
    from scipy.optimize import brentq

    u, _ = wells(500, 4, seed=2)
    e, b = u[..., :2], BETA[1].item()
    f = mbar(BETA[:2, None] * e.flatten(), torch.tensor([2000, 2000]))[1].item()
    forward, backward = (b - 1) * e[..., 0].flatten(), (1 - b) * e[..., 1].flatten()
    bar = brentq(lambda d: (torch.sigmoid(d - forward).sum() - torch.sigmoid(-d - backward).sum()).item(), -50, 50)
    assert f == pytest.approx(bar, abs=1e-6)


def test_errors_of_populations_cover_the_truth():
    exact = log_z(BETA).softmax(0)[1, 0].item()
    z, gain = [], []
    for seed in range(40):
        u, label = wells(75, 16, seed)
        p, covariance = ladder_populations(u, BETA, label, 2)
        assert p.sum().item() == pytest.approx(1)
        error = covariance[1, 1].sqrt().item()
        z.append((p[1].item() - exact) / error)
        gain.append(exact * (1 - exact) / 1200 / error**2)
    z = torch.tensor(z)
    assert abs(z.mean().item()) < 3 * 1.15 / math.sqrt(40)
    assert 0.7 < z.std().item() < 1.3  # 40 values: 2.7 sigma
    assert sorted(gain)[20] > 2  # better than the frames of the lowest temperature alone


def test_few_ladders_are_cut_in_time():
    u, label = wells(400, 2, seed=3)
    p, covariance = ladder_populations(u, BETA, label, 2)
    assert abs(p[1].item() - log_z(BETA).softmax(0)[1, 0].item()) < 4 * covariance[1, 1].sqrt().item()


def test_refusals():
    with pytest.raises(ValueError, match="do not overlap"):
        mbar(torch.tensor([[0.0, 0.0, 900.0, 900.0], [900.0, 900.0, 0.0, 0.0]]), torch.tensor([2, 2]))
    with pytest.raises(ValueError, match="add up to N"):
        mbar(torch.zeros(2, 3), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="not finite"):
        mbar(torch.tensor([[0.0, math.nan], [0.0, 1.0]]), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="too few for an error bar"):
        ladder_populations(torch.zeros(3, 2, 4), BETA, torch.zeros(3, 2, 4), 2)
