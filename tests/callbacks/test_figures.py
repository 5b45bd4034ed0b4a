"""Figures of every kind of system, and of runs that went wrong, can be drawn."""

import numpy as np
import pytest
import torch
from gaussian_proposal import GaussianProposal, TwoWells, assemble

from lit_bg.callbacks import Diagnose, Figures
from lit_bg.data.module import Data
from lit_bg.energies import DoubleWell, Energy, Gaussian, ManyWell
from lit_bg.energies.base import Observable
from lit_bg.estimators import tail
from lit_bg.figures import Plane, draw_configurations, draw_energies, draw_profile, draw_weights
from lit_bg.figures.plane import find_plane, in_plane
from lit_bg.figures.samples import draw_samples, file_name
from lit_bg.spaces import Particles


def drawn(folder, energy, scale=1.0, n=2000):
    """Sizes of the PNG files of a test, by name."""
    callbacks = [Diagnose(bins=20), Figures()]
    module, data, trainer = assemble(folder, energy, GaussianProposal(scale=scale), callbacks, data=Data(test_samples=n))
    trainer.test(module, data, verbose=False)
    files = {p.name: p.read_bytes() for p in (folder / "run/version_0/figures").iterdir()}
    assert all(content.startswith(b"\x89PNG") for content in files.values())
    return files


class Torus(Energy):
    """Two angles of a particle system."""

    def __init__(self):
        super().__init__()
        self.space = Particles(4, 3, centred=False)

    def potential(self, x):
        return 0.5 * (x**2).flatten(1).sum(-1)

    @property
    def observables(self):
        def angle(i):
            return Observable(lambda x: torch.atan2(x[:, i, 0], x[:, i, 1]), "rad", (-np.pi, np.pi), periodic=True)

        return {"phi": angle(0), "psi": angle(1), "r <1>": Observable(lambda x: x[:, 0, 0], "nm", (-3.0, 3.0))}


@pytest.mark.parametrize("energy", [DoubleWell(dim=1), ManyWell(4), Torus(), Gaussian(dim=3)], ids=repr)
def test_every_kind_of_system(tmp_path, energy):
    files = drawn(tmp_path, energy)
    profiles = {f"profile_{file_name(k)}.png" for k, o in energy.observables.items() if o.range is not None}
    assert files.keys() == {"configurations.png", "energies.png", "weights.png"} | profiles


def test_a_run_without_any_finite_energy_still_has_pictures(tmp_path):
    class Nowhere(TwoWells):
        def potential(self, x):
            return super().potential(x) * torch.nan

    assert "weights.png" in drawn(tmp_path, Nowhere())


def test_drawing_costs_no_energy_calls(tmp_path):
    energy = DoubleWell()
    drawn(tmp_path, energy, n=1000)
    assert energy.n_values == 1000


def test_angles_are_the_plane_of_a_peptide():
    x = torch.randn(5, 4, 3)
    plane = find_plane(Torus(), None, in_plane(Torus(), x))
    assert plane.names == ("phi [°]", "psi [°]")
    assert plane.extent == pytest.approx((-180, 180, -180, 180))
    torch.testing.assert_close(in_plane(Torus(), x)[:, 1], torch.atan2(x[:, 1, 0], x[:, 1, 1]).double() * 180 / np.pi)


def test_the_surface_of_the_target_is_its_free_energy():
    """A picture is a number, too: the exact panel is -log of a normalised density, as the histograms are."""
    energy = DoubleWell()
    plane = find_plane(energy, None, torch.zeros(1, 2))
    x = energy.exact_samples(20_000, torch.Generator().manual_seed(0)).double().numpy()
    figure = draw_configurations(plane, x, np.full(len(x), 1 / len(x)), None, "t", "d")
    proposals, reweighted, exact = (ax.images[0].get_array().filled(np.nan) for ax in figure.axes[:3])
    np.testing.assert_allclose(proposals, reweighted)
    assert np.nanmin(exact) == 0
    assert np.nanmin(proposals) == pytest.approx(0, abs=0.4)  # the fullest bin of about 60 samples


