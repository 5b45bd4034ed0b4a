"""Laws of every exported transform: it is a bijection, and its ladj is that of its Jacobian."""

import copy
import inspect

import pytest
import torch

from lit_bg import transforms
from lit_bg.energies.base import Energy
from lit_bg.spaces import Domain, Kind, Vectors
from lit_bg.transforms import (
    Affine,
    Chain,
    CircularMarginals,
    Coupling,
    Elementwise,
    Permutation,
    Spline,
    Standardize,
    Whitening,
)

LINE, BOX, RING = Kind.LINEAR, Kind.BOUNDED, Kind.CIRCULAR
MIXED = torch.tensor([LINE, BOX, RING, RING, LINE])


class Somewhere(Energy):
    """Coordinates of given kinds on [1, 4], no forces."""

    def __init__(self, kinds):
        super().__init__()
        domain = Domain(torch.as_tensor(kinds), torch.full((len(kinds),), 1.0), torch.full((len(kinds),), 4.0))
        self.space = Vectors(len(kinds), domain)

    def potential(self, x):
        return 0 * x.sum(-1)


def adapted(chart, kinds):
    chart.build(Somewhere(kinds)).double()  # before the data: axes are orthogonal to the precision they are kept in
    x = torch.randn(50, len(kinds), generator=torch.Generator().manual_seed(3))
    chart.adapt(2 + 0.3 * x + x.roll(1, -1))
    return chart


def peaked(marginals):
    """One angle with a peak, one with a peak where the circle closes."""
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    marginals.double().adapt((0.2 * x + torch.tensor([0.3, 1.0]) + 1) % 2 - 1)
    return marginals


def lines(n):
    return torch.full((n,), int(LINE))


CASES = {
    "coupling, spline": (lambda: Coupling(Spline(MIXED[2:]), MIXED[:2], hidden=(9,)), MIXED),
    "coupling, spline, second half stays": (lambda: Coupling(Spline(MIXED[:3], bins=3), MIXED[3:], (9,), False), MIXED),
    "coupling, affine": (lambda: Coupling(Affine(lines(2)), MIXED[:3], hidden=(9,)), torch.tensor([0, 1, 2, 0, 0])),
    "elementwise, spline": (lambda: Elementwise(Spline(MIXED)), MIXED),
    "elementwise, affine": (lambda: Elementwise(Affine(lines(2))), lines(2)),
    "permutation": (lambda: Permutation(torch.tensor([2, 0, 1])), lines(3)),
    "chain": (
        lambda: Chain([Elementwise(Spline(lines(3), bins=4)), Permutation(torch.tensor([2, 0, 1]))]),
        lines(3),
    ),
    "standardize": (lambda: adapted(Standardize(), MIXED), MIXED),
    "whitening": (lambda: adapted(Whitening(), lines(3)), lines(3)),
    "marginals": (lambda: peaked(CircularMarginals(2, knots=12)), torch.tensor([RING, RING])),
}
ELSEWHERE = {"InternalCoordinates", "MixedCoordinates", "PeriodicCell"}  # under laws of molecules and of particles


def make(case, dtype=torch.float64):
    """The transform with parameters far from the identity, and points of its domain, some far out."""
    torch.manual_seed(1)
    factory, kinds = CASES[case]
    transform = factory().double()
    for p in transform.parameters():
        torch.nn.init.normal_(p, std=0.5)
    rng = torch.Generator().manual_seed(2)
    z = torch.randn(20, len(kinds), generator=rng, dtype=torch.float64)
    z[0] *= 9  # beyond the bound of the splines
    z = torch.where(kinds == LINE, z, 2 * torch.rand(z.shape, generator=rng, dtype=torch.float64) - 1)
    return transform.to(dtype), z.to(dtype)


def on_ring(difference, kinds):
    """Distances, along the circle where there is one."""
    return torch.where(kinds == RING, (difference + 1) % 2 - 1, difference)


def test_every_exported_transform_is_under_law():
    exported = {
        name
        for name in transforms.__all__
        if inspect.isclass(c := getattr(transforms, name)) and issubclass(c, transforms.Transform) and not inspect.isabstract(c)
    }
    assert exported - ELSEWHERE == {type(factory()).__name__ for factory, _ in CASES.values()}


@pytest.mark.parametrize("case", CASES)
class TestEveryTransform:
    def test_shapes_and_no_sample_sees_its_neighbours(self, case):
        transform, z = make(case)
        x, ladj = transform(z)
        assert x.shape == z.shape
        assert ladj.shape == (20,)
        x3, ladj3 = transform(z[3:4])
        torch.testing.assert_close(x[3:4], x3)
        torch.testing.assert_close(ladj[3:4], ladj3)

    def test_moves_something(self, case):
        transform, z = make(case)
        assert (transform(z)[0] - z).abs().max() > 0.1

    def test_inverse_undoes_forward(self, case):
        transform, z = make(case)
        x, ladj = transform(z)
        back, ladj_back = transform.inverse(x)
        assert on_ring(back - z, CASES[case][1]).abs().max() < 1e-8
        torch.testing.assert_close(ladj_back, -ladj, rtol=0, atol=1e-7)

    def test_ladj_is_the_slogdet_of_the_jacobian(self, case):
        transform, z = make(case)
        for f, at in ((transform.forward, z), (transform.inverse, transform(z)[0].detach())):
            for i in range(5):
                jacobian = torch.autograd.functional.jacobian(lambda z, f=f: f(z)[0][0], at[i : i + 1])[:, 0]
                torch.testing.assert_close(f(at)[1][i], torch.linalg.slogdet(jacobian)[1], rtol=0, atol=1e-8)

    def test_intervals_are_kept(self, case):
        transform, z = make(case)
        if case == "permutation" or isinstance(transform, transforms.Chart):
            return
        held = CASES[case][1] != LINE
        assert (transform(z)[0][:, held].abs() <= 1 + 1e-12).all()

    def test_gradients_reach_every_parameter(self, case):
        transform, z = make(case)
        for run in (transform.forward, transform.inverse):
            transform.zero_grad()
            x, ladj = run(z)
            loss = x.square().sum() + ladj.sum()
            if not loss.requires_grad:
                return  # nothing to train
            loss.backward()
            assert all(p.grad is not None and p.grad.abs().max() > 0 for p in transform.parameters())

    def test_state_dict_and_copies_carry_everything(self, case):
        transform, z = make(case)
        x = transform(z)[0]
        torch.manual_seed(99)
        other = CASES[case][0]().double()
        other.load_state_dict(transform.state_dict())
        assert torch.equal(other(z)[0], x)
        assert torch.equal(copy.deepcopy(transform)(z)[0], x)

    def test_float32_is_good_enough_for_weights(self, case):
        transform, z = make(case, torch.float32)
        x, ladj = transform(z)
        back, ladj_back = transform.inverse(x)
        _, exact = make(case)[0](z.double())
        assert on_ring(back - z, CASES[case][1]).abs().max() < 1e-3
        assert (ladj - exact).abs().max() < 1e-3
        assert (ladj + ladj_back).abs().max() < 5e-3
