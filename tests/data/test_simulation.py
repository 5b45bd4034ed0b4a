"""From a simulator to files: other temperatures, interruptions, and what the card says of convergence."""

import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from lit_bg.data import Dataset, make_card
from lit_bg.data.simulation import simulate
from lit_bg.energies import DoubleWell, Gaussian, Ising
from lit_bg.energies.base import Energy
from lit_bg.energies.meter import Meter
from lit_bg.kernels import Exchange, Langevin, Metropolis, SpinFlip
from lit_bg.simulators import Exact, Interrupted, Recorder, ReplicaExchange, Simulation, Temperatures, Trajectory
from lit_bg.spaces import Particles


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


LADDER = Temperatures(6.0, pilot=0, also=[2.0])


def ladders(frames=12, ladder=LADDER):
    return ReplicaExchange(Langevin(0.1, 1), ladder, frames=frames, walkers=10, stride=5, burn_in=20)


class TestFiles:
    def test_other_temperatures_have_files_of_their_own(self, tmp_path, capsys):
        data = simulate(DoubleWell(), ladders(), tmp_path / "x.npz", seed=0)
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
            simulate(DoubleWell(), ladders(), tmp_path / "x.npz", seed=0)
        assert [p.name for p in tmp_path.iterdir()] == ["x_kT2.npz"]

    def test_interrupted_data_are_those_of_an_uninterrupted_run(self, tmp_path):
        simulator = ladders()
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
        simulator, path = ladders(), tmp_path / "a.npz"
        with pytest.raises(Interrupted):
            simulate(Interrupting(), simulator, path, seed=4)
        with pytest.raises(ValueError, match=r"a.npz.partial holds an unfinished simulation with seed = 4, not 5"):
            simulate(Interrupting(), simulator, path, seed=5)
        with pytest.raises(ValueError, match=r"with simulator.frames = 12, not 11"):
            simulate(Interrupting(), ladders(frames=11), path, seed=4)
        simulate(DoubleWell(), Exact(10), path, seed=5, force=True)
        assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


class TestUnfinished:
    """An unfinished simulation is looked at before it goes on."""

    @pytest.fixture
    def unfinished(self, tmp_path):
        simulator, path = ladders(), tmp_path / "a.npz"
        with pytest.raises(Interrupted):
            simulate(Interrupting(), simulator, path, seed=4)
        recorder = Recorder(tmp_path / "a.npz.partial", json.loads((tmp_path / "a.npz.partial/identity.json").read_text()))
        assert recorder.written >= 2
        return recorder

    @pytest.mark.parametrize("name", ["x", "u", "x_kT2", "u_kT2"])
    def test_frames_agree_with_their_energies(self, unfinished, tmp_path, name):
        """Recorded wrongly, with a checksum that fits: the energy tells."""
        again = Recorder(tmp_path / "b.npz.partial", unfinished.identity)
        for t in range(unfinished.written):
            values = {k: unfinished.frames(k)[t].clone() for k in unfinished.arrays}
            values[name] += 2.0 * (t == unfinished.written - 1)
            again.write(t, 12, values)
        again.save(unfinished.state)
        simulator, energy = ladders(), Interrupting()
        words = rf"cannot go on, because a frame in its x{name[1:]}.npy has u = .* under this Interrupting: delete the folder"
        with pytest.raises(ValueError, match=words):
            simulate(energy, simulator, tmp_path / "b.npz", seed=4)
        energy.calls = 40
        data = simulate(energy, simulator, tmp_path / "b.npz", seed=4, force=True)  # begins again
        energy.calls = 40
        assert torch.equal(data.x, simulate(energy, simulator, tmp_path / "c.npz", seed=4).x)

    def test_an_energy_that_has_changed(self, unfinished, tmp_path, monkeypatch):
        potential = DoubleWell.potential
        monkeypatch.setattr(DoubleWell, "potential", lambda self, x: 1.5 * potential(self, x))
        simulator, path = ladders(), tmp_path / "a.npz"
        with pytest.raises(ValueError, match=r"its state.pt has u = .*data.force=true"):
            simulate(Interrupting(), simulator, path, seed=4)
        energy = Interrupting()
        energy.calls = 40
        simulate(energy, simulator, path, seed=4, force=True)

    def test_what_is_damaged_is_refused_and_forced(self, unfinished, tmp_path):
        (tmp_path / "a.npz.partial" / "label_replicas.npy").unlink()
        simulator, energy = ladders(), Interrupting()
        with pytest.raises(ValueError, match=r"cannot go on, because its label_replicas.npy is missing"):
            simulate(energy, simulator, tmp_path / "a.npz", seed=4)
        energy.calls = 40
        simulate(energy, simulator, tmp_path / "a.npz", seed=4, force=True)


