"""Monte Carlo rotations about the bonds of a molecule, between steps of its dynamics."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.molecule import Molecule
from lit_bg.molecules.rotatable import turned, turned_velocities
from lit_bg.samplers.chain import State
from lit_bg.samplers.motion import without_drift


def torsion_move(energy: Molecule, state: State, rng: torch.Generator) -> Tensor:
    r"""Turn one bond of every walker by any angle; whether it was accepted, (W,) bool.

    The bond is one of all with equal probability, the angle uniform, and the map of Jacobian 1, so the proposal is
    symmetric and is accepted with $\min(1, e^{-(U(x') - U(x)) / kT})$ at the temperature of the walker. Where dynamics waits
    for a barrier of a torsion, this steps over it.

    Velocities turn with their atoms. In $e^{-H / kT}$ they are independent of positions and could as well stay; but after a
    finite step those along stiff bonds are a little too cold (`Langevin`), and where a bond turns without its velocities, it
    gets those of other directions, and every move heats the molecule a little. The molecule is given a thermal velocity as
    a whole before the turn, and none after it, which keeps the Maxwellian without drift. Where the whole is, is not kept:
    the measure is that of the shape.

    Args:
        energy: a molecule with rotatable bonds.
        state: `x`, `u`, `gradient`, `velocity`, `mass` and `kT` of the walkers; the first four are changed.
        rng: of every random number.

    References:
        Lal, Mol. Phys. 17, 57 (1969), doi:10.1080/00268976900100781; Madras, Sokal, J. Stat. Phys. 50, 109 (1988),
        doi:10.1007/BF01022990, for the pivot move of polymers.
    """
    x, bonds = state["x"], energy.rotatable_bonds
    which = torch.randint(len(bonds), (len(x),), generator=rng, device=rng.device)
    angle = 2 * torch.pi * torch.rand(len(x), generator=rng, device=rng.device, dtype=x.dtype)
    axis, side = bonds.axis.to(x.device)[which], bonds.side.to(x.device)[which]
    new = turned(x, axis, side, angle)
    u, gradient = energy.value_and_gradient(new)
    log_ratio = (energy.kT / state["kT"]) * (state["u"].double() - u.double())
    r = torch.rand(len(x), generator=rng, device=rng.device, dtype=torch.float64)
    accepted = r.log() < log_ratio  # false for a NaN
    whole = torch.randn(len(x), 1, 3, generator=rng, device=rng.device, dtype=x.dtype)
    rows = accepted.nonzero().flatten()
    mass, v = state["mass"], state["velocity"][rows]
    v += whole[rows] * (state["kT"][rows] / mass.sum()).sqrt().to(v)[:, None, None]
    v = without_drift(turned_velocities(v, x[rows], axis[rows], side[rows], angle[rows]), mass)
    for name, value in {"x": new[rows], "gradient": gradient[rows], "u": u[rows], "velocity": v}.items():
        state[name][rows] = value
    return accepted
