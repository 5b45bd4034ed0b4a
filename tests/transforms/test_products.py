"""The products of compiled code."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from lit_bg.transforms.products import ProductsByOneDNN

product = torch.ops.lit_bg.product.default


def randn(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def rewritten(function, *args):
    graph = make_fx(function, tracing_mode="fake")(*args)
    ProductsByOneDNN()(graph.graph)
    graph.recompile()
    return graph, [node.target for node in graph.graph.nodes]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
class TestProducts:
    @pytest.mark.parametrize("shape", [(1, 1, 1), (7, 1, 3), (1, 5, 1), (136, 40, 1), (33, 129, 65)])
    @pytest.mark.parametrize("transposed", [(a, b) for a in (False, True) for b in (False, True)])
    def test_any_layout(self, shape, transposed):
        m, k, n = shape
        a, b = (randn(*s[::-1]).T if t else randn(*s) for s, t in zip(((m, k), (k, n)), transposed, strict=True))
        found = product(a, b)
        torch.testing.assert_close(found.double(), a.double() @ b.double(), rtol=1e-5, atol=1e-5)
        assert found.is_contiguous()
        torch.testing.assert_close(product(a[::2], b[:, ::2]), found[::2, ::2])
        torch.testing.assert_close(product(a[:, : k // 2 + 1], b[: k // 2 + 1]), a[:, : k // 2 + 1] @ b[: k // 2 + 1])

    def test_one_number_for_a_row(self):
        a, b = randn(4, 3), randn(3, 1).expand(3, 5)
        torch.testing.assert_close(product(a, b), a @ b)

    def test_a_graph_keeps_its_values(self):
        def layers(bias, w, x):
            return torch.addmm(bias[:, None], w, x).relu() @ x.T

        args = randn(5), randn(5, 3), randn(3, 8)
        graph, targets = rewritten(layers, *args)
        assert targets.count(product) == 2
        assert not {torch.ops.aten.mm.default, torch.ops.aten.addmm.default} & set(targets)
        torch.testing.assert_close(graph(*args), layers(*args))

    @pytest.mark.parametrize(
        ("function", "args"),
        [
            (torch.mm, (randn(5, 3, dtype=torch.float64), randn(3, 8, dtype=torch.float64))),
            (torch.mm, (randn(5, 3), randn(3, 0))),
            (lambda b, w, x: torch.addmm(b, w, x, beta=0.5), (randn(5, 1), randn(5, 3), randn(3, 8))),
        ],
        ids=["float64", "empty", "scaled"],
    )
    def test_what_it_leaves_alone(self, function, args):
        graph, targets = rewritten(function, *args)
        assert product not in targets
        torch.testing.assert_close(graph(*args), function(*args))
