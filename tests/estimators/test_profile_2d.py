"""Profiles of chains and populations, and surfaces of two coordinates: right, with honest bands, or none."""

import itertools
import math
import time

import pytest
import torch
from profile_coverage import BANDS, COARSE, EDGES, Band, chains, draws, normal, populations

from lit_bg.energies import DoubleWell, WolfeQuapp
from lit_bg.estimators import effective_count, mean_with_error, profile, surface
from lit_bg.estimators.events import probabilities
from lit_bg.samples import Chains, Populations, Samples


def wrong(band, repeats, sigmas):
    """Parts whose bars cover outside 60 to 76 % or below 90 %, by so many sigmas; nine bins of a repeat count apart."""
    slack = sigmas * math.sqrt(0.22 / repeats) / 3, sigmas * math.sqrt(0.09 / repeats) / 3
    found = {}
    for part, (one, two, _, bars) in band.coverage(repeats).items():
        if bars > 5 * repeats and not (0.6 - slack[0] < one < 0.76 + slack[0] and two > 0.9 - slack[1]):
            found[part] = (one, two)
    return found


@pytest.mark.parametrize(
    "band",
    [
        Band("draws", draws, "draws"),
        Band("draws, plane", draws, "draws", plane=True),
        Band("chains", chains(500, 8, 5.0), "chains"),
        Band("populations", populations(16), "populations"),
        Band("populations, plane", populations(16), "populations", plane=True),
    ],
    ids=lambda b: b.name,
)
def test_bands_cover(band):
    assert not wrong(band, 25, 3)


@pytest.mark.slow
@pytest.mark.parametrize("band", BANDS, ids=lambda b: b.name)
def test_bands_cover_in_every_cell(band):
    """300 repeats; the table of docs/profiles.md."""
    assert not wrong(band, 300, 1)


def test_coverage_can_fail():
    """Chains taken for independent draws are found out, and so are populations taken for draws."""

    def unaware(draw):
        return lambda rng: tuple(None if a is None else a.flatten() for a in draw(rng))

    assert wrong(Band("chains", unaware(chains(500, 8, 50.0)), "draws"), 25, 3)
    assert wrong(Band("populations", unaware(populations(16)), "draws"), 25, 3)


