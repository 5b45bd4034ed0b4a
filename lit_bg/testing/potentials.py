"""Laws of energies on `potential`, its gradient, temperatures and copies."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.trial import try_energy
from lit_bg.spaces import Kind
from lit_bg.testing.law import DoesNotApply, Law, require, require_close, require_refusal, seeded

WIDTH, PARTICLE_WIDTH = 0.3, 0.003  # of the spread about starts: particles close to each other leave little room
DIRECTIONS = 12  # in which forces are compared; all of them where there are no more
STEP = 1e-5  # of finite differences
SLOPE = 1e-5  # relative error of a force


@dataclass(frozen=True)
class EnergyCase:
    """Holds an energy, and where its laws are tried.

    Args:
        energy: the system.
        x: configurations (n, *shape) of finite energy; None: about `energy.initial`, or else exact samples, or else anywhere
            in the domain.
        draws: exact samples that are compared with exact values.
        sigma: how many standard errors these may lie apart.
    """

    energy: Energy
    x: Tensor | None = None
    draws: int = 40_000
    sigma: float = 4.5

    @property
    def name(self) -> str:
        """Return what messages call the system."""
        return type(self.energy).__name__

    def configurations(self, n: int) -> Tensor:
        """Return n configurations, (n, *shape) float64."""
        if self.x is None:
            return configurations(self.energy, n)
        return self.x.detach().double()[torch.arange(n) % len(self.x)]


def configurations(energy: Energy, n: int, seed: int = 0) -> Tensor:
    """Return n configurations of a system, (n, *shape) float64, where nothing is known of it but its class.

    They are spread about the initial configurations, or exact samples, or uniform on intervals and circles and on (-1, 1) of
    lines; spins are uniform.
    """
    space, rng = energy.space, seeded(seed)
    if not space.continuous:
        return space.noise(n, rng, torch.float64)
    domain, initial = space.domain, energy.initial
    if initial is None and energy.has_exact_samples:
        return energy.exact_samples(n, rng).double()
    lower, upper = domain.lower.double(), domain.upper.double()
    if initial is None:
        share = torch.rand(n, space.dim, generator=rng, dtype=torch.float64)
        return (lower + (upper - lower) * share).reshape(n, *space.shape)
    width = WIDTH if space.types is None else PARTICLE_WIDTH
    noise = torch.randn(n, *space.shape, generator=rng, dtype=torch.float64)
    x = initial.double()[torch.arange(n) % len(initial)] + width * noise
    flat, margin = x.flatten(1), 1e-3 * (upper - lower)
    inside = torch.minimum(torch.maximum(flat, lower + margin), upper - margin)
    return torch.where(domain.kinds == Kind.BOUNDED, inside, flat).reshape(x.shape)


def obey_contract(case: EnergyCase) -> None:
    """Require a space, a call of the constructor of Energy, and translations and exact values that fit the measure."""
    try:
        try_energy(case.energy)
    except (TypeError, ValueError) as error:
        raise AssertionError(str(error).removesuffix(".")) from error


def give_one_number(case: EnergyCase) -> None:
    """Require that u(x) is (B,), finite, of the precision of x, and x is left as it was."""
    x = case.configurations(7)
    for dtype in (torch.float64, torch.float32):
        given = x.to(dtype)
        before = given.clone()
        u = case.energy(given)
        require(u.shape == (7,), f"u of {case.name} has shape {tuple(u.shape)} for 7 configurations and must have (7,)")
        require(u.dtype == dtype, f"u of {case.name} is {u.dtype} for configurations in {dtype} and must be of their precision")
        require(torch.equal(given, before), f"{case.name}.potential changes its input in place: work on a copy")
        bad = int((~torch.isfinite(u)).sum())
        require(
            bad == 0, f"u of {case.name} is not finite for {bad} of 7 configurations: give `initial`, or x= of finite energy"
        )


def see_no_neighbours(case: EnergyCase) -> None:
    """Require that u of a configuration depends on no other one in the batch, and is the same every time."""
    x = case.configurations(7)
    u = case.energy(x)
    scale = 1e-7
    require_close(f"u of {case.name}, computed alone,", case.energy(x[3:4]), u[3:4], scale, scale, " as in a batch of 7")
    require_close(f"u of {case.name}, in the opposite order,", case.energy(x.flip(0)), u.flip(0), scale, scale)
    require_close(f"u of {case.name}, asked again,", case.energy(x), u, scale, scale)


def agree_in_both_precisions(case: EnergyCase) -> None:
    """Require that single precision gives what double precision does, within 1e-5 |u| + 1e-4 kT."""
    x = case.configurations(5).float()
    require_close(f"u of {case.name} in float32", case.energy(x), case.energy(x.double()), 1e-4, 1e-5, " as in float64")


def scale_with_temperature(case: EnergyCase) -> None:
    """Require u = U / kT at the system's kT and in the view `at(kT)`, which leaves the system as it is and refuses kT <= 0."""
    energy, x = case.energy, case.configurations(3)
    kT, u = energy.kT, energy(x)
    require_close(f"u of {case.name} times kT", u * kT, energy.potential(x), 1e-7, 1e-7, " like potential(x)")
    other = at_another_temperature(energy, 2.5)
    require(energy.kT == kT, f"at({other.kT:.4g}) changed kT of {case.name} itself from {kT:.4g} to {energy.kT:.4g}")
    require(other.kT != kT, f"at(kT) of {case.name} returned a system at its own kT, {kT:.4g}")
    expected = u * kT / other.kT
    require_close(f"u of {case.name}.at({other.kT:.4g})", other(x), expected, 1e-7, 1e-7, f" of u at kT = {kT:.4g}")
    require_refusal(f"{case.name}.at(0)", lambda: energy.at(0), ValueError)


