"""The map of RealNVP."""

import pytest
import torch

from lit_bg.spaces import Kind
from lit_bg.transforms import Affine


def test_is_shift_and_scale():
    z, t, s = torch.randn(3, 2, 5)
    x, ladj = Affine(torch.tensor([0, 0]))(z, torch.stack([t, s]))
    scale = torch.exp(3 * torch.tanh(s / 3))
    torch.testing.assert_close(x, scale * z + t)
    torch.testing.assert_close(ladj, scale.log().sum(0))


def test_scale_is_bounded():
    x, _ = Affine(torch.tensor([0]))(torch.ones(1, 2), torch.tensor([0.0, 1e9]).reshape(2, 1, 1).expand(2, 1, 2))
    assert (x < 20.1).all()


def test_circles_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="1 of 2 coordinates are bounded or circular: use 'transform: spline'"):
        Affine(torch.tensor([Kind.LINEAR, Kind.CIRCULAR]))
