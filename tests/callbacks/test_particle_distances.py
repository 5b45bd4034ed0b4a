"""Wasserstein distances of a test are those of its samples, and at the noise floor where the samples are exact."""

import json

import numpy as np
import pytest
import torch
from gaussian_proposal import GaussianProposal, TwoWells, assemble

from lit_bg.callbacks import Diagnose, Figures, ParticleDistances, Report
from lit_bg.data.dataset import Dataset
from lit_bg.data.module import Data
from lit_bg.diagnostics.particle_distances import halves, pair_distances
from lit_bg.energies import Energy
from lit_bg.estimators import wasserstein
from lit_bg.spaces import Particles


class Springs(Energy):
    """Three particles on springs to the origin: a normal proposal may be exact."""

    symmetries = frozenset({"rotation", "reflection"})

    def __init__(self):
        super().__init__()
        self.space = Particles(3, 2, (0, 0, 1), centred=False)

    def potential(self, x):
        return 0.5 * x.square().flatten(1).sum(-1)


class Alike(Springs):
    def __init__(self):
        super().__init__()
        self.space = Particles(3, 2, (0, 0, 0), centred=False)


class Integrated(GaussianProposal):
    """Claims to integrate a field: 80 evaluations per sample, more for a density."""

    def sample(self, n, rng, context=None):
        found = super().sample(n, rng, context)
        self.evaluations = 80
        return found

    def log_prob(self, x, context=None):
        self.evaluations = 90
        return super().log_prob(x, context)


def springs_data(walkers=4, frames=1000):
    n = walkers * frames
    x = torch.randn(n, 3, 2, generator=torch.Generator().manual_seed(7))
    walker, frame = torch.arange(n) // frames, torch.arange(n) % frames
    return Dataset(x, Springs().potential(x), walker, frame, {"statistical_inefficiency": {"u": 1.0}})


def run(folder, energy, generator, dataset=None, more=()):
    data = Data(val_samples=500, test_samples=3000, eval_batch_size=1000, batch_size=16, steps_per_epoch=1)
    if dataset is not None:
        data.dataset = dataset
        data.train, data.held = dataset.split(0.25)
    callbacks = [Diagnose(), ParticleDistances(points=40), Report(), *more]
    module, data, trainer = assemble(folder, energy, generator, callbacks, data=data)
    trainer.test(module, data, verbose=False)
    return trainer, json.loads((folder / "run/version_0/summary.json").read_text())


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("springs")
    energy = Springs()
    return *run(folder, energy, Integrated(), springs_data(), [Figures()]), folder / "run/version_0", energy


def test_an_exact_generator_is_at_the_noise_floor(exact):
    trainer, summary, run, energy = exact
    found = summary["wasserstein"]
    for name in ("distances", "u", "configurations"):
        row = found[name]
        assert 0 < row["floor"] < 3 * row["raw"]
        assert row["raw"] < 3 * row["floor"]
    assert found["distances"]["raw"] == pytest.approx(found["distances"]["reweighted"], rel=0.05)  # all weights are equal
    assert energy.n_values == 3000  # the energies of the reference are in the data
    logged = trainer.callback_metrics
    for key, (name, kind) in {
        "w1_distances": ("distances", "reweighted"),
        "w1_u_floor": ("u", "floor"),
        "w2_raw": ("configurations", "raw"),
    }.items():
        assert logged[f"test/{key}"].item() == pytest.approx(found[name][kind], rel=1e-5)
    samples = np.load(run / "samples.npz")
    r = pair_distances(torch.from_numpy(np.concatenate([samples["x"][k : k + 1000 : 2] for k in (0, 1000, 2000)])))
    dataset = springs_data()
    parts = [pair_distances(dataset.x[index])[torch.linspace(0, 1999, 1500).long()] for index in halves(dataset)]
    assert found["n"] == 1500
    assert found["distances"]["raw"] == pytest.approx(sum(wasserstein(r, part) for part in parts) / 2, rel=1e-5)
    assert found["distances"]["floor"] == pytest.approx(wasserstein(*parts), rel=1e-5)


def test_the_distribution_of_distances_is_drawn(exact):
    _, _, run, _ = exact
    assert (run / "figures/distances.png").read_bytes().startswith(b"\x89PNG")
    assert not (run / "figures/radial.png").exists()  # two kinds of particles


def test_the_density_around_a_particle_is_that_of_independent_particles(tmp_path):
    trainer, _ = run(tmp_path, Alike(), GaussianProposal(), springs_data(), [Figures()])
    assert (tmp_path / "run/version_0/figures/radial.png").read_bytes().startswith(b"\x89PNG")
    around = trainer.lightning_module.record.pair_density.around(3, 2)
    low, high = around.edges[:-1], around.edges[1:]
    # x_i - x_j is normal with variance 2: of the two others, the share within a ring over its area
    exact = 2 * ((-(low**2) / 4).exp() - (-(high**2) / 4).exp()) / (torch.pi * (high**2 - low**2))
    for value, err in (around.raw, around.reweighted, around.reference):
        seen = 20 * (high - low) * low > 1  # elsewhere too few distances for their spread to be known
        assert seen.sum() > 30
        assert ((value - exact).abs() < 4.5 * err)[seen & (value > 0.005)].all()


def test_field_evaluations_are_those_of_sampling(exact):
    trainer, summary, _, _ = exact
    # GaussianProposal.sample asks for log_prob, and the held-out data do again
    assert summary["field_evaluations"] == trainer.callback_metrics["test/field_evaluations"].item() == 80


def test_a_wider_generator_is_away_from_the_reference_until_reweighted(tmp_path):
    _, summary = run(tmp_path, Springs(), GaussianProposal(scale=1.3), springs_data())
    for name in ("distances", "u"):
        row = summary["wasserstein"][name]
        assert row["raw"] > 5 * row["floor"]
        assert row["reweighted"] < 0.4 * row["raw"]
    # <r> grows by 0.3 of sqrt(pi), and with one scale W1 is the difference of the means
    assert summary["wasserstein"]["distances"]["raw"] == pytest.approx(0.3 * np.pi**0.5, rel=0.05)
    assert summary["field_evaluations"] is None


def test_nothing_is_said_without_data_or_particles(tmp_path):
    for folder, energy in (("no data", Springs()), ("no particles", TwoWells(1.0))):
        trainer, summary = run(tmp_path / folder, energy, GaussianProposal())
        assert summary["wasserstein"] is None
        assert not [key for key in trainer.callback_metrics if "/w" in key]


def test_without_a_finite_energy_the_distances_are_unknown(tmp_path):
    class Nowhere(Springs):
        def potential(self, x):
            return super().potential(x) * torch.nan

    _, summary = run(tmp_path, Nowhere(), GaussianProposal(), springs_data(), [Figures()])
    assert summary["wasserstein"]["distances"]["raw"] is None
    assert summary["wasserstein"]["distances"]["floor"] > 0


@pytest.mark.parametrize("walkers", [1, 2, 5])
def test_the_halves_share_no_walker(walkers):
    data = springs_data(walkers, frames=10)
    a, b = halves(data)
    assert len(a) + len(b) == len(data)
    if walkers > 1:
        assert not set(data.walker[a].tolist()) & set(data.walker[b].tolist())
    else:
        assert data.frame[a].max() < data.frame[b].min()


def test_refusal():
    with pytest.raises(ValueError, match="at least 2 points, got 1"):
        ParticleDistances(points=1)