def at_another_temperature(energy: Energy, factor: float) -> Energy:
    """Return the view at a multiple of kT, as far as the conditions of the system allow."""
    kT = factor * energy.kT
    for condition in energy.conditions:
        if condition.name == "kT":
            kT = min(kT, condition.highest) if condition.highest > energy.kT else condition.lowest
    return energy.at(kT)


def have_the_gradient(case: EnergyCase) -> None:
    r"""Require that the gradient of autograd is that of finite differences.

    Central differences of fourth order along coordinates (random directions where there are many), with their own error and
    that of rounding in the limit.
    """
    energy = case.energy
    require_continuous(case)
    x = case.configurations(3).requires_grad_()
    u = energy(x)
    require(
        u.requires_grad,
        f"u of {case.name} does not depend on x for autograd: compute potential with torch from x, without detach or numpy",
    )
    (gradient,) = torch.autograd.grad(u.sum(), x)
    dim, x = energy.space.dim, x.detach()
    directions = torch.eye(dim, dtype=x.dtype)
    if dim > DIRECTIONS:
        directions = torch.randn(DIRECTIONS, dim, generator=seeded(1), dtype=x.dtype)
        directions = directions / directions.norm(dim=1, keepdim=True)
    size = gradient.flatten(1).norm(dim=1)
    for k, direction in enumerate(directions):
        step = STEP * direction.reshape(energy.space.shape)
        with torch.no_grad():
            near, far = ((energy(x + j * step) - energy(x - j * step)) / (2 * j * STEP) for j in (1, 2))
        slope, limit = (4 * near - far) / 3, SLOPE * (1 + size) + (near - far).abs() + 1e-12 * u.detach().abs() / STEP
        along = gradient.flatten(1) @ direction
        worst = int(((along - slope).abs() - limit).argmax())
        where = f"coordinate {k}" if dim <= DIRECTIONS else f"random direction {k}"
        require(
            (along - slope).abs()[worst] <= limit[worst],
            f"du/dx of {case.name} along {where} is {along[worst]:.6g} and the finite difference {slope[worst]:.6g}, "
            f"apart by more than {limit[worst]:.2g} (row {worst})",
        )


def return_value_and_gradient(case: EnergyCase) -> None:
    """Require `value_and_gradient` and `potential_and_gradient` to give what autograd gives, detached, in both precisions."""
    require_continuous(case)
    for dtype in (torch.float32, torch.float64):
        x = case.configurations(6).to(dtype).requires_grad_()
        u = case.energy(x)
        (gradient,) = torch.autograd.grad(u.sum(), x)
        rtol = 1e-5 if dtype == torch.float32 else 1e-7
        for name, scale in (("value_and_gradient", 1.0), ("potential_and_gradient", case.energy.kT)):
            found, slope = getattr(case.energy, name)(x)
            what = f"{name} of {case.name}"
            require(not (found.requires_grad or slope.requires_grad), f"{what} returns tensors with a graph: detach them")
            require_close(f"the value of {what}", found, u * scale, rtol, rtol)
            largest = float(gradient.abs().max()) * scale
            require_close(f"the gradient of {what}", slope, gradient * scale, rtol * (1 + largest), rtol)