class TestExact:
    def test_wolfe_quapp_in_the_plane(self):
        """Within five errors of quadrature in every bin, from draws, chains and populations, and z of unit width."""
        energy = WolfeQuapp(kT=3.0)
        x = energy.exact_samples(60_000, torch.Generator().manual_seed(0)).double()
        edges = torch.linspace(-2.4, 2.4, 9, dtype=torch.float64), torch.linspace(-1.8, 1.8, 7, dtype=torch.float64)
        fine = [torch.linspace(e[0], e[-1], 40 * (len(e) - 1) + 1, dtype=torch.float64) for e in edges]
        middle = [(e[1:] + e[:-1]) / 2 for e in fine]
        u = energy(torch.cartesian_prod(*middle)).reshape(len(middle[0]), len(middle[1]))
        cell = (fine[0][1] - fine[0][0]) * (fine[1][1] - fine[1][0])
        p = torch.exp(-u - energy.log_Z).unflatten(0, (-1, 40)).unflatten(2, (-1, 40)).sum((1, 3)) * cell
        truth = -torch.log(p / torch.outer(edges[0].diff(), edges[1].diff()))
        for shape, of in (((60_000,), "draws"), ((6000, 10), "chains"), ((20, 3000), "populations")):
            a, b = (x[:, k].reshape(shape) for k in (0, 1))
            f, error = surface(a, b, torch.zeros(shape), edges, dependence=of)
            z = ((f - truth) / error)[torch.isfinite(error)]
            assert len(z) > 40
            assert z.abs().max() < 5
            assert 0.7 < z.square().mean() < 1.4

    def test_weights_take_out_what_the_proposal_did(self):
        """Samples at kT = 3 with weights to kT = 2.5: F is that of the second, in the double well."""
        hot, cold = DoubleWell(kT=3.0), DoubleWell(kT=2.5)
        x = hot.exact_samples(40_000, torch.Generator().manual_seed(1)).double()
        edges = torch.linspace(-2.2, 2.2, 12, dtype=torch.float64)
        p = [cold._marginal.probability(a, b) for a, b in itertools.pairwise(edges.tolist())]
        truth = -torch.log(torch.tensor(p) / edges.diff())
        log_w = hot(x) - cold(x)
        for shape, of in (((40_000,), "draws"), ((4000, 10), "chains"), ((20, 2000), "populations")):
            f, error = profile(x[:, 0].reshape(shape), log_w.reshape(shape), edges, dependence=of)
            z = (f - truth) / error
            assert torch.isfinite(error).all()
            assert z.abs().max() < 4
            plain = profile(x[:, 0], None, edges)[0]
            assert ((plain - truth) / error).abs().max() > 10  # without weights it is another temperature

    def test_marginals_of_a_surface_are_profiles(self):
        x, y, log_w = draws(torch.Generator().manual_seed(0))
        x, y = x.clamp(-2.39, 2.39), y.clamp(-2.39, 2.39)
        f, _ = surface(x, y, log_w, (COARSE, COARSE))
        p = torch.exp(-f).nan_to_num() * COARSE.diff()[:, None] * COARSE.diff()
        torch.testing.assert_close(-torch.log(p.sum(1) / COARSE.diff()), profile(x, log_w, COARSE)[0])
        torch.testing.assert_close(-torch.log(p.sum(0) / COARSE.diff()), profile(y, log_w, COARSE)[0])

    def test_periodic_axes(self):
        rng = torch.Generator().manual_seed(0)
        a, b = 4 * torch.randn(2, 2000, generator=rng, dtype=torch.float64)
        circle = torch.linspace(-math.pi, math.pi, 9, dtype=torch.float64)
        line = torch.linspace(-20, 20, 5, dtype=torch.float64)
        f, _ = surface(a, b, None, (circle, line), (True, False))
        wrapped, _ = surface(torch.atan2(a.sin(), a.cos()), b, None, (circle, line))
        torch.testing.assert_close(f, wrapped, equal_nan=True)
        flipped, _ = surface(b, a, None, (line, circle), (False, True))
        torch.testing.assert_close(f, flipped.T, equal_nan=True)


class TestNoBar:
    def test_chains_that_visit_a_bin_once(self):
        """Six frames in a row are one visit: no bar, where six independent draws have one."""
        a = torch.zeros(2000, 1, dtype=torch.float64)
        a[500:506] = 1
        edges = torch.tensor([-0.5, 0.5, 1.5])
        assert math.isinf(profile(a, None, edges, dependence="chains")[1][1])
        assert math.isfinite(profile(a[:, 0], None, edges)[1][1])
        assert effective_count(a, None, edges, dependence="chains")[1] < 5

    def test_walkers_that_never_leave_their_bins(self):
        """Four walkers, each in a bin of its own, are four samples."""
        a = torch.arange(4.0).expand(1000, 4) + 0.01 * torch.rand(1000, 4, generator=torch.Generator().manual_seed(0))
        _, error = profile(a, None, torch.arange(5.0) - 0.001, dependence="chains")
        assert torch.isinf(error).all()

    @pytest.mark.parametrize(("holding", "has"), [(4, False), (5, True)])
    def test_populations_that_hold_a_bin(self, holding, has):
        a = torch.full((10, 50), 0.5)
        a[:holding, :5] = 1.5
        _, error = profile(a, torch.zeros(10, 50), torch.tensor([0.0, 1.0, 2.0]), dependence="populations")
        assert bool(torch.isfinite(error[1])) == has

    def test_one_population_that_has_all_the_weight(self):
        log_w = torch.zeros(10, 50)
        log_w[0] = 30
        a = torch.rand(10, 50, generator=torch.Generator().manual_seed(0))
        _, error = profile(a, log_w, torch.tensor([0.0, 0.5, 1.0]), dependence="populations")
        assert torch.isinf(error).all()

    def test_a_single_population(self):
        _, error = profile(torch.rand(1, 500), torch.zeros(1, 500), torch.tensor([0.0, 0.5, 1.0]), dependence="populations")
        assert torch.isinf(error).all()