def test_the_histogram_says_what_it_leaves_out():
    rng = np.random.default_rng(0)
    u = np.concatenate([rng.normal(0, 1, 900), np.full(100, 1e8)])
    w = np.concatenate([np.full(900, 1 / 900), np.zeros(100)])
    figure = draw_energies(u, w, rng.normal(0, 1, 1000), "t", "d")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[0].startswith("proposals (1")
    assert figure.axes[0].get_xlim()[1] < 100


def test_profiles_share_one_zero():
    edges = np.linspace(0, 1, 4)
    flat, lower = np.full(3, 1.0), np.full(3, 0.4)
    figure = draw_profile("x", edges, (flat, flat * 0), (lower, flat * 0), (lower, flat * 0), "t", "d")
    raw, reweighted, _ = (
        line.get_ydata() for line in figure.axes[0].get_lines() if line.get_linestyle() != ":" and len(line.get_xdata()) == 3
    )
    np.testing.assert_allclose(raw, 0.6)
    np.testing.assert_allclose(reweighted, 0.0)


def test_equal_weights_and_few_weights():
    for log_w in (np.zeros(100), np.array([0.0, -np.inf])):
        assert draw_weights(log_w, tail(torch.from_numpy(log_w)), "t", "d").axes


@pytest.mark.parametrize(("power", "word"), [(0.2, "lighter"), (1.5, "heavier")])
def test_the_weight_tail_fills_its_picture_and_says_what_it_means(power, word):
    log_w = -power * np.log(np.random.default_rng(0).random(20_000))
    figure = draw_weights(log_w, tail(torch.from_numpy(log_w)), "t", "d")
    ax, w = figure.axes[0], np.exp(log_w) / np.exp(log_w).mean()
    low, high = ax.get_ylim()
    assert ((w < low) * w).sum() < 1e-3 * w.sum()
    assert w.max() < high < 1e3 * w.max()
    assert f"The tail is {word} than" in " ".join(figure.texts[-1].get_text().split())


def test_cells_with_fewer_than_five_effective_samples_are_white():
    points = np.concatenate([np.full((4, 2), 0.1), np.full((5, 2), 0.9)])
    plane = Plane(("a", "b"), (0.0, 1.0, 0.0, 1.0))
    w = np.array([0.1] * 4 + [0.56, 0.01, 0.01, 0.01, 0.01])  # five samples of little more than one's worth
    figure = draw_configurations(plane, points, w, None, "t", "d")
    proposals, reweighted = (ax.images[0].get_array().filled(np.nan) for ax in figure.axes[:2])
    assert np.isfinite(proposals).sum() == 1
    assert np.isfinite(reweighted).sum() == 0
    assert "white: fewer than 5 effective samples" in figure.texts[-1].get_text()


def test_an_empty_panel_does_no_harm():
    plane = Plane(("a", "b"), (0.0, 1.0, 0.0, 1.0))
    assert draw_configurations(plane, np.zeros((0, 2)), np.zeros(0), None, "t", "d").axes


def test_refusal():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Figures(every=0)


def test_frames_have_one_curve_and_no_weights():
    """Nothing was proposed and nothing reweighted; the exact curve is drawn where it is known."""
    energy = DoubleWell()
    x = energy.exact_samples(4000, torch.Generator().manual_seed(0)).reshape(500, 8, 2)
    figures = draw_samples(energy, x, energy(x.flatten(0, 1)).reshape(500, 8), None, dependence="chains")
    assert sorted(figures) == ["configurations", "energies", "profile_x1"]
    named = {
        name: [text.get_text() for ax in figure.axes if ax.get_legend() for text in ax.get_legend().get_texts()]
        for name, figure in figures.items()
    }
    assert named["energies"][0].startswith("frames")
    assert named["profile_x1"] == ["frames", "exact"]
    assert [ax.get_title() for ax in figures["configurations"].axes][:2] == ["frames", "target, exact"]
