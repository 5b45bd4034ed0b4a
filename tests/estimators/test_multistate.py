import math

import numpy as np
import pytest
import torch

from lit_bg.estimators import ladder_populations, mbar, mbar_covariance, mbar_log_weights

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


def in_all_states(u):
    """u_kn, (K, T, W, R), of energies in kT of the first temperature."""
    return BETA.reshape(-1, 1, 1, 1) * u


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
        p, covariance = ladder_populations(in_all_states(u), label, 2)
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
    p, covariance = ladder_populations(in_all_states(u), label, 2)
    assert abs(p[1].item() - log_z(BETA).softmax(0)[1, 0].item()) < 4 * covariance[1, 1].sqrt().item()


def test_states_need_not_be_temperatures():
    """Harmonic springs of four strengths at one temperature: the same reduced energies, and constants of states cancel."""
    u, label = wells(200, 8, seed=4)
    u_kn = in_all_states(u)
    p, covariance = ladder_populations(u_kn, label, 2)
    shift = torch.tensor([3.0, -50.0, 1e4, 7.0], dtype=torch.float64).reshape(-1, 1, 1, 1)
    other, same = ladder_populations(u_kn + shift, label, 2)
    torch.testing.assert_close(other, p, rtol=0, atol=1e-8)
    torch.testing.assert_close(same, covariance, rtol=1e-5, atol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match=r"energies \(K, T, W, K\) and labels"):
        ladder_populations(torch.zeros(3, 2, 4), torch.zeros(3, 2, 4), 2)
    with pytest.raises(ValueError, match="do not overlap"):
        mbar(torch.tensor([[0.0, 0.0, 900.0, 900.0], [900.0, 900.0, 0.0, 0.0]]), torch.tensor([2, 2]))
    with pytest.raises(ValueError, match="add up to N"):
        mbar(torch.zeros(2, 3), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="not finite"):
        mbar(torch.tensor([[0.0, math.nan], [0.0, 1.0]]), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="too few for an error bar"):
        ladder_populations(torch.zeros(4, 3, 2, 4), torch.zeros(3, 2, 4), 2)


@pytest.fixture(scope="module")
def pymbar():
    import logging

    logging.disable(logging.WARNING)
    yield pytest.importorskip("pymbar")
    logging.disable(logging.NOTSET)


def gamma_ladder(rungs, n=500, dim=60, seed=0):
    """Energies of a harmonic system of `dim` dimensions on a ladder that exchanges every fourth time."""
    rng = np.random.default_rng(seed)
    kT = 8.0 * 1.322 ** np.arange(rungs)
    U = rng.gamma(dim / 2, size=(rungs, n)) * kT[:, None]
    return torch.from_numpy(U.flatten()[None] / kT[:, None]), torch.full((rungs,), float(n)), -dim / 2 * np.log(kT / kT[0])


@pytest.mark.parametrize("rungs", [2, 4, 8, 15])
def test_mbar_solves_ordinary_ladders_from_nothing(rungs, pymbar):
    u, counts, exact = gamma_ladder(rungs)
    f = mbar(u, counts)
    theirs = pymbar.MBAR(u.numpy(), counts.numpy(), solver_protocol="robust")
    assert np.abs(f.numpy() - (theirs.f_k - theirs.f_k[0])).max() < 1e-8
    sigma = mbar_covariance(u, counts, f).diagonal().sqrt().numpy()
    assert (np.abs(f.numpy() - exact)[1:] < 4 * sigma[1:]).all()
    expected = theirs.compute_free_energy_differences()["dDelta_f"][0]
    np.testing.assert_allclose(sigma[1:], expected[1:], rtol=1e-4)


def test_states_without_samples_follow_from_the_others(pymbar):
    u, _, _ = gamma_ladder(4)
    keep = torch.ones(u.shape[1], dtype=torch.bool)
    keep[500:1000] = False  # those of the second state
    part, n = u[:, keep], torch.tensor([500.0, 0.0, 500.0, 500.0])
    f = mbar(part, n)
    theirs = pymbar.MBAR(part.numpy(), n.numpy(), solver_protocol="robust").f_k
    assert np.abs(f.numpy() - (theirs - theirs[0])).max() < 1e-8


def test_constants_and_orders_do_not_matter():
    u, counts, _ = gamma_ladder(5)
    f = mbar(u, counts)
    shift = torch.tensor([0.0, 1e6, -3e5, 20.0, 1e4])
    torch.testing.assert_close(mbar(u + shift[:, None], counts), f + shift, rtol=0, atol=1e-6)
    order = torch.randperm(u.shape[1], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mbar(u[:, order], counts), f, rtol=0, atol=1e-9)
    torch.testing.assert_close(mbar(u.flip(0), counts).flip(0), f - f[-1], rtol=0, atol=1e-8)


def test_groups_of_states_that_share_nothing_are_named():
    x = torch.cat([torch.randn(200), torch.randn(200) + 1, torch.randn(200) + 1000])
    u = 0.5 * (x - torch.tensor([0.0, 1.0, 1000.0])[:, None]) ** 2
    with pytest.raises(ValueError, match=r"states \[2\] and of the others"):
        mbar(u, torch.full((3,), 200.0))