def test_errors_of_chains_are_those_of_their_means():
    """Of a frequent event, what `mean_with_error` says, which adds Student's factor, to 3 %."""
    x, _, _ = chains(2000, 8, 5.0)(torch.Generator().manual_seed(3))
    f, error = profile(x, None, torch.tensor([-9.0, 0.0, 9.0]), dependence="chains")
    p, its_error = mean_with_error((x < 0).double())
    assert f[0].item() == pytest.approx(-math.log(p / 9))
    assert error[0].item() == pytest.approx(its_error / p, rel=0.03)


def test_frames_in_any_order_of_time_are_right_and_only_their_error_differs():
    x, _, _ = chains(1000, 4, 20.0)(torch.Generator().manual_seed(0))
    f, error = profile(x, None, EDGES, dependence="chains")
    shuffled = x[torch.randperm(1000, generator=torch.Generator().manual_seed(1))]
    again, smaller = profile(shuffled, None, EDGES, dependence="chains")
    torch.testing.assert_close(f, again, equal_nan=True)
    ratio = (error / smaller)[torch.isfinite(error)]
    assert ratio.min() > 1.2
    assert ratio.median() > 1.6


def test_many_frames_are_fast():
    """60 bins of 100 000 frames: below 10 s on a busy machine, 1 s on a free one."""
    x = torch.randn(10_000, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    begin = time.perf_counter()
    f, _ = profile(x, None, torch.linspace(-3, 3, 61, dtype=torch.float64), dependence="chains")
    assert time.perf_counter() - begin < 10
    edges = torch.linspace(-3, 3, 61, dtype=torch.float64)
    assert (f + torch.log(normal(edges) / edges.diff())).abs().max() < 0.5


def test_the_results_say_what_they_are():
    u = torch.zeros(2, 3)
    assert Samples(u[0], u[0], u[0]).dependence == "draws"
    assert Chains(u, u).dependence == "chains"
    assert Populations(u, u, u, u.long()).dependence == "populations"


class TestBadInput:
    def test_values_without_weights_of_their_own(self):
        with pytest.raises(ValueError, match="one value per weight, got 3 values and 2 weights"):
            surface(torch.zeros(2), torch.zeros(3), torch.zeros(2), (EDGES, EDGES))

    @pytest.mark.parametrize(("shape", "of"), [((4,), "chains"), ((4,), "populations"), ((2, 2), "draws")])
    def test_another_shape_than_that_of_the_samples(self, shape, of):
        with pytest.raises(ValueError, match=f"log weights of {of} have the shape"):
            profile(torch.zeros(shape), None, EDGES, dependence=of)

    def test_edges(self):
        with pytest.raises(ValueError, match="edges must increase"):
            surface(torch.zeros(2), torch.zeros(2), None, (EDGES, EDGES.flip(0)))

    def test_weights_that_are_all_zero(self):
        with pytest.raises(ValueError, match="all weights are zero"):
            profile(torch.zeros(2, 2), torch.full((2, 2), -torch.inf), EDGES, dependence="populations")

    def test_values_that_are_not_numbers_lie_in_no_bin(self):
        a = torch.tensor([0.5, math.nan, math.inf, 0.5])
        f, _ = profile(a, None, torch.tensor([0.0, 1.0]))
        assert f[0].item() == pytest.approx(math.log(2))
        found = probabilities(torch.tensor([0, 1, 1, 0]), torch.full((4,), 0.25), 1)
        assert found.p.tolist() == [0.5]
