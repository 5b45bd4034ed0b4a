"""The network of the coupling layers."""

import pytest
import torch

from lit_bg.nets import MLP


def perturbed(n_in=3, n_out=6, hidden=(8, 5)):
    torch.manual_seed(0)
    net = MLP(n_in, n_out, hidden).double()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return net


def test_starts_at_zero():
    assert MLP(3, 6)(torch.randn(4, 3)).abs().max() == 0


def test_is_the_composition_of_its_layers():
    net, x = perturbed(), torch.randn(4, 3, dtype=torch.float64)
    y = x
    for layer in net.layers:
        y = layer.weight @ y.T + layer.bias[:, None]
        y = (y * torch.sigmoid(y)).T
    torch.testing.assert_close(net(x), y @ net.weight.T + net.bias)


def test_batch_is_the_fast_axis():
    assert perturbed()(torch.randn(4, 3, dtype=torch.float64)).T.is_contiguous()


def test_no_hidden_layer_is_a_linear_map():
    net = perturbed(hidden=())
    a, b = torch.randn(2, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(net(a + b) + net(0 * a), net(a) + net(b))


def test_a_layer_without_units_is_refused():
    with pytest.raises(ValueError, match=r"at least one unit, got widths \[3, 0, 6\]"):
        MLP(3, 6, hidden=(0,))
