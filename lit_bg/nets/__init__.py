"""Networks that generators are built from."""

from lit_bg.nets.mlp import MLP

__all__ = ["MLP"]