class TestFullDisk:
    def test_no_file_is_left_that_stops_the_same_command(self, tmp_path, monkeypatch):
        """Of two files one fits: neither is there, and with room the same command makes both, without simulating again."""
        save, simulator, path = Dataset.save, ladders(), tmp_path / "a.npz"

        def full(data, file):
            if file == path:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            save(data, file)

        with monkeypatch.context() as patch:
            patch.setattr(Dataset, "save", full)
            with pytest.raises(
                OSError, match=r"^No space left on device, writing .*a.npz: make room; the same command goes on"
            ):
                simulate(DoubleWell(), simulator, path, seed=0)
        assert [p.name for p in tmp_path.iterdir()] == ["a.npz.partial"]
        monkeypatch.setattr(Exchange, "step", None)
        simulate(DoubleWell(), simulator, path, seed=0)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "a_kT2.npz"]

    def test_a_process_with_no_room_for_frames(self, tmp_path):
        """It may write files of 60 kB: frames need more, so it ends with a sentence and exit code 2, not by a signal."""
        (tmp_path / "x.yaml").write_text(
            "model: {energy: {class_path: DoubleWell}, generator: {class_path: CouplingFlow}, loss: {class_path: ReverseKL}, "
            "optimizer: {class_path: torch.optim.Adam}}\ndata: {path: new/x.npz}\n"
            "simulate: {class_path: Simulation, init_args: {kernel: {class_path: Metropolis}, walkers: 20, frames: 1000, "
            "burn_in: 10}}\n"
        )
        code = (
            "import resource, signal; from lit_bg.simulate import main; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
            "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); main(['-c', 'x.yaml'])"
        )
        end = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert end.returncode == 2
        said = [line for line in end.stderr.splitlines() if not line.endswith(" ...")]  # beside what takes long
        assert said == ["lit_bg: File too large, writing new/x.npz: make room; nothing was written."]
        assert list((tmp_path / "new").iterdir()) == []

    def test_a_disk_that_is_full(self, tmp_path):
        """A small file system of its own, on which a page of a sparse file would kill the process by SIGBUS."""
        mount = f'mount -t tmpfs -o size=700k none {tmp_path} && exec "$0" "$@"'
        mounted = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount]
        if shutil.which("unshare") is None or subprocess.run([*mounted, "true"], capture_output=True).returncode != 0:
            pytest.skip("no file system can be mounted here")
        code = f"""
import os
from lit_bg.data.simulation import simulate
from lit_bg.energies import DoubleWell
from lit_bg.kernels import Metropolis
from lit_bg.simulators import Simulation
os.chdir({str(tmp_path)!r})
open("filler", "wb").write(bytes(620_000))
job = DoubleWell(), Simulation(Metropolis(), frames=500, walkers=20, burn_in=10, stride=1), "x.npz", 0
try:
    simulate(*job)
except OSError as error:
    print(error, os.listdir())
os.remove("filler")
print(len(simulate(*job)), os.listdir())
"""
        end = subprocess.run([*mounted, sys.executable, "-c", code], capture_output=True, text=True)
        assert end.returncode == 0, end.stderr
        assert "No space left on device, writing x.npz: make room; nothing was written. ['filler']\n" in end.stdout
        assert end.stdout.endswith("10000 ['x.npz']\n")

    def test_a_place_that_cannot_be_written_is_refused_first(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
        energy = DoubleWell()
        with pytest.raises(PermissionError, match=r"cannot write into .*give another data.path"):
            simulate(energy, Simulation(Metropolis()), tmp_path / "a.npz", seed=0)
        assert energy.n_values == 0


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
        parted = ladders(ladder=Temperatures(temperatures=[1.0, 1.05, 3.0]))
        card = simulate(Gaussian(200), parted, tmp_path / "x.npz", seed=0).card
        assert any(p.startswith("not converged: 1.05 and 3 kT exchange in 0 %") for p in card["verdict"])
        assert "not converged: no replica went from the lowest temperature to the highest and back" in card["verdict"]

    def test_no_virial_in_a_box(self):
        class Periodic(Energy):
            space = Particles(1, 2, centred=False, box=torch.eye(2))

            def potential(self, x):
                return 0.5 * x.square().flatten(1).sum(-1)

        energy = Periodic()
        x = torch.randn(100, 10, 1, 2, generator=rng())
        card = make_card(energy, Trajectory(x), energy(x.flatten(0, 1)).reshape(100, 10))
        assert card["virial"] is None
        assert card["verdict"] == "pass"

    def test_recorded_energies_are_compared(self):
        energy = Gaussian()
        x = energy.exact_samples(1000, rng()).reshape(100, 10, 2)
        u = energy(x.flatten(0, 1)).reshape(100, 10)
        energy.meter = Meter()
        data = Dataset.from_trajectory(energy, Trajectory(x, u=u))
        assert energy.n_values <= 8 + 1000  # a few, and the virial
        torch.testing.assert_close(data.u, energy(data.x))
        with pytest.raises(ValueError, match="of the simulation has u = "):
            Dataset.from_trajectory(energy, Trajectory(x, u=u + 1))


def test_metropolis_data_are_recorded_too(tmp_path):
    simulator = Simulation(Metropolis(0.3), frames=20, walkers=4, stride=2, burn_in=0)
    data = simulate(Gaussian(), simulator, tmp_path / "x.npz", seed=0)
    torch.testing.assert_close(data.u, Gaussian()(data.x), atol=1e-5, rtol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


class TestSpins:
    def test_spins_are_simulated_and_judged(self, tmp_path):
        """From both signs to the exact averages of all 65536 states, with no virial and no gradient in the card."""
        energy = Ising(4, kT=2.5)
        data = simulate(energy, Simulation(SpinFlip(), 200, 100, stride=2, burn_in=50), tmp_path / "x.npz", seed=0)
        assert data.card["verdict"] == "pass"
        assert (data.card["virial"], data.card["gradient"], data.card["bad_frames"]) == (None, None, {})
        for name, observable in energy.observables.items():
            found = data.card["observables"][name]
            assert abs(found["mean"] - observable.exact) < 4 * found["error"]
        assert abs(data.card["modes"]["up"]["p"] - 0.5) < 4 * data.card["modes"]["up"]["error"]
        assert set(data.x.unique().tolist()) == {-1.0, 1.0}
        assert torch.equal(Dataset.load(tmp_path / "x.npz", energy).x, data.x)

    def test_values_that_are_no_spins_are_refused(self):
        energy = Ising(4)
        x = energy.exact_samples(1000, rng()).reshape(100, 10, 4, 4)
        x[3, 2, 1, 1] = 0.5
        card = make_card(energy, Trajectory(x), energy(x.flatten(0, 1)).reshape(100, 10))
        assert any("1 of 1000 frames have values that no configuration has" in problem for problem in card["verdict"])


def test_states_that_are_energies_say_together_how_rare_a_mode_is(tmp_path):
    """Exchange with a double well of a lower barrier: populations of all replicas by u_kn, exact within 4 sigma."""
    energy = DoubleWell()
    others = [DoubleWell(a2=5.0), DoubleWell(a2=4.0, kT=1.2), DoubleWell(a2=3.0, kT=1.5)]
    simulation = Simulation(Exchange(Langevin(0.1, 2), others), frames=100, walkers=50, stride=5, burn_in=100)
    card = simulate(energy, simulation, tmp_path / "x.npz", seed=0).card
    right = card["modes"]["right"]
    assert abs(right["p"] - (1 - energy.p_left)) < 4 * right["error"]
    assert right["error"] < 0.02
    assert len(card["info"]["exchange"]) == 3
    assert card["simulator"]["parameters"]["kernel"]["parameters"]["energies"][1]["kT"] == 1.2