def count_calls(case: EnergyCase) -> None:
    """Require that every value and every gradient is counted once, in one count for all views."""
    energy, x = case.energy, case.configurations(4)

    def counted(values: int, gradients: int, of: str, before: tuple[int, int]) -> None:
        found = energy.n_values - before[0], energy.n_gradients - before[1]
        wanted = f"{values} values and {gradients} gradients"
        require(
            found == (values, gradients), f"{case.name} counts {found[0]} values and {found[1]} gradients {of}, not {wanted}"
        )

    before = energy.n_values, energy.n_gradients
    energy(x)
    counted(4, 0, "in a call for 4 configurations", before)
    before = energy.n_values, energy.n_gradients
    at_another_temperature(energy, 2.0)(x)
    counted(4, 0, "where a view at another kT was called for 4 configurations", before)
    if energy.space.continuous:
        x.requires_grad_()
        before = energy.n_values, energy.n_gradients
        torch.autograd.grad(energy(x).sum(), x)
        counted(4, 4, "in a call for 4 configurations and its gradient", before)
        before = energy.n_values, energy.n_gradients
        energy.value_and_gradient(x)
        counted(4, 4, "in value_and_gradient of 4 configurations", before)


def refuse_wrong_shapes(case: EnergyCase) -> None:
    """Require that configurations of another shape are refused with a ValueError."""
    x = case.configurations(2)
    wrong = {"one coordinate more": torch.cat([x, x[..., :1]], -1), "an axis less": x[..., 0], "no batch": x[0]}
    for what, given in wrong.items():
        sentence = f"x of shape {tuple(given.shape)} ({what}) by {case.name}"
        require_refusal(sentence, partial(case.energy, given), ValueError)


def survive_copies(case: EnergyCase) -> None:
    """Require that `copy.deepcopy` and `pickle` give a system of the same energies."""
    x = case.configurations(3)
    try:
        copies = {"a deep copy": copy.deepcopy(case.energy), "a pickled copy": pickle.loads(pickle.dumps(case.energy))}
    except Exception as error:
        raise AssertionError(
            f"{case.name} cannot be copied ({type(error).__name__}: {error}): define it in a module, "
            "without lambdas in its attributes"
        ) from error
    for what, other in copies.items():
        require_close(f"u of {what} of {case.name}", other(x), case.energy(x), 1e-7, 1e-7)


def follow_conditions(case: EnergyCase) -> None:
    """Require that every row has the energy of the system under its own conditions, by default the usual ones."""
    energy = case.energy
    if not energy.conditions:
        raise DoesNotApply(f"{case.name} has no conditions")
    usual = energy.default_context
    require(usual is not None, f"{case.name} has conditions and no default_context: say which hold where none are given")
    x = case.configurations(5)
    context = torch.stack([c.draw(5, seeded(3)).double() for c in energy.conditions], -1)
    rows = torch.cat([energy.given(c)(row[None]) for row, c in zip(x, context, strict=True)])
    require_close(
        f"conditioned(x, context) of {case.name}", energy.conditioned(x, context), rows, 1e-7, 1e-7, " like given(c)(x)"
    )
    require_close(
        f"u of {case.name} without conditions", energy(x), energy.given(usual)(x), 1e-7, 1e-7, " as under the usual ones"
    )
    require(not energy.given(usual).conditions, f"{case.name}.given(context) must be a system without conditions")


def require_continuous(case: EnergyCase) -> None:
    """Leave out systems on discrete states, which have no gradient."""
    if not case.energy.space.continuous:
        raise DoesNotApply(f"{case.name} lives on discrete states, which have no gradient")


VALUE_LAWS: dict[str, Law[EnergyCase]] = {
    "contract": obey_contract,
    "one number per configuration": give_one_number,
    "no neighbours": see_no_neighbours,
    "both precisions": agree_in_both_precisions,
    "temperature": scale_with_temperature,
    "gradient": have_the_gradient,
    "value and gradient": return_value_and_gradient,
    "counts": count_calls,
    "wrong shapes": refuse_wrong_shapes,
    "copies": survive_copies,
    "conditions": follow_conditions,
}
