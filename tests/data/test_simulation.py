"""From a simulator to files: other temperatures, interruptions, and what the card says of convergence."""

import json
import math
import signal

import numpy as np
import pytest
import torch

from lit_bg.data import Dataset, make_card
from lit_bg.data.simulation import simulate
from lit_bg.energies import DoubleWell, Gaussian
from lit_bg.samplers import Exact, Interrupted, Metropolis, ReplicaExchange, Trajectory


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Interrupting(DoubleWell):
    """Somebody presses Ctrl-C at the fortieth evaluation."""

    calls = 0

    def potential(self, x):
        self.calls += 1
        if self.calls == 40:
            signal.raise_signal(signal.SIGINT)
        return super().potential(x)


LADDERS = {
    "frames": 12, "walkers": 10, "interval": 0.5, "time_step": 0.1, "burn_in": 2.0, "pilot": 0.0,
    "max_temperature": 6.0, "also": [2.0],
}  # fmt: skip


class TestFiles:
    def test_other_temperatures_have_files_of_their_own(self, tmp_path, capsys):
        data = simulate(DoubleWell(), ReplicaExchange(**LADDERS), tmp_path / "x.npz", seed=0)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["x.npz", "x_kT2.npz"]
        warm = Dataset.load(tmp_path / "x_kT2.npz", DoubleWell(kT=2.0), force=True)
        assert (data.card["kT"], warm.card["kT"]) == (1.0, 2.0)
        torch.testing.assert_close(warm.u, DoubleWell(kT=2.0)(warm.x), atol=1e-4, rtol=1e-4)
        for card in (data.card, warm.card):
            assert len(card["info"]["exchange"]) == len(card["info"]["temperatures"]) - 1
            assert json.loads(json.dumps(card, allow_nan=False)) == card
        printed = capsys.readouterr().out
        for words in ("round trips", "exchange", "F(right) - F(left)", "120 frames in"):
            assert words in printed
        assert torch.equal(Dataset.load(tmp_path / "x.npz", DoubleWell(), force=True).x, data.x)

    def test_no_file_of_either_is_overwritten(self, tmp_path):
        (tmp_path / "x_kT2.npz").write_text("precious")
        with pytest.raises(FileExistsError, match=r"x_kT2.npz exists"):
            simulate(DoubleWell(), ReplicaExchange(**LADDERS), tmp_path / "x.npz", seed=0)
        assert [p.name for p in tmp_path.iterdir()] == ["x_kT2.npz"]

    def test_interrupted_data_are_those_of_an_uninterrupted_run(self, tmp_path):
        simulator = ReplicaExchange(**LADDERS)
        with pytest.raises(Interrupted, match=r"the same command goes on from the last state in .*a.npz.partial"):
            simulate(Interrupting(), simulator, tmp_path / "a.npz", seed=4)
        assert [p.name for p in tmp_path.iterdir()] == ["a.npz.partial"]
        energy = Interrupting()
        energy.calls = 40
        a = simulate(energy, simulator, tmp_path / "a.npz", seed=4)
        energy.calls = 40
        whole = simulate(energy, simulator, tmp_path / "b.npz", seed=4)
        assert torch.equal(a.x, whole.x)
        assert torch.equal(a.u, whole.u)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "a_kT2.npz", "b.npz", "b_kT2.npz"]
        with np.load(tmp_path / "a_kT2.npz") as first, np.load(tmp_path / "b_kT2.npz") as second:
            assert np.array_equal(first["x"], second["x"])

    def test_an_unfinished_simulation_of_something_else_is_in_the_way(self, tmp_path):
        simulator, path = ReplicaExchange(**LADDERS), tmp_path / "a.npz"
        with pytest.raises(Interrupted):
            simulate(Interrupting(), simulator, path, seed=4)
        with pytest.raises(ValueError, match=r"a.npz.partial holds an unfinished simulation with seed = 4, not 5"):
            simulate(Interrupting(), simulator, path, seed=5)
        with pytest.raises(ValueError, match=r"with frames = 12, not 11"):
            simulate(Interrupting(), ReplicaExchange(**LADDERS | {"frames": 11}), path, seed=4)
        simulate(DoubleWell(), Exact(10), path, seed=5, force=True)
        assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


