"""Generators that are not trained, with a density that is not that of any target here."""

import math

import torch

from lit_bg.bases import Normal
from lit_bg.energies.meter import Meter
from lit_bg.generators import CouplingFlow
from lit_bg.generators.base import Generator
from lit_bg.generators.transport import Transport


def flow_for(energy, by=0.05, seed=0, scale=1.3):
    """A flow with a map that bends, in double precision, the same wherever it is built; `scale` widens what it proposes."""
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # modules are collected in the order of those asked for
        torch.manual_seed(seed)
        flow = CouplingFlow(blocks=2, hidden=(16,)).build(energy)
    x = energy.exact_samples(1000, random)
    flow.adapt(x.mean(0) + scale * (x - x.mean(0)))
    with torch.no_grad():
        for p in flow.parameters():
            p += by * torch.randn(p.shape, generator=random)
    return flow.requires_grad_(False).double()


class Breathing(Transport):
    r"""Particles without a centre of mass, wider or narrower by a factor of their size: $x = a z\, (1 + b \tanh |z|^2 / D)$.

    Along z it stretches by $a (1 + b \tanh s + 2 b s / \cosh^2 s)$, s = |z|^2 / D, across by $a (1 + b \tanh s)$.
    """

    def build(self, energy):
        self.event_shape, self.dof = energy.space.shape, energy.space.dof
        self.a, self.b = 0.45, 0.3
        self.prior = Normal().build(energy)
        return self.double()

    def forward(self, z, context=None):
        s = z.square().flatten(1).sum(1) / self.dof
        across = self.a * (1 + self.b * s.tanh())
        along = across + 2 * self.a * self.b * s / s.cosh() ** 2
        return across[:, None, None] * z, (self.dof - 1) * across.log() + along.log()

    def inverse(self, x, context=None):
        length, low = x.flatten(1).norm(dim=1), torch.zeros(len(x), dtype=x.dtype)
        high = length / self.a
        for _ in range(60):
            r = (low + high) / 2
            over = self.a * r * (1 + self.b * (r**2 / self.dof).tanh()) > length
            low, high = torch.where(over, low, r), torch.where(over, r, high)
        z = x * ((low + high) / 2 / length)[:, None, None]
        return z, -self(z)[1]


class Normals(Generator):
    """Independent normal coordinates, in double precision."""

    def __init__(self, width=1.0, at=0.0):
        super().__init__()
        self.width, self.at = width, at

    def build(self, energy):
        self.event_shape = energy.space.shape
        return self

    def sample(self, n, rng, context=None):
        z = torch.randn(n, *self.event_shape, generator=rng, dtype=torch.float64)
        return self.at + self.width * z, self._density(z)

    def log_prob(self, x, context=None):
        return self._density((x - self.at) / self.width)

    def _density(self, z):
        return (-0.5 * z**2 - 0.5 * math.log(2 * math.pi) - math.log(self.width)).flatten(1).sum(1)


class OtherTemperature(Generator):
    r"""The system itself at another temperature, by its exact sampler: proposals of any ESS that is wanted, without training.

    $\log q = -u / \tau - \ln Z(\tau)$, with $\tau$ the ratio of both temperatures. Of hotter proposals weights are bounded; of
    colder ones they are not, of index $k = 1 - \tau$ where the energy is harmonic. For the ESS see `ess_between`.
    """

    def __init__(self, kT):
        super().__init__()
        self.kT = torch.nn.Parameter(torch.tensor(kT, dtype=torch.float64), requires_grad=False)

    def build(self, energy):
        self.event_shape = energy.space.shape
        self.other = energy.at(self.kT.item())
        self.other.meter = Meter()  # a density of the generator is no energy of the target
        self.log_Z = self.other.log_Z
        return self

    def sample(self, n, rng, context=None):
        x = self.other.exact_samples(n, rng).double()
        return x, self.log_prob(x)

    def log_prob(self, x, context=None):
        return -self.other(x) - self.log_Z


def ess_between(energy, kT):
    r"""Return the ESS of `OtherTemperature`, $Z^2 / (Z(\tau) Z')$, with Z' at the inverse temperature $2 - 1/\tau$."""
    squared = energy.kT / (2 - energy.kT / kT)
    return math.exp(2 * energy.log_Z - energy.at(kT).log_Z - energy.at(squared).log_Z)
