"""Splines on lines, intervals and circles."""

import pytest
import torch

from lit_bg.spaces import Kind
from lit_bg.transforms import Spline, bins
from lit_bg.transforms.spline import LINEAR_BOUND
from lit_bg.transforms.unrolled_bins import FindUnrolled

KINDS = torch.tensor([Kind.LINEAR, Kind.BOUNDED, Kind.CIRCULAR])


def points(n=64, dtype=torch.float64):
    return 2 * torch.rand(3, n, generator=torch.Generator().manual_seed(0), dtype=dtype) - 1


def params(spline, n=64, scale=1.0, dtype=torch.float64):
    return scale * torch.randn(spline.n_params, 3, n, generator=torch.Generator().manual_seed(1), dtype=dtype)


def test_zero_parameters_are_the_identity():
    spline = Spline(KINDS).double()
    z = torch.cat([points(), 7 * points()[:, :0]], 1)
    for run in (spline, spline.inverse):
        x, ladj = run(z, torch.zeros(spline.n_params, 3, 64, dtype=torch.float64))
        torch.testing.assert_close(x, z, rtol=0, atol=1e-14)
        assert ladj.abs().max() < 1e-14


@pytest.mark.parametrize("run", ["forward", "inverse"])
def test_gradients_of_first_and_second_order(run):
    spline = Spline(KINDS, bins=4).double()
    z = points(2).requires_grad_()
    p = params(spline, 2).requires_grad_()
    assert torch.autograd.gradcheck(getattr(spline, run), (z, p))
    assert torch.autograd.gradgradcheck(getattr(spline, run), (z, p))  # force matching needs it


def test_circle_closes_smoothly():
    spline = Spline(KINDS[2:]).double()
    p = params(spline)[:, :1]
    z = points()[:1]
    ends = torch.tensor([[-1.0, 1.0]], dtype=torch.float64).repeat(1, 32)
    x, _ = spline(ends, p[..., :1].expand(-1, -1, 64))
    assert ((x[0, 0] - x[0, 1] + 1) % 2 - 1).abs() < 1e-12
    # Carrying the start once around changes nothing, slope included.
    for shift in (2.0, -4.0):
        torch.testing.assert_close(spline(z + shift, p), spline(z, p))
    near = torch.tensor([[-1.0 + 1e-9, 1.0 - 1e-9]], dtype=torch.float64)
    shifted = near - spline._split(p[..., :1].expand(-1, -1, 2))[5]  # the seam lies where the shift puts it
    slopes = torch.autograd.functional.jacobian(lambda z: spline(z, p[..., :1].expand(-1, -1, 2))[0].sum(), shifted)
    torch.testing.assert_close(slopes[0, 0], slopes[0, 1], rtol=1e-6, atol=0)


def test_tails_of_a_line_are_affine():
    spline = Spline(KINDS[:1]).double()
    p = params(spline, 1)[:, :1]
    far = LINEAR_BOUND + torch.tensor([[1.0, 2.0, 5.0]], dtype=torch.float64)
    x, ladj = spline(far, p.expand(-1, -1, 3))
    slope = (x[0, 1] - x[0, 0]).log()
    torch.testing.assert_close((x[0, 2] - x[0, 1]).log() - torch.tensor(3.0).log().double(), slope)
    torch.testing.assert_close(ladj, slope.expand(3))


def test_slope_is_continuous_at_the_knots():
    spline = Spline(KINDS[1:2], bins=4).double()
    p = params(spline, 1)[:, :1]
    knot = (bins.lengths(p[:4, 0, 0]).cumsum(0) - 1)[:3]
    below, above = (spline(knot[None] + e, p.expand(-1, -1, 3)) for e in (-1e-9, 1e-9))
    torch.testing.assert_close(below[0], above[0], rtol=0, atol=1e-7)
    torch.testing.assert_close(below[1], above[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_violent_parameters_stay_finite_and_inside(dtype):
    spline = Spline(KINDS).to(dtype)
    p, z = params(spline, 64, 30.0, dtype), points(64, dtype)
    for run in (spline, spline.inverse):
        x, ladj = run(z, p)
        assert torch.isfinite(x).all()
        assert torch.isfinite(ladj).all()
        assert (x[1:].abs() <= 1 + 1e-5).all()


class TestTheFormForCompilers:
    """The same functions and gradients, in float64, run without a compiler: `test_compiled_is_eager` runs them with one."""

    @pytest.mark.parametrize("by_height", [False, True])
    def test_finds_the_same_bins(self, by_height):
        K, z = 5, points()
        w, h, s = params(Spline(KINDS, bins=K))[:-2].split([K, K, K - 1])
        gathered = bins._gathered(z, w, h, s, by_height)
        unrolled = FindUnrolled.apply(z, bins.MIN_BIN, by_height, w, h, *w, *h, *s)
        for a, b in zip(gathered, unrolled, strict=True):
            torch.testing.assert_close(a, b, check_dtype=False, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("by_height", [False, True])
    def test_gradient_is_that_of_finite_differences(self, by_height):
        K, z = 3, points(4)
        single = [row.requires_grad_() for row in params(Spline(KINDS, bins=K), 4)[:-2]]

        def found(*rows):
            w, h = (torch.stack(rows[i : i + K]).detach() for i in (0, K))
            return FindUnrolled.apply(z, bins.MIN_BIN, by_height, w, h, *rows)[:-1]

        assert torch.autograd.gradcheck(found, single)

    @pytest.mark.parametrize("n", [1, 64])
    @pytest.mark.parametrize("run", ["forward", "inverse"])
    def test_makes_the_same_spline(self, run, n, monkeypatch):
        spline, results = Spline(KINDS).double(), []
        z = points(n)
        z[0] *= 2 * LINEAR_BOUND  # half of them in the tails
        weights = torch.randn(2, 3, n, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        for compiling in (False, True):
            monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
            at, p = z.clone().requires_grad_(), params(spline, n).requires_grad_()
            x, ladj = getattr(spline, run)(at, p)
            value = (weights[0] * x).sum() + (weights[1, 0] * ladj).sum()
            results.append([x, ladj, *torch.autograd.grad(value, [at, p])])
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_bins_out_of_range_are_refused():
    with pytest.raises(ValueError, match="between 2 and 100 bins, got bins=1"):
        Spline(KINDS, bins=1)