class TestCard:
    def test_free_energy_differences(self):
        """-ln(p_b / p_a) within 4 sigma of exact, the error that of the binomial, -> 1 / sqrt(n p (1 - p))."""
        energy = DoubleWell()
        x = energy.exact_samples(40_000, rng()).reshape(400, 100, 2)
        f = make_card(energy, Trajectory(x), energy(x.flatten(0, 1)).reshape(400, 100))["free_energy_differences"]
        (name,) = f
        assert name == "F(right) - F(left)"
        p = energy.p_left
        assert f[name]["exact"] == pytest.approx(math.log(p / (1 - p)))
        assert f[name]["error"] == pytest.approx(1 / math.sqrt(40_000 * p * (1 - p)), rel=0.25)
        assert abs(f[name]["value"] - f[name]["exact"]) < 4 * f[name]["error"]

    def test_errors_know_of_walkers_that_differ(self):
        """Walkers with populations of their own, uncorrelated in time: the spread between them is the error."""
        energy, walkers = DoubleWell(), 50
        p = torch.rand(walkers, generator=rng(1))
        x = torch.zeros(2000, walkers, 2)
        x[..., 0] = 2.0 * (torch.rand(2000, walkers, generator=rng(2)) < p) - 1
        card = make_card(energy, Trajectory(x), energy(x.flatten(0, 1)).reshape(2000, walkers))
        assert card["modes"]["right"]["error"] == pytest.approx(p.std().item() / math.sqrt(walkers), rel=0.2)

    def test_problems_of_the_simulator_are_in_the_verdict(self):
        energy = Gaussian()
        x = energy.exact_samples(1000, rng()).reshape(100, 10, 2)
        u = energy(x.flatten(0, 1)).reshape(100, 10)
        assert make_card(energy, Trajectory(x), u)["verdict"] == "pass"
        verdict = make_card(energy, Trajectory(x, problems=["not converged: no round trip"]), u)["verdict"]
        assert verdict == ["not converged: no round trip"]

    def test_a_ladder_without_exchange_is_not_converged(self, tmp_path):
        parted = ReplicaExchange(**LADDERS | {"max_temperature": None, "temperatures": [1.0, 1.05, 3.0], "also": None})
        card = simulate(Gaussian(200), parted, tmp_path / "x.npz", seed=0).card
        assert any(p.startswith("not converged: 1.05 and 3 kT exchange in 0 %") for p in card["verdict"])
        assert "not converged: no replica went from the lowest temperature to the highest and back" in card["verdict"]

    def test_no_virial_in_a_box(self):
        class Periodic(Gaussian):
            box_vectors = torch.eye(3)

        energy = Periodic()
        x = energy.exact_samples(1000, rng()).reshape(100, 10, 2)
        card = make_card(energy, Trajectory(x), energy(x.flatten(0, 1)).reshape(100, 10))
        assert card["virial"] is None
        assert card["verdict"] == "pass"

    def test_recorded_energies_are_compared(self):
        energy = Gaussian()
        x = energy.exact_samples(1000, rng()).reshape(100, 10, 2)
        u = energy(x.flatten(0, 1)).reshape(100, 10)
        energy.n_values = 0
        data = Dataset.from_trajectory(energy, Trajectory(x, u=u))
        assert energy.n_values <= 8 + 1000  # a few, and the virial
        torch.testing.assert_close(data.u, energy(data.x))
        with pytest.raises(ValueError, match="of the simulation has u = "):
            Dataset.from_trajectory(energy, Trajectory(x, u=u + 1))


def test_metropolis_data_are_recorded_too(tmp_path):
    simulator = Metropolis(frames=20, walkers=4, stride=2, burn_in=0, step_size=0.3)
    data = simulate(Gaussian(), simulator, tmp_path / "x.npz", seed=0)
    torch.testing.assert_close(data.u, Gaussian()(data.x), atol=1e-5, rtol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]
