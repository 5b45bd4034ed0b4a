"""Every simulator in small, and a system of particles on which the answer is known."""

import inspect

import torch
from lit_bg.samplers import HMC, MALA, Exact, Langevin, Metropolis, OverdampedLangevin, ReplicaExchange, Simulator

from lit_bg import samplers
from lit_bg.energies import Energy

SMALL = {
    "Exact": lambda: Exact(frames=20),
    "HMC": lambda: HMC(frames=5, walkers=4, stride=2, burn_in=50, step_size=0.1, steps=3),
    "Langevin": lambda: Langevin(frames=5, walkers=4, interval=0.3, time_step=0.05, burn_in=0.4),
    "MALA": lambda: MALA(frames=5, walkers=4, stride=3, burn_in=60, step_size=0.3, target_acceptance=0.574),
    "Metropolis": lambda: Metropolis(frames=5, walkers=4, stride=3, burn_in=2, step_size=0.5),
    "OverdampedLangevin": lambda: OverdampedLangevin(frames=5, walkers=4, interval=0.03, time_step=0.01, burn_in=0.05),
    "ReplicaExchange": lambda: ReplicaExchange(
        frames=5, walkers=4, interval=0.3, time_step=0.05, burn_in=0.4, max_temperature=4.0, rungs=3, pilot=0.5, also=[2.0]
    ),
}
CLASSES = [
    name
    for name in samplers.__all__
    if isinstance(getattr(samplers, name), type)
    and issubclass(getattr(samplers, name), Simulator)
    and not inspect.isabstract(getattr(samplers, name))
    and not name.startswith("OpenMM")  # their system is a molecule, and their tests are there
]


STEPWISE = [name for name in CLASSES if issubclass(getattr(samplers, name), samplers.Chain)]


class Springs(Energy):
    r"""N particles of different masses, every two joined by a spring: $U = \frac{k}{2} \sum_{i<j} |x_i - x_j|^2$.

    It does not see translations: (N - 1) d degrees of freedom, each with kT / 2, and <|x_i - x_j|^2> = 2 d kT / (k N).
    """

    symmetries = frozenset({"translation", "rotation", "reflection"})

    def __init__(self, n=4, d=3, k=2.0, kT=1.0):
        super().__init__(kT)
        self.event_shape, self.k = (n, d), k

    def potential(self, x):
        n = self.event_shape[0]
        return 0.5 * self.k * n * ((x - x.mean(1, keepdim=True)) ** 2).flatten(1).sum(-1)

    @property
    def masses(self):
        return torch.arange(1.0, self.event_shape[0] + 1)

    @property
    def initial(self):
        x = torch.randn(3, *self.event_shape, generator=torch.Generator().manual_seed(0))
        return x + 5.0  # off centre


def silent(done, total, state):
    pass


def rng(seed=0):
    return torch.Generator().manual_seed(seed)
