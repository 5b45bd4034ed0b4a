"""Replica exchange: swaps in detailed balance between states of any kind, and round trips counted."""

import math

import pytest
import torch
from springs import rng

from lit_bg.energies import Gaussian
from lit_bg.energies.base import Energy
from lit_bg.kernels import Exchange, Info, Kernel, Langevin, State
from lit_bg.kernels.replicas import Replicas, group


class Still(Kernel):
    """Moves nothing, so that only swaps do."""

    def init(self, energy, x, rng):
        with torch.no_grad():
            return State(x, energy(x), velocity=energy.kT.sqrt()[:, None] * torch.randn(x.shape, generator=rng, dtype=x.dtype))

    def step(self, energy, state, rng):
        return state, Info(torch.ones_like(state.u))


def ladders(energy, temperatures, x=None, walkers=40_000):
    """A kernel that swaps alone, and its state with exact samples at every temperature."""
    kernel = Exchange(Still(), [energy.at(kT) for kT in temperatures[1:]])
    if x is None:
        x = torch.cat([energy.at(kT).exact_samples(walkers, rng(i)).double() for i, kT in enumerate(temperatures)])
    return kernel, kernel.init(energy, x, rng(50))


class TestTemperatures:
    def test_every_temperature_keeps_its_distribution(self):
        """Twenty turns of swaps alone: mean and variance of u at every rung of a Gaussian stay, within 4 sigma."""
        energy, temperatures, n, d = Gaussian(6), [1.0, 1.6, 2.4, 4.0], 40_000, 6
        kernel, state = ladders(energy, temperatures)
        start = state.rows.x
        for turn in range(20):
            state, _ = kernel.step(energy, state, rng(100 + turn))
        u, v = state.rows.u.reshape(4, n), state.rows.velocity.reshape(4, n, d)
        for r, kT in enumerate(temperatures):
            assert abs(u[r].mean() - d / 2) < 4 * math.sqrt(d / 2 / n)
            excess = math.sqrt((2 + 12 / d) / n)  # of the variance of a gamma distribution
            assert u[r].var().item() == pytest.approx(d / 2, rel=4 * excess)
            torch.testing.assert_close(energy.at(kT)(state.rows.x.reshape(4, n, d)[r]), u[r])
        assert v.flatten(1).var(1).tolist() == pytest.approx(temperatures, rel=4 * math.sqrt(2 / n / d))
        assert (state.rows.x != start).any(1).double().mean() > 0.5

    def test_two_levels_at_two_temperatures_stay_in_the_joint_distribution(self):
        """States 0 and e with their Boltzmann weights at each rung: all four pairs keep their probability (chi-square)."""

        class TwoLevels(Gaussian):
            def potential(self, x):
                return 2.0 * (x[:, 0] > 0)

        energy, n, temperatures = TwoLevels(1), 200_000, [1.0, 3.0]
        up = [1 / (1 + math.exp(2.0 / kT)) for kT in temperatures]
        draw = torch.rand(2, n, generator=rng(1)) < torch.tensor(up)[:, None]
        x = (2.0 * draw - 1).reshape(-1, 1)
        kernel, state = ladders(energy, temperatures, x)
        for turn in range(3):
            state, info = kernel.step(energy, state, rng(2 + turn))
        low, high = (state.rows.x.reshape(2, n) > 0).long()
        counts = torch.bincount(2 * low + high, minlength=4).double()
        p = torch.tensor([[1 - up[0]], [up[0]]]) * torch.tensor([[1 - up[1], up[1]]])
        expected = n * p.flatten().double()
        assert ((counts - expected) ** 2 / expected).sum() < 16.3  # 0.1 % of chi-square with 3 degrees of freedom
        assert info.measured["exchanges"].item() / n > 0.2

    def test_the_rate_is_the_formula(self):
        """Ladders that all hold the same two energies swap with min(1, exp((b_1 - b_2)(U_1 - U_2)))."""
        energy, n = Gaussian(1), 100_000
        for high, expected in ((1.5, 1.0), (2.5, math.exp((1 - 1 / 3) * (2.0 - 2.5**2 / 2)))):
            x = torch.tensor([2.0, high], dtype=torch.float64).repeat_interleave(n)[:, None]
            kernel, state = ladders(energy, [1.0, 3.0], x)
            measured = kernel.step(energy, state, rng())[1].measured
            rate = (measured["exchanges"] / measured["attempts"]).item()
            assert rate == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / n) + 1e-9)

    def test_even_and_odd_pairs_take_turns(self):
        kernel, state = ladders(Gaussian(1), [1.0, 1.1, 1.2, 1.3], walkers=10)
        state, info = kernel.step(Gaussian(1), state, rng())
        assert info.measured["attempts"].tolist() == [10, 0, 10]
        assert kernel.step(Gaussian(1), state, rng())[1].measured["attempts"].tolist() == [0, 10, 0]

    def test_a_round_trip_is_bottom_top_bottom(self):
        """Rungs whose swaps are always accepted carry every replica up and down; counted by hand, replicas told by x."""
        energy = Gaussian(1)
        energy.potential = lambda x: 0 * x[:, 0]
        kernel, state = ladders(energy, [1.0, 2.0, 3.0], torch.arange(3.0)[:, None])
        trips, counted, seen = 0, 0, {k: [] for k in range(3)}
        for _ in range(30):
            state, info = kernel.step(energy, state, rng())
            counted += int(info.measured["trips"])
            rung = state.rows.x[:, 0].argsort().tolist()
            for k in range(3):
                if rung[k] in (0, 2) and (not seen[k] or seen[k][-1] != rung[k]):
                    seen[k].append(rung[k])
        for ends in seen.values():
            ends = ends[1:] if ends[0] == 2 else ends
            trips += (len(ends) - 1) // 2
        assert trips > 5
        assert counted == trips

    def test_one_evaluation_serves_all_temperatures(self):
        energy = Gaussian(2)
        kernel = Exchange(Langevin(0.1, 5), [energy.at(2.0), energy.at(3.0)])
        state = kernel.init(energy, energy.exact_samples(30, rng()), rng())
        before = energy.n_gradients
        kernel.step(energy, state, rng())
        assert (energy.n_values, energy.n_gradients) == (30 + 150, before + 150)


