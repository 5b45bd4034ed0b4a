"""Systems to sample, each with what is known of it exactly."""

from lit_bg.energies.base import Energy, Modes, Observable
from lit_bg.energies.bistable_dimer import BistableDimer
from lit_bg.energies.condition import Condition
from lit_bg.energies.coulomb_gas import CoulombGas
from lit_bg.energies.double_well import DoubleWell
from lit_bg.energies.dw4 import DW4
from lit_bg.energies.funnel import Funnel
from lit_bg.energies.gaussian import Gaussian
from lit_bg.energies.gaussian_mixture import GaussianMixture
from lit_bg.energies.ising import Ising
from lit_bg.energies.lennard_jones import LennardJones
from lit_bg.energies.lennard_jones_solid import LennardJonesSolid
from lit_bg.energies.many_well import ManyWell
from lit_bg.energies.molecule import Molecule
from lit_bg.energies.mueller_brown import MuellerBrown
from lit_bg.energies.pair_energy import PairEnergy
from lit_bg.energies.tempered import Tempered
from lit_bg.energies.wolfe_quapp import WolfeQuapp

__all__ = [
    "DW4",
    "BistableDimer",
    "Condition",
    "CoulombGas",
    "DoubleWell",
    "Energy",
    "Funnel",
    "Gaussian",
    "GaussianMixture",
    "Ising",
    "LennardJones",
    "LennardJonesSolid",
    "ManyWell",
    "Modes",
    "Molecule",
    "MuellerBrown",
    "Observable",
    "PairEnergy",
    "Tempered",
    "WolfeQuapp",
]
