"""A first look at an energy, before anything is drawn, read or written."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.identity import identify
from lit_bg.rng import stream
from lit_bg.spaces import Space

CONFIGURATIONS = 3
USUAL = (1e-6, 1e6)  # kT beyond it is looked at
MOST, LEAST = 1e12, 1e-12  # |u| [kT] that double precision tells from its neighbours to 1e-4 kT, and that anything depends on


def try_energy(energy: Energy) -> None:
    """Refuse an energy that breaks the contract of `Energy`, or whose kT is absurd.

    `potential` of a class from elsewhere is called for a few configurations; those of this package are tested. Nothing is
    counted as an energy call.

    Raises:
        TypeError: no space, no call of the parent's constructor (or `__new__`), or a `potential`, an observable or a label of
            modes that fails or returns something else than one number per configuration; the message names the class and the
            fault.
        ValueError: a kT that is out of all proportion to the energy.
    """
    if energy.conditions:
        try_energy(energy.given())
        return
    name = type(energy).__name__
    if "kT" not in vars(energy):
        raise TypeError(f"{name} does not call the constructor of Energy: begin its __init__ with super().__init__(kT).")
    identify(energy)  # data cards and checkpoints ask for it, when much is lost if it fails
    if not isinstance(energy.space, Space):
        raise TypeError(f"space of {name} must be one of lit_bg.spaces, such as Vectors(2), got {energy.space!r}.")
    _check_translations(energy)
    _check_proportion(energy)
    _check_exact(energy)
    if not type(energy).__module__.startswith("lit_bg."):
        x = _configurations(energy)
        energy.check_values(_potential(energy, x), x)
        _check_observables(energy, x)


def loses_gradient(energy: Energy) -> bool:
    """Return whether energies from elsewhere depend on x and know no gradient: computed by numpy, or detached."""
    if energy.conditions:
        return loses_gradient(energy.given())
    if type(energy).__module__.startswith("lit_bg."):
        return False
    u = _potential(energy, _configurations(energy, noise=True).requires_grad_())
    return not u.requires_grad and len(u.unique()) > 1


def _check_translations(energy: Energy) -> None:
    """Refuse particles that are measured without their centre of mass and held in a place, or the other way round.

    Raises:
        ValueError: symmetry and space contradict each other, so that log Z would be of another system or infinite.
    """
    space, name, moves = energy.space, type(energy).__name__, "translation" in energy.symmetries
    if space.centred and not moves:
        raise ValueError(
            f"{name} is measured without its centre of mass and does not name 'translation' among its symmetries: add it, or "
            "give the space centred=False."
        )
    if moves and space.cell is None and not space.centred:
        raise ValueError(f"{name} does not see translations and has all of space for them, so log Z is infinite: centre it.")


def _check_exact(energy: Energy) -> None:
    """Refuse exact values that are no numbers, as the verdict would compare a run with nonsense."""
    if energy.finds_modes:
        return  # they are not known yet
    modes, log_Z = energy.modes, energy.log_Z
    exact = None if modes is None else modes.exact
    if exact is not None and not bool(((exact >= 0) & (exact <= 1)).all()):
        raise ValueError(f"the exact probabilities of {type(energy).__name__}.modes must lie in [0, 1], got {exact.tolist()}.")
    if log_Z is not None and not math.isfinite(log_Z):
        raise ValueError(
            f"log_Z of {type(energy).__name__} at kT = {energy.kT:.6g} must be a finite number or None, got {log_Z}."
        )


def _check_proportion(energy: Energy) -> None:
    if USUAL[0] <= energy.kT <= USUAL[1] or energy.initial is None:
        return
    with torch.no_grad():
        u = energy.potential(energy.initial).double().abs() / energy.kT
    largest = u[torch.isfinite(u)].max().item() if torch.isfinite(u).any() else 0.0
    if largest > MOST or 0 < largest < LEAST:
        fault = "which no precision resolves to a kT" if largest > MOST else "so that nothing depends on it"
        raise ValueError(
            f"kT = {energy.kT:.4g} {energy.unit} is out of all proportion to {type(energy).__name__}: where it starts, "
            f"|u| is {largest:.2g} kT, {fault}; give kT in the unit of the energy."
        )


def _configurations(energy: Energy, noise: bool = False) -> Tensor:
    """Return a few configurations, (B, *event_shape): where a simulation starts, or distinct ones inside the domain."""
    if energy.initial is not None and not noise:
        return energy.initial[torch.arange(CONFIGURATIONS) % len(energy.initial)]
    space, rng = energy.space, stream(0, "trial")
    if not space.continuous:
        return space.noise(CONFIGURATIONS, rng)
    fraction = torch.rand(CONFIGURATIONS, space.dim, generator=rng)
    lower, upper = space.domain.lower.to(fraction), space.domain.upper.to(fraction)
    return (lower + (upper - lower) * fraction).reshape(-1, *space.shape)


def _check_observables(energy: Energy, x: Tensor) -> None:
    """Refuse observables and labels of modes that are not one number per configuration."""
    functions = {f"the observable '{n}'": o.function for n, o in energy.observables.items()}
    if not energy.finds_modes and energy.modes is not None:
        functions["the label of the modes"] = energy.modes.label
    for what, function in functions.items():
        a = _call(f"{what} of {type(energy).__name__}", function, x)
        if not isinstance(a, Tensor) or a.shape != x.shape[:1]:
            got = f"the shape {tuple(a.shape)}" if isinstance(a, Tensor) else f"a {type(a).__name__}"
            raise TypeError(
                f"{what} of {type(energy).__name__} gives {got} for {len(x)} configurations, and must give one number for each "
                f"of them, ({len(x)},)."
            )


def _potential(energy: Energy, x: Tensor) -> Any:
    return _call(f"{type(energy).__name__}.potential", energy.potential, x)


def _call(what: str, function: Callable[[Tensor], Any], x: Tensor) -> Any:
    try:
        return function(x)
    except Exception as error:  # whatever the code of a user raises
        frames = traceback.extract_tb(error.__traceback__)
        where = [f for f in frames if "site-packages" not in f.filename][-1]  # in the code of the user, not in torch
        raise TypeError(
            f"{what} failed for {len(x)} configurations of shape {tuple(x.shape)}: "
            f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}, line {where.lineno}); "
            "LIT_BG_TRACEBACK=1 shows where."
        ) from error
