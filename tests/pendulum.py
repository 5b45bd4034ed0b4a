"""A system of which nothing is known, not even exact samples."""

import torch

from lit_bg.energies import Energy
from lit_bg.spaces import Vectors


class Pendulum(Energy):
    """U(x) = -cos(x1) + 0.6 x1^2 + 0.7 x2^2."""

    space = Vectors(2)

    def potential(self, x):
        return -torch.cos(x[..., 0]) + 0.6 * x[..., 0] ** 2 + 0.7 * x[..., 1] ** 2
