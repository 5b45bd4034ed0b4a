"""Every simulator in small, and simulations by every kind of kernel."""

import inspect

from lit_bg import simulators
from lit_bg.energies import Gaussian
from lit_bg.kernels import HMC, MALA, Cycle, Exchange, Langevin, Metropolis, Mixture, OverdampedLangevin
from lit_bg.simulators import Exact, ReplicaExchange, Simulation, Simulator, Temperatures

CLASSES = [
    name
    for name in simulators.__all__
    if isinstance(getattr(simulators, name), type)
    and issubclass(getattr(simulators, name), Simulator)
    and not inspect.isabstract(getattr(simulators, name))
    and not name.startswith("OpenMM")  # their system is a molecule, and their tests are there
]


def few(kernel, stride=3, burn_in=2):
    return Simulation(kernel, frames=5, walkers=4, stride=stride, burn_in=burn_in)


STEPWISE = {
    "HMC": lambda: few(HMC(0.1, 3), 2, 50),
    "Langevin": lambda: few(Langevin(0.05, 6), 1, 2),
    "MALA": lambda: few(MALA(0.3, 0.574), 3, 60),
    "Metropolis": lambda: few(Metropolis(0.5)),
    "OverdampedLangevin": lambda: few(OverdampedLangevin(0.01, 3), 1, 2),
    "Cycle": lambda: few(Cycle([MALA(0.3, 0.574), Langevin(0.05, 3)]), 2, 55),
    "Mixture": lambda: few(Mixture([Metropolis(0.5), OverdampedLangevin(0.01, 2), Langevin(0.05, 2)])),
    "ReplicaExchange": lambda: ReplicaExchange(
        Langevin(0.05, 2), Temperatures(4.0, 3, 5, also=[2.0]), frames=5, walkers=4, stride=3, burn_in=4
    ),
    "TunedExchange": lambda: ReplicaExchange(
        HMC(0.1, 3), Temperatures(4.0, pilot=60, also=[2.0]), frames=5, walkers=4, stride=2, burn_in=55
    ),
}
ON_LINES = {
    "Exchange": lambda: few(Exchange(Langevin(0.05, 2), [Gaussian(3), Gaussian(3, kT=2.0)])),
}
SMALL = {
    "Exact": lambda: Exact(frames=20),
    "ReplicaExchange": STEPWISE["ReplicaExchange"],
    "Simulation": STEPWISE["Metropolis"],
}
