"""Reference data: what is written comes back, what is wrong is refused in one sentence."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_bg.data import Dataset
from lit_bg.data.simulation import simulate
from lit_bg.energies import DoubleWell, Gaussian, Molecule, MuellerBrown
from lit_bg.kernels import Metropolis
from lit_bg.simulators import Exact, Simulation, Trajectory

PDB = Path(__file__).parents[2] / "experiments" / "alanine_dipeptide.pdb"


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def exact(energy, frames=400, walkers=10, seed=0):
    """Independent frames, arranged as walkers."""
    x = energy.exact_samples(frames * walkers, rng(seed))
    return Trajectory(x.reshape(frames, walkers, *energy.event_shape))


@pytest.fixture
def data():
    return Dataset.from_trajectory(DoubleWell(), exact(DoubleWell()))


class TestFile:
    def test_round_trip(self, data, tmp_path):
        data.save(tmp_path / "sub" / "a.npz")
        back = Dataset.load(tmp_path / "sub" / "a.npz", DoubleWell())
        for name in ("x", "u", "walker", "frame"):
            assert torch.equal(getattr(back, name), getattr(data, name)), name
        assert back.card == data.card
        assert [p.name for p in (tmp_path / "sub").iterdir()] == ["a.npz"]
        assert back.x.dtype == torch.float32

    def test_an_interrupted_save_leaves_nothing(self, data, tmp_path, monkeypatch):
        path = tmp_path / "a.npz"
        data.save(path)
        before = path.read_bytes()

        def crash(file, **arrays):
            file.write(b"half")
            raise KeyboardInterrupt

        monkeypatch.setattr(np, "savez", crash)
        with pytest.raises(KeyboardInterrupt):
            data.save(path)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]

    def test_loading_our_file_hardly_evaluates(self, data, tmp_path):
        data.save(tmp_path / "a.npz")
        energy = DoubleWell()
        Dataset.load(tmp_path / "a.npz", energy)
        assert energy.n_values <= 8
        assert energy.n_gradients == 0

    def test_energies_belong_to_their_frames(self, data):
        torch.testing.assert_close(data.u, DoubleWell()(data.x))
        trajectory = exact(DoubleWell())
        i = int(torch.nonzero((data.walker == 3) & (data.frame == 7)))
        torch.testing.assert_close(data.x[i], trajectory.x[7, 3])


class TestForeign:
    @pytest.mark.parametrize("shape", [(4000, 2), (400, 10, 2)])
    def test_an_npz_with_x_alone(self, tmp_path, shape):
        energy = DoubleWell()
        np.savez(tmp_path / "x.npz", x=exact(energy).x.reshape(shape).numpy())
        data = Dataset.load(tmp_path / "x.npz", energy)
        assert len(data) == 4000
        assert data.walkers == (10 if len(shape) == 3 else 1)
        assert energy.n_values == 8000  # each energy once, and once more with its force for the virial
        assert energy.n_gradients == 4000
        assert data.card["simulator"] is None
        assert data.card["verdict"] == "pass"

    def test_a_molecular_trajectory(self, tmp_path):
        import mdtraj

        energy = Molecule(str(PDB), forcefield=["amber96.xml", "implicit/obc1.xml"])
        x = energy.initial + 0.001 * torch.randn(12, 22, 3, generator=rng())
        mdtraj.Trajectory(x.numpy(), mdtraj.load(str(PDB)).topology).save_dcd(str(tmp_path / "t.dcd"))
        data = Dataset.load(tmp_path / "t.dcd", energy, force=True)  # made-up frames: no equilibrium
        torch.testing.assert_close(data.x, x, atol=1e-5, rtol=0)
        torch.testing.assert_close(data.u, energy(data.x))
        with pytest.raises(ValueError, match="has no topology to read it with"):
            Dataset.load(tmp_path / "t.dcd", Gaussian())
        (tmp_path / "bad.dcd").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="mdtraj cannot read"):
            Dataset.load(tmp_path / "bad.dcd", energy)

    def test_wrong_units_are_refused(self, tmp_path):
        energy = Molecule(str(PDB), forcefield=["amber96.xml", "implicit/obc1.xml"])
        np.savez(tmp_path / "angstrom.npz", x=10 * energy.initial.numpy())
        with pytest.raises(ValueError, match="median bond"):
            Dataset.load(tmp_path / "angstrom.npz", energy)


class TestRefusal:
    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"there is no data file .*nowhere.npz: make it with `python -m lit_bg"):
            Dataset.load(tmp_path / "nowhere.npz", DoubleWell())

    def test_damaged_file(self, tmp_path):
        (tmp_path / "a.npz").write_bytes(b"PK but not really")
        with pytest.raises(ValueError, match="is no readable npz file"):
            Dataset.load(tmp_path / "a.npz", DoubleWell())

    def test_pickles_are_not_opened(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
        with pytest.raises(ValueError, match="is no readable npz file"):
            Dataset.load(tmp_path / "a.npz", DoubleWell())

    def test_no_array_x(self, tmp_path):
        np.savez(tmp_path / "a.npz", samples=np.zeros((3, 2)))
        with pytest.raises(ValueError, match=r"has no array `x` but \['samples'\]"):
            Dataset.load(tmp_path / "a.npz", DoubleWell())

    def test_another_shape(self, tmp_path, data):
        np.savez(tmp_path / "x.npz", x=np.zeros((5, 3)))
        with pytest.raises(ValueError, match=r"array of shape \(5, 3\), but a frame of DoubleWell has shape \(2,\)"):
            Dataset.load(tmp_path / "x.npz", DoubleWell())

    def test_wrong_number_of_atoms(self, tmp_path):
        energy = Molecule(str(PDB), forcefield=["amber96.xml", "implicit/obc1.xml"])
        np.savez(tmp_path / "x.npz", x=np.zeros((5, 21, 3)))
        with pytest.raises(ValueError, match=r"\(5, 21, 3\), but a frame of Molecule has shape \(22, 3\) \(atoms, 3\)"):
            Dataset.load(tmp_path / "x.npz", energy)

    def test_frames_that_are_nan(self, tmp_path):
        x = exact(DoubleWell()).x[:, 0]
        x[[5, 9]] = torch.nan
        np.savez(tmp_path / "x.npz", x=x.numpy())
        with pytest.raises(ValueError, match=r"2 of 400 frames .* the first is frame 5"):
            Dataset.load(tmp_path / "x.npz", DoubleWell())

    @pytest.mark.parametrize(
        ("other", "sentence"),
        [
            (DoubleWell(kT=2.0), "at kT = 1 kT, not 2"),
            (DoubleWell(a1=0.5), "for a1 = 1.0, not 0.5"),
            (MuellerBrown(), "of DoubleWell, not MuellerBrown"),
        ],
    )
    def test_data_of_another_system(self, data, tmp_path, other, sentence):
        data.save(tmp_path / "a.npz")
        with pytest.raises(ValueError, match=sentence):
            Dataset.load(tmp_path / "a.npz", other)

    def test_the_same_name_with_another_energy(self, data, tmp_path):
        data.u += 0.5
        data.save(tmp_path / "a.npz")
        with pytest.raises(ValueError, match="its parameters have changed"):
            Dataset.load(tmp_path / "a.npz", DoubleWell())

    def test_data_out_of_equilibrium_unless_forced(self, tmp_path):
        energy = DoubleWell()
        x = 0.6 * exact(energy).x
        np.savez(tmp_path / "x.npz", x=x.numpy())
        with pytest.raises(ValueError, match=r"are refused: the virial is .* and 2 in equilibrium .*data.force=true"):
            Dataset.load(tmp_path / "x.npz", energy)
        data = Dataset.load(tmp_path / "x.npz", energy, force=True)
        assert any("virial" in problem for problem in data.card["verdict"])

    def test_frames_without_an_energy(self, tmp_path):
        class Hard(Gaussian):
            def potential(self, x):
                return torch.where(x[:, 0] < 0, torch.inf, super().potential(x))

        np.savez(tmp_path / "x.npz", x=Gaussian(2).exact_samples(50, rng()).numpy())
        with pytest.raises(ValueError, match=r"of 50 frames have no finite energy under Hard, the first is frame \d+"):
            Dataset.load(tmp_path / "x.npz", Hard(2))


class TestCard:
    def test_of_good_data(self, data):
        card = data.card
        assert card["verdict"] == "pass"
        parameters = {"dim": 2, "a4": 1.0, "a2": 6.0, "a1": 1.0, "k": 1.0}
        assert card["energy"] == {"class": "DoubleWell", "package": "lit_bg", "parameters": parameters}
        assert (card["walkers"], card["frames"], card["kT"]) == (10, 400, 1.0)
        assert abs(card["virial"]["z"]) < 4
        assert card["effective_samples"] > 3000
        left = card["modes"]["left"]
        assert abs(left["p"] - 0.96707045) < 4 * left["error"]
        assert all(r < 1.02 for r in card["r_hat"].values())
        assert json.loads(json.dumps(card, allow_nan=False)) == card

    def test_one_well_is_told_apart_and_not_refused(self, tmp_path):
        simulator = Simulation(Metropolis(0.1), frames=300, walkers=20, stride=10, burn_in=200, start="right")
        data = simulate(DoubleWell(), simulator, tmp_path / "right.npz", seed=1)
        assert "not converged: never visited left" in data.card["verdict"]
        Dataset.load(tmp_path / "right.npz", DoubleWell())

    def test_walkers_stuck_in_two_wells_are_told_apart_and_not_refused(self, tmp_path):
        simulator = Simulation(Metropolis(0.4), frames=300, walkers=20, stride=20, burn_in=200)
        data = simulate(DoubleWell(), simulator, tmp_path / "both.npz", seed=0)
        assert any("do not agree" in problem for problem in data.card["verdict"])
        assert data.card["effective_samples"] < 40
        Dataset.load(tmp_path / "both.npz", DoubleWell())


class TestSplit:
    def test_by_walker(self, data):
        train, held = data.split(0.2)
        assert (len(train), len(held)) == (3200, 800)
        assert not set(train.walker.tolist()) & set(held.walker.tolist())
        assert held.walkers == 2
        torch.testing.assert_close(held.u, DoubleWell()(held.x))
        again = data.split(0.2)[1]
        assert torch.equal(again.x, held.x)

    def test_by_time_with_a_gap(self):
        data = Dataset.from_trajectory(DoubleWell(), exact(DoubleWell(), frames=1000, walkers=2))
        data.card["statistical_inefficiency"] = {"u": 7.3, "x1": 3.0}
        train, held = data.split(0.1)
        assert set(held.frame.tolist()) == set(range(900, 1000))
        assert set(train.frame.tolist()) == set(range(892))
        assert train.walkers == held.walkers == 2

    @pytest.mark.parametrize("held_out", [0.0, 1.0, -0.5])
    def test_fractions_are_fractions(self, data, held_out):
        with pytest.raises(ValueError, match="between 0 and 1"):
            data.split(held_out)

    def test_one_frame_cannot_be_split(self):
        data = Dataset.from_trajectory(Gaussian(), exact(Gaussian(), frames=1, walkers=1))
        with pytest.raises(ValueError, match="1 frames of 1 walkers cannot be split"):
            data.split(0.5)


class TestAverages:
    def test_mean_knows_of_walkers(self, data):
        values = data.walker.double()  # constant in each walker: ten independent values
        mean, error = data.mean(values)
        assert mean == pytest.approx(4.5)
        student = 2.2622 / 2  # at 95 % of nine degrees of freedom
        assert error == pytest.approx(values.std().item() / math.sqrt(10) * student, rel=0.05)

    def test_mean_of_independent_frames(self, data):
        mean, error = data.mean(data.u)
        assert abs(mean + 9.615144) < 4 * error
        assert error == pytest.approx(data.u.std().item() / math.sqrt(4000), rel=0.2)

    def test_one_value_per_frame(self, data):
        with pytest.raises(ValueError, match="3 values and 4000 frames"):
            data.mean(torch.zeros(3))

    def test_batches_are_frames_drawn_with_replacement(self, data):
        a = data.batch(6000, rng(1))
        assert a.shape == (6000, 2)
        assert torch.equal(a, data.batch(6000, rng(1)))
        assert not torch.equal(a[:10], data.batch(10, rng(2)))
        assert len(a.unique(dim=0)) < 4000
        mean, error = a[:, 0].mean(), a[:, 0].std() / math.sqrt(6000)
        assert abs(mean - data.x[:, 0].mean()) < 4 * error


class TestSimulate:
    def test_writes_one_file_and_prints_the_card(self, tmp_path, capsys):
        data = simulate(DoubleWell(), Exact(2000), tmp_path / "a.npz", seed=3)
        printed = capsys.readouterr().out
        assert "P(left)" in printed
        assert "pass" in printed
        assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
        assert data.card["seed"] == 3
        assert data.card["simulator"] == {"class": "Exact", "parameters": {"frames": 2000}}
        assert torch.equal(Dataset.load(tmp_path / "a.npz", DoubleWell()).x, data.x)

    def test_an_existing_file_is_kept(self, tmp_path):
        (tmp_path / "a.npz").write_text("precious")
        with pytest.raises(FileExistsError, match=r"exists: choose another data.path"):
            simulate(DoubleWell(), Exact(10), tmp_path / "a.npz", seed=0)
        assert (tmp_path / "a.npz").read_text() == "precious"
        simulate(DoubleWell(), Exact(10), tmp_path / "a.npz", seed=0, force=True)

    def test_another_suffix_is_refused_before_anything_runs(self, tmp_path):
        with pytest.raises(ValueError, match=r"give it the suffix \.npz"):
            simulate(DoubleWell(), Exact(10), tmp_path / "a.dcd", seed=0)
