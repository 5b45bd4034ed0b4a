"""Laws of energies on symmetries: the moves that leave u as it is, declared by a system or promised by its space."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.spaces import Kind
from lit_bg.testing.law import DoesNotApply, Law, require, require_close, seeded
from lit_bg.testing.potentials import EnergyCase

HOLDS = 1e-9  # relative to the largest |u|
CHANGES = 1e-3  # [kT] that an undeclared move must change u by somewhere


def keep_declared_symmetries(case: EnergyCase) -> None:
    """Require that declared translations, rotations and reflections leave u as it is."""
    require_particles(case)
    energy, x = case.energy, case.configurations(5)
    u = energy(x)
    for name, moved in moves(x, about_axes=True).items():
        if name in energy.symmetries:
            limit = HOLDS * float(u.abs().max().clamp_min(1))
            require_close(f"u of {case.name} after a {name}", energy(moved), u, limit, 0.0, f": it declares '{name}'")


def declare_their_symmetries(case: EnergyCase) -> None:
    """Require that a move of all particles that is not declared changes u, or leaves the region that the target covers."""
    require_particles(case)
    energy, x = case.energy, case.configurations(5)
    u = energy(x)
    for name, moved in moves(x).items():
        if name in energy.symmetries or not bool(energy.in_region(moved).all()):
            continue
        change = (energy(moved) - u).abs().max()
        require(
            not change <= CHANGES,
            f"a {name} changes u of {case.name} by {change:.2g} kT at most, as if it were a symmetry, and it is not declared: "
            f"add '{name}' to symmetries",
        )


def exchange_particles_of_one_type(case: EnergyCase) -> None:
    """Require that exchanges of particles of one type leave u as it is, and those of different types change it."""
    types = torch.tensor(require_particles(case))
    energy, x, masses = case.energy, case.configurations(5), case.energy.masses
    u, n = energy(x), len(types)
    limit = HOLDS * float(u.abs().max().clamp_min(1))
    for kind in types.unique():
        order, same = torch.arange(n), (types == kind).nonzero().flatten()
        order[same] = same.roll(1)
        exchanged = energy(x[:, order])
        require_close(f"u of {case.name} after particles of type {kind} changed places", exchanged, u, limit)
    for i, j in {(0, 1), (0, n - 1), (1, n // 2)}:
        if not (i < j < n) or types[i] == types[j] or (masses is not None and masses[i] != masses[j]):
            continue
        y = x.clone()
        y[:, [i, j]] = y[:, [j, i]]
        change = (energy(y) - u).abs().max()
        require(
            not change <= CHANGES,
            f"particles {i} and {j} of {case.name} have different types and change u by {change:.2g} kT at most when they "
            "change places: give them one type (Particles(..., types=...))",
        )


def repeat_around_cells_and_circles(case: EnergyCase) -> None:
    """Require the same u after a particle moves by a vector of the cell, or a coordinate by the length of its circle."""
    space, x = case.energy.space, case.configurations(4)
    if not space.continuous:
        raise DoesNotApply(f"{case.name} lives on discrete states")
    u, domain, cell = case.energy(x), space.domain, space.cell
    limit = 1e-6 * float(u.abs().max().clamp_min(1))
    if cell is not None:
        y = x.clone()
        y[:, -1] += cell[0] - 2 * cell[-1]
        require_close(f"u of {case.name} with a particle moved around the cell", case.energy(y), u, limit)
        require_close(f"u of {case.name} wrapped into the cell", case.energy(space.wrap(x)), u, limit)
        return
    circles = domain.kinds == Kind.CIRCULAR
    if not circles.any():
        raise DoesNotApply(f"{case.name} has neither a periodic cell nor coordinates on circles")
    turn = torch.where(circles, domain.upper - domain.lower, 0.0).double().reshape(space.shape)
    require_close(f"u of {case.name} a turn further on every circle", case.energy(x + turn), u, limit)


def moves(x: Tensor, about_axes: bool = False) -> dict[str, Tensor]:
    """Return configurations (B, N, d) moved, rotated about an odd axis, and reflected there, or along the first coordinate."""
    d = x.shape[-1]
    shift = torch.tensor([0.3, -0.7, 1.1], dtype=x.dtype).repeat(1 + d // 3)[:d]
    turn = torch.linalg.qr(torch.randn(d, d, generator=seeded(1), dtype=x.dtype))[0]
    turn[:, 0] *= torch.linalg.det(turn).sign()  # a rotation, not a reflection
    mirror = torch.ones(d, dtype=x.dtype)
    mirror[0] = -1
    moved = {"translation": x + shift, "reflection": (x if about_axes or d == 1 else x @ turn) * mirror}
    return {**moved, "rotation": x @ turn} if d > 1 else moved


def require_particles(case: EnergyCase) -> tuple[int, ...]:
    """Return the types of particles; leave out systems without any."""
    types = case.energy.space.types
    if types is None:
        wrong = ", ".join(sorted(case.energy.symmetries))
        require(not wrong, f"{case.name} declares symmetries of particles ({wrong}) and its space has none: leave them out")
        raise DoesNotApply(f"{case.name} is not of particles")
    return types


SYMMETRY_LAWS: dict[str, Law[EnergyCase]] = {
    "declared symmetries": keep_declared_symmetries,
    "undeclared symmetries": declare_their_symmetries,
    "exchange": exchange_particles_of_one_type,
    "periodic images": repeat_around_cells_and_circles,
}
