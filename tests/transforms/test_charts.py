"""Charts of plain vectors: location and scale."""

import pytest
import torch

from lit_bg.energies.base import Energy
from lit_bg.spaces import Domain, Kind, Particles, Vectors
from lit_bg.transforms import Permutation, Standardize, Whitening


class Somewhere(Energy):
    def __init__(self, *kinds, shape=None):
        super().__init__()
        domain = Domain(torch.as_tensor(kinds), torch.full((len(kinds),), 1.0), torch.full((len(kinds),), 4.0))
        self.space = Particles(*shape) if shape else Vectors(len(kinds), domain)

    def potential(self, x):
        return 0 * x.sum(-1)


def correlated(n=500):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    return x @ torch.tensor([[2.0, 0.3, 0.0], [0.0, 0.5, 1.0], [0.0, 0.0, 3.0]]) + torch.tensor([5.0, -3.0, 0.0])


def test_standardize_maps_intervals_to_the_unit_box():
    chart = Standardize(loc=7.0, scale=2.0).build(Somewhere(Kind.LINEAR, Kind.BOUNDED, Kind.CIRCULAR))
    x, ladj = chart(torch.tensor([[0.0, -1.0, 1.0]]))
    torch.testing.assert_close(x, torch.tensor([[7.0, 1.0, 4.0]]))
    torch.testing.assert_close(ladj, torch.tensor([2 * 1.5 * 1.5]).log())
    turned = chart.inverse(torch.tensor([[7.0, 1.0, 4.0 + 3.0 * 5 - 0.75]]))[0]  # five turns on
    torch.testing.assert_close(turned, torch.tensor([[0.0, -1.0, 0.5]]))


def test_standardize_takes_mean_and_deviation_of_lines_only():
    chart = Standardize().build(Somewhere(Kind.LINEAR, Kind.LINEAR, Kind.CIRCULAR))
    x = correlated()
    chart.adapt(x)
    z = chart.inverse(x)[0]
    torch.testing.assert_close(z[:, :2].mean(0), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(z[:, :2].std(0, correction=0), torch.ones(2), rtol=1e-5, atol=0)
    assert chart.scale[2] == 1.5


def test_whitening_decorrelates():
    chart = Whitening().build(Somewhere(0, 0, 0))
    x = correlated()
    chart.adapt(x)
    torch.testing.assert_close(chart.inverse(x)[0].T.cov(), torch.eye(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(chart(chart.inverse(x)[0])[0], x, rtol=0, atol=1e-4)


def test_what_data_gave_is_in_the_state_dict():
    for chart in (Standardize(), Whitening()):
        chart.build(Somewhere(0, 0, 0)).adapt(correlated())
        fresh = type(chart)().build(Somewhere(0, 0, 0))
        fresh.load_state_dict(chart.state_dict())
        assert torch.equal(fresh(torch.ones(1, 3))[0], chart(torch.ones(1, 3))[0])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Standardize(scale=0), "positive scale, got 0"),
        (lambda: Standardize().build(Somewhere(*[0] * 6, shape=(2, 3))), "2 particles in 3 dimensions, of which 3"),
        (lambda: Standardize().build(Somewhere(0, 0)).adapt(torch.ones(9, 2)), r"coordinates \[0, 1\] do not vary"),
        (lambda: Standardize().build(Somewhere(0)).adapt(torch.ones(1, 1)), r"\[0\] do not vary over the 1 frames"),
        (lambda: Whitening().build(Somewhere(0, Kind.BOUNDED)), "1 of the 2 of Somewhere are bounded or circular"),
        (lambda: Whitening().build(Somewhere(0, 0, 0)).adapt(correlated(3)), "3 frames has rank 2 of 3"),
        (lambda: Whitening().build(Somewhere(0, 0)).adapt(torch.ones(1, 2)), "at least two frames of data, got 1"),
        (lambda: Permutation(torch.tensor([0, 0])), "holds each of 0..1 once"),
    ],
)
def test_what_does_not_fit_is_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()
