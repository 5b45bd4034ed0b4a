"""Matrix products of compiled code, by oneDNN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

aten = torch.ops.aten

# Without the tag the compiler would copy a factor that is stored transposed.
torch.library.define("lit_bg::product", "(Tensor a, Tensor b) -> Tensor", tags=(torch.Tag.flexible_layout,))


@torch.library.impl("lit_bg::product", "cpu")
def _product(a: Tensor, b: Tensor) -> Tensor:
    b = b if min(b.stride()) == 1 else b.contiguous()  # oneDNN takes rows or columns of any distance, but no gaps in them
    return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")


@torch.library.register_fake("lit_bg::product")
def _shape_of_product(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


class ProductsByOneDNN(CustomGraphPass):
    """Gives the products of float32 matrices on a CPU to oneDNN; a pass of torch.compile, values and gradients alike.

    `torch.mm` asks MKL, which uses AVX-512 on processors of Intel only; oneDNN uses it on all, in full float32
    too. The first factor had better be stored by rows, the other may be transposed. A bias is added apart, and the compiler
    adds it where the product is read.
    """

    def __call__(self, graph: fx.Graph) -> None:
        for node in list(graph.nodes):
            if node.target is aten.mm.default and _fits(node, *node.args):
                self._replace(node, None, *node.args)
            elif node.target is aten.addmm.default and not node.kwargs and _fits(node, *node.args[1:]):
                self._replace(node, *node.args)
        graph.lint()

    def uuid(self) -> Any:
        """Return what changes with this file, so that code compiled before a change is not taken from a cache."""
        return get_hash_for_files((__file__,))

    def _replace(self, node: fx.Node, bias: Any, a: Any, b: Any) -> None:
        graph, value = node.graph, node.meta["val"]
        with graph.inserting_before(node):
            new = graph.call_function(torch.ops.lit_bg.product.default, (a, b))
            new.meta["val"] = value.new_empty(value.shape)
            if bias is not None:
                new = graph.call_function(aten.add.Tensor, (new, bias))
                new.meta["val"] = value
        node.replace_all_uses_with(new)
        graph.erase_node(node)


def _fits(node: fx.Node, a: Any, b: Any) -> bool:
    value = node.meta["val"]
    filled = all(size > 0 for factor in (a, b) for size in factor.meta["val"].shape)
    return torch.backends.mkldnn.is_available() and value.device.type == "cpu" and value.dtype == torch.float32 and filled
