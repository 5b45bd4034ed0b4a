"""Compiled code is believed where it gives what eager code gives, values and gradients, and nowhere else."""

import pytest
import torch

from lit_bg.compiling import Trust, compare_outputs, find_wrong, pad
from lit_bg.energies import DW4
from lit_bg.nets import EGNN, ExactDivergence, divergence
from lit_bg.transforms import compiled
from lit_bg.transforms.base import Layer

BREACHES = {
    "values": lambda x, ladj: (1.1 * x, ladj),
    "log-det": lambda x, ladj: (x, ladj + 0.1),
    "one sample in twenty": lambda x, ladj: (x, ladj + (torch.arange(len(ladj)) % 20 == 0)),
    "no gradient": lambda x, ladj: (x.detach(), ladj.detach()),
    "a gradient of another size": lambda x, ladj: (x + 0.2 * (x - x.detach()), ladj),
    "not a number": lambda x, ladj: (x, ladj * torch.nan),
}


class Scaled(Layer):
    """x = w z with a weight for each of two coordinates."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([0.5, 2.0]))

    def forward(self, z, context=None):
        return self.w * z, self.w.log().sum().expand(len(z))

    def inverse(self, x, context=None):
        return x / self.w, -self.w.log().sum().expand(len(x))


def test_padding_repeats_the_last_row():
    x = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(pad(x, 5), x[[0, 1, 2, 2, 2]])
    assert pad(x, 3) is x


def test_rounding_is_not_wrong_and_infinities_are_equal():
    eager = torch.tensor([1.0, 1e6, torch.inf, -torch.inf, torch.nan, 0.0])
    assert not find_wrong(eager * (1 + 1e-5) + 1e-6, eager).any()
    assert find_wrong(torch.tensor([torch.inf, torch.nan, 1.0]), torch.tensor([-torch.inf, 1.0, torch.inf])).all()


def test_trust_is_asked_for_once_and_again_where_nothing_was_finite():
    trust, asked = Trust(), []

    def compare(fine, wrong):
        asked.append(0)
        return torch.tensor(fine), torch.tensor(wrong)

    assert not trust.holds("it", "a", lambda: compare([False], [False]))
    assert trust.holds("it", "a", lambda: compare([True], [False]))
    assert trust.holds("it", "a", lambda: compare([True], [True]))
    assert len(asked) == 2
    with pytest.warns(UserWarning, match="it gave wrong values for 1 of 2 configurations; it is evaluated without"):
        assert not trust.holds("it", "b", lambda: compare([True, True], [True, False]))
    with pytest.warns(UserWarning, match="it failed: RuntimeError: no compiler"):
        assert not trust.holds("it", "c", lambda: (_ for _ in ()).throw(RuntimeError("no compiler")))
    assert trust.holds("it", "d", lambda: compare([True] * 200, [True] + [False] * 199), tolerated=0.01)


def test_gradients_count_where_there_are_any():
    w = torch.tensor([2.0], requires_grad=True)
    x = torch.tensor([[1.0], [2.0]])
    fine, wrong = compare_outputs([w * x], [w * x], [w])
    assert fine.all()
    assert not wrong.any()
    assert compare_outputs([w.detach() * x + 0.5 * (w - w.detach())], [w * x], [w])[1].all()


@pytest.mark.parametrize("way", ["push", "pull"])
@pytest.mark.parametrize("breach", BREACHES)
def test_a_wrongly_compiled_transform_is_evaluated_without(breach, way, monkeypatch):
    layer = Scaled()

    def broken(eager):
        def fast(transform, z, context):
            x, ladj = BREACHES[breach](*(part.T if part.ndim > 1 else part for part in eager(transform, z, context)))
            return x.T, ladj

        return fast

    monkeypatch.setattr(compiled, "_compiled", lambda: (broken(compiled._push), broken(compiled._pull)))
    z = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="torch.compile of Scaled gave wrong values"):
        x, ladj = getattr(compiled, way)(layer, z)
    right, right_ladj = layer(z, None) if way == "push" else layer.inverse(z, None)
    assert torch.equal(x, right)
    assert torch.equal(ladj, right_ladj)


@pytest.mark.parametrize("breach", BREACHES)
def test_a_wrongly_compiled_divergence_is_evaluated_without(breach, monkeypatch):
    field = EGNN(1, 4).build(DW4())
    for parameter in field.parameters():  # off its start at rest
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))

    def fast(*inputs):
        return BREACHES[breach](*divergence._eager(*inputs))

    monkeypatch.setattr(divergence, "_compiled", lambda: fast)
    x, t = torch.randn(20, 4, 2, generator=torch.Generator().manual_seed(0)), torch.full((20,), 0.3)
    with pytest.warns(UserWarning, match="torch.compile of EGNN gave wrong values"):
        v, rate = ExactDivergence(compile=True)(field, t, x, None)
    right, right_rate = field.with_divergence(t, x, None)
    torch.testing.assert_close(v, right)
    torch.testing.assert_close(rate, right_rate)
