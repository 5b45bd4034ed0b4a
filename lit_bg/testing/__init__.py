"""The laws of energies, generators, losses, kernels and diagnostics, for the tests of this package and of your own classes.

>>> from lit_bg.energies import DoubleWell
>>> checked = check_energy(DoubleWell())
>>> "gradient" in checked.held, "periodic images" in checked.left_out
(True, True)
"""

from lit_bg.testing.diagnostics import DIAGNOSTIC_LAWS, DiagnosticCase, check_diagnostic
from lit_bg.testing.energies import ENERGY_LAWS, EnergyCase, check_energy
from lit_bg.testing.generators import GENERATOR_LAWS, GeneratorCase, check_generator
from lit_bg.testing.kernels import KERNEL_LAWS, KernelCase, check_kernel
from lit_bg.testing.law import Checked, DoesNotApply
from lit_bg.testing.losses import LOSS_LAWS, LossCase, check_loss

__all__ = [
    "DIAGNOSTIC_LAWS",
    "ENERGY_LAWS",
    "GENERATOR_LAWS",
    "KERNEL_LAWS",
    "LOSS_LAWS",
    "Checked",
    "DiagnosticCase",
    "DoesNotApply",
    "EnergyCase",
    "GeneratorCase",
    "KernelCase",
    "LossCase",
    "check_diagnostic",
    "check_energy",
    "check_generator",
    "check_kernel",
    "check_loss",
]
