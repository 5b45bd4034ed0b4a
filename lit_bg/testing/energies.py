"""All laws of energies, and the function that runs them."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.testing.exact_values import KNOWLEDGE_LAWS
from lit_bg.testing.identity import IDENTITY_LAWS
from lit_bg.testing.law import Checked, Law, run_laws
from lit_bg.testing.potentials import VALUE_LAWS, EnergyCase, configurations
from lit_bg.testing.symmetries import SYMMETRY_LAWS

__all__ = ["ENERGY_LAWS", "EnergyCase", "check_energy", "configurations"]

ENERGY_LAWS: dict[str, Law[EnergyCase]] = {**VALUE_LAWS, **IDENTITY_LAWS, **SYMMETRY_LAWS, **KNOWLEDGE_LAWS}


def check_energy(
    energy: Energy, x: Tensor | None = None, draws: int = 40_000, sigma: float = 4.5, skip: Collection[str] = ()
) -> Checked:
    """Run every law of energies on one system and say all that it breaks.

    Args:
        energy: the system.
        x: configurations (n, *shape) of finite energy to try it at; None: about `energy.initial`, or exact samples, or anywhere
            in the domain.
        draws: exact samples that are compared with exact values.
        sigma: how many standard errors an estimate from them may lie from the exact value.
        skip: names of laws, keys of `ENERGY_LAWS`, to leave out.

    Returns:
        the laws that held, and those that say nothing about this system, with the reason.

    Raises:
        AssertionError: laws that are broken, with what is wrong, the value and the limit, one sentence each.
        ValueError: a name in `skip` that no law has.

    >>> from lit_bg.energies import DoubleWell
    >>> checked = check_energy(DoubleWell())
    >>> "gradient" in checked.held, checked.left_out["exchange"]
    (True, 'DoubleWell is not of particles')
    """
    return run_laws(ENERGY_LAWS, EnergyCase(energy, x, draws, sigma), type(energy).__name__, skip)