class TestViews:
    def test_views_are_told_from_other_systems(self):
        a, b = Gaussian(2), Gaussian(2)
        changed = a.at(3.0)
        changed.scale = 2.0
        assert group([a, a.at(2.0), b, a.at(3.0), b.at(2.0), changed]) == [0, 0, 1, 0, 1, 2]

    def test_rows_have_the_energies_of_their_states(self):
        """Of one system and of several, with gradients, and counted where they are evaluated."""
        a, b = Gaussian(2), Gaussian(2, scale=2.0, kT=0.5)
        for energies in ([a, a.at(2.0), a.at(3.0)], [a, b, b.at(2.0)], [b, a, b.at(3.0)]):
            stack, x = Replicas(energies, 4), torch.randn(12, 2, generator=rng(), dtype=torch.float64)
            calls = sum(energy.n_gradients for energy in (a, b))
            u, gradient = stack.value_and_gradient(x)
            assert sum(energy.n_gradients for energy in (a, b)) == calls + 12
            expected = [energy.value_and_gradient(part) for energy, part in zip(energies, x.split(4), strict=True)]
            torch.testing.assert_close(u, torch.cat([u for u, _ in expected]))
            torch.testing.assert_close(gradient, torch.cat([g for _, g in expected]))
            torch.testing.assert_close(stack(x), u)
            with pytest.raises(ValueError, match="3 states of 4 walkers have as many rows, got 5"):
                stack(x[:5])


class Wells(Energy):
    """Two levels that differ from state to state in how far apart they are."""

    def __init__(self, gap, kT=1.0):
        super().__init__(kT)
        from lit_bg.spaces import Vectors

        self.space, self.gap = Vectors(1), gap

    def potential(self, x):
        return self.gap * (x[:, 0] > 0).to(x)


@pytest.mark.parametrize(
    "states", [[Wells(2.0), Wells(0.5), Wells(-1.0)], [Wells(2.0), Wells(0.5, 2.0), Wells(0.5, 2.0).at(3.0)]]
)
def test_states_that_are_energies_stay_in_their_joint_distribution(states):
    """All eight patterns of three states keep their probability (chi-square), and u_kn is that of the frames."""
    n = 100_000
    up = [1 / (1 + math.exp(state.gap / state.kT)) for state in states]
    draw = torch.rand(3, n, generator=rng(1)) < torch.tensor(up)[:, None]
    kernel = Exchange(Still(), states[1:])
    state = kernel.init(states[0], (2.0 * draw - 1).reshape(-1, 1).double(), rng(2))
    for turn in range(4):
        state, _ = kernel.step(states[0], state, rng(3 + turn))
    rows = (state.rows.x.reshape(3, n) > 0).long()
    counts = torch.bincount(4 * rows[0] + 2 * rows[1] + rows[2], minlength=8).double()
    p = [torch.tensor([1 - q, q], dtype=torch.float64) for q in up]
    expected = n * (p[0][:, None, None] * p[1][:, None] * p[2]).flatten()
    assert ((counts - expected) ** 2 / expected).sum() < 24.3  # 0.1 % of chi-square with 7 degrees of freedom
    assert (rows != draw).double().mean() > 0.1
    seen = kernel.observe(states[0], state)["u_replicas"]
    u_kn = kernel.u_kn(states[0], seen)
    x = state.rows.x.reshape(3, n, 1)
    expected = torch.stack([torch.stack([k(x[r]) for r in range(3)], -1) for k in states])
    torch.testing.assert_close(u_kn, expected)
