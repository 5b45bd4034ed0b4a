"""Monte Carlo rotations about the bonds of a molecule, between steps of its dynamics."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Info, Kernel, Numbers, State, accept, one
from lit_bg.kernels.motion import Masses, temperatures
from lit_bg.molecules.rotatable import RotatableBonds, turn, turn_velocities


class TorsionMoves(Kernel[State]):
    r"""Turns one bond of every walker by any angle, `moves` times.

    The bond is one of all with equal probability, the angle uniform, and the map of Jacobian 1, so the proposal is
    symmetric and is accepted with $\min(1, e^{u(x) - u(x')})$ at the temperature of the walker. Where dynamics waits
    for a barrier of a torsion, this steps over it. It moves nothing but torsions: let it take turns with dynamics (`Cycle`).

    Velocities, where there are any, turn with their atoms. In $e^{-H / kT}$ they are independent of positions and could as well
    stay; but after a finite step those along stiff bonds are a little too cold (`Langevin`), and where a bond turns without its
    velocities, it gets those of other directions, and every move heats the molecule a little. A molecule that is measured
    without its centre of mass is given a thermal velocity as a whole before the turn, and none after it, which keeps the
    Maxwellian without drift; where the whole is, is not kept there, the measure being that of the shape.

    Args:
        moves: how many bonds are turned in one move.
        hydrogen_mass: as of the dynamics it takes turns with, for the velocities.

    Raises:
        ValueError: fewer than one move, or such a mass.

    References:
        Lal, Mol. Phys. 17, 57 (1969), doi:10.1080/00268976900100781; Madras, Sokal, J. Stat. Phys. 50, 109 (1988),
        doi:10.1007/BF01022990, for the pivot move of polymers.
    """

    def __init__(self, moves: int = 4, hydrogen_mass: float | None = None) -> None:
        if moves < 1:
            raise ValueError(f"TorsionMoves needs moves >= 1, got {moves}.")
        self.moves, self.hydrogen_mass = moves, hydrogen_mass
        self._masses = Masses(hydrogen_mass)

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return self.moves

    def check(self, energy: Energy) -> None:
        if not energy.rotatable_bonds:
            raise ValueError(f"{type(energy).__name__} has no bond that turns: leave TorsionMoves out.")

    def init(self, energy: Energy, x: Tensor, rng: torch.Generator) -> State:
        with torch.no_grad():
            return State(x, energy(x))

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        bonds = energy.rotatable_bonds
        assert bonds is not None
        state = State(*(None if part is None else part.clone() for part in state))  # type: ignore[arg-type]
        acceptance, accepted = torch.zeros(2, len(state.x), dtype=torch.float64, device=state.x.device)
        for _ in range(self.moves):
            probability, turned_now = self.turn(energy, bonds, state, rng)
            acceptance += probability / self.moves
            accepted += turned_now
        state = state._replace(x=energy.space.project(state.x), log_q=None)  # a turn moves the whole
        return state, Info(acceptance, {"turned": accepted, "turns": self.moves * one(accepted)})

    def turn(self, energy: Energy, bonds: RotatableBonds, state: State, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Turn one bond of every walker, in place; return probabilities, and which were accepted, (W,)."""
        x, walkers = state.x, len(state.x)
        which = torch.randint(len(bonds), (walkers,), generator=rng, device=rng.device)
        angle = 2 * torch.pi * torch.rand(walkers, generator=rng, device=rng.device, dtype=x.dtype)
        axis, side = bonds.axis.to(x.device)[which], bonds.side.to(x.device)[which]
        new = turn(x, axis, side, angle)
        if state.gradient is None:
            with torch.no_grad():
                u, gradient = energy(new), None
        else:
            u, gradient = energy.value_and_gradient(new)
        accepted, probability = accept(state.u.double() - u.double(), rng)
        rows = accepted.nonzero().flatten()
        if state.velocity is not None:
            mass, v = self._masses.of(energy, x), state.velocity[rows]
            if energy.space.centred:
                whole = torch.randn(walkers, 1, x.shape[-1], generator=rng, device=rng.device, dtype=x.dtype)
                v = v + whole[rows] * (temperatures(energy, x)[rows] / mass[:, 0].sum()).sqrt().to(x)[:, None, None]
            v = turn_velocities(v, x[rows], axis[rows], side[rows], angle[rows])
            state.velocity[rows] = energy.space.project(v, mass)
        state.x[rows], state.u[rows] = new[rows], u[rows]
        if state.gradient is not None and gradient is not None:
            state.gradient[rows] = gradient[rows]
        return probability, accepted

    def summarise(self, energy: Energy, measured: Mapping[str, Tensor]) -> tuple[Numbers, list[str]]:
        return {"torsion_moves_accepted": float((measured["turned"] / measured["turns"].clamp_min(1)).mean())}, []
