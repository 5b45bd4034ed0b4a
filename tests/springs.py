"""Particles joined by springs, on which everything is known."""

import math

import torch

from lit_bg.energies import Energy
from lit_bg.spaces import Particles


class Springs(Energy):
    r"""N particles of different masses, every two joined by a spring: $U = \frac{k}{2} \sum_{i<j} |x_i - x_j|^2$.

    It does not see translations: (N - 1) d degrees of freedom, each with kT / 2, and <|x_i - x_j|^2> = 2 d kT / (k N).
    """

    symmetries = frozenset({"translation", "rotation", "reflection"})

    def __init__(self, n=4, d=3, k=2.0, kT=1.0):
        super().__init__(kT)
        self.space, self.n, self.d, self.k = Particles(n, d), n, d, k

    def potential(self, x):
        return 0.5 * self.k * self.n * ((x - x.mean(1, keepdim=True)) ** 2).flatten(1).sum(-1)

    @property
    def masses(self):
        return torch.arange(1.0, self.n + 1)

    @property
    def initial(self):
        x = torch.randn(3, self.n, self.d, generator=torch.Generator().manual_seed(0))
        return x + 5.0  # off centre

    def exact_samples(self, n, rng):
        return math.sqrt(self.kT / (self.k * self.n)) * self.space.noise(n, rng)


def silent(done, total, state):
    pass


def rng(seed=0):
    return torch.Generator().manual_seed(seed)
