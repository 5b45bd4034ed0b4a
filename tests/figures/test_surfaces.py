"""What figures of surfaces, paths and temperatures draw, and what they leave out."""

import numpy as np

from lit_bg.figures import draw_paths, draw_profile, draw_surface, draw_temperatures
from lit_bg.figures.style import png

EDGES = (np.linspace(0, 1, 5), np.linspace(0, 2, 4))


def test_bins_without_an_error_are_left_out():
    f = np.arange(12.0).reshape(4, 3)
    error = np.full((4, 3), 0.1)
    error[0, 0], f[1, 1], error[1, 1] = np.inf, np.nan, np.nan
    figure = draw_surface(("a", "b"), EDGES, f, error, "title", "1000 draws")
    maps = [ax.collections for ax in figure.axes[:2]]
    drawn = [next(c for c in found if hasattr(c, "get_coordinates")).get_array() for found in maps]
    for values in drawn:
        assert values.shape == (3, 4)
        assert values.mask.T[0, 0]
        assert values.mask.T[1, 1]
        assert values.mask.sum() == 2
    assert drawn[0].min() == 0.0  # of the bins that are drawn
    assert "hatched: fewer than five effective samples" in figure.texts[-1].get_text()
    assert len(png(figure)) > 1000


def test_a_whole_surface_has_nothing_hatched():
    figure = draw_surface(("a", "b"), EDGES, np.zeros((4, 3)), np.full((4, 3), 0.1), "title", "detail")
    assert "hatched" not in figure.texts[-1].get_text()


def test_a_surface_of_which_nothing_is_known_can_be_drawn():
    nothing = np.full((4, 3), np.nan)
    assert len(png(draw_surface(("a", "b"), EDGES, nothing, nothing, "title", "detail"))) > 1000


def test_bins_without_an_error_bar_are_not_drawn():
    f, error = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.1, 0.1, 0.1, np.inf])
    figure = draw_profile("a", EDGES[0], None, (f, error), None, "title", "detail", label="frames")
    solid = next(line for line in figure.axes[0].lines if line.get_label() == "frames")
    assert np.isnan(solid.get_ydata()[3])
    assert "fewer than 5 effective samples are not drawn" in " ".join(figure.texts[-1].get_text().split())
    whole = draw_profile("a", EDGES[0], None, (f, np.full(4, 0.1)), None, "title", "detail")
    assert "not drawn" not in whole.texts[-1].get_text()
    nothing = draw_profile("a", EDGES[0], None, (f, np.full(4, np.inf)), None, "title", "detail", label="frames")
    assert nothing.axes[0].lines[0].get_label() == "frames (nowhere an error bar)"


def test_paths_that_leave_the_region_can_be_drawn():
    t, u = np.linspace(0, 1, 5), np.array([0.0, 5.0, np.inf, 5.0, 1.0])
    figure = draw_paths(
        {"latent line": (t, u, -u), "straight in x": (t, 1e6 * t, -t)},
        {"latent line": {"a": t}, "straight in x": {"a": t}},
        ("left", "right"),
        "title",
        "detail",
    )
    assert figure.axes[0].get_ylim()[1] < 2e6
    assert "barrier inf kT" in figure.axes[0].get_legend().get_texts()[0].get_text()
    assert len(png(figure)) > 1000


def test_temperatures_are_shaded_where_they_are_trusted():
    kT = np.array([0.5, 1.0, 2.0])
    rows = {"log Z": (np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.1, np.inf]))}
    figure = draw_temperatures(kT, rows, np.array([500.0, 1000.0, 50.0]), (0.4, 1.5), "kT", "title", "detail")
    assert len(figure.axes) == 2
    assert any(patch.get_x() + patch.get_width() == 1.5 for patch in figure.axes[0].patches)
    assert "open: no error bar is honest" in figure.texts[-1].get_text()
    assert len(png(figure)) > 1000
