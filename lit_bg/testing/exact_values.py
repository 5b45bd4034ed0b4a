"""Laws of energies: modes, starts and observables, and exact samples against everything that is known exactly."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.estimators import bar, bar_overlap, mean_with_error, virial
from lit_bg.spaces import Kind, Spins
from lit_bg.testing.law import DoesNotApply, Law, require, require_close, require_refusal, seeded
from lit_bg.testing.potentials import EnergyCase, at_another_temperature

GRID = {1: 20_001, 2: 801}  # points along a coordinate, by the number of coordinates
MARGIN = 0.35  # of the box, added on either side
ON_A_GRID = 1e-5  # error of log Z by a sum over a grid
BINS = 12  # over the range of an observable
STATES = 2**16  # of spins that are summed
PER_COORDINATE = 20  # samples that a covariance is fitted to
OVERLAP, ERROR = 0.05, 0.1  # that log Z from samples can be compared with: of both densities, at least; its error, at most


def label_modes(case: EnergyCase) -> None:
    """Require labels (B,) long of modes or -1, different names, exact probabilities that sum to one, a start in each mode."""
    energy, modes = case.energy, case.energy.modes
    if modes is None:
        raise DoesNotApply(f"{case.name} has no modes")
    count = len(modes.names)
    require(len(set(modes.names)) == count, f"names of modes of {case.name} repeat: {', '.join(modes.names)}")
    x = case.configurations(50)
    label = modes.label(x)
    require(label.shape == (50,), f"modes.label of {case.name} has shape {tuple(label.shape)} for 50 configurations, not (50,)")
    require(label.dtype == torch.long, f"modes.label of {case.name} is {label.dtype} and must be torch.long")
    low, high = int(label.min()), int(label.max())
    require(low >= -1 and high < count, f"modes.label of {case.name} lies in {low} to {high}, and must in -1 to {count - 1}")
    require(torch.equal(modes.label(x[3:4]), label[3:4]), f"modes.label of {case.name} depends on the rest of the batch")
    if modes.exact is None:
        return
    require(modes.exact.shape == (count,), f"modes.exact of {case.name} has shape {tuple(modes.exact.shape)}, not ({count},)")
    total = float(modes.exact.sum())
    require(abs(total - 1) <= 1e-6, f"the exact probabilities of the modes of {case.name} sum to {total:.9g} and must to 1")
    if energy.initial is not None:
        found = modes.label(energy.initial).tolist()
        require(
            found == list(range(count)), f"the starts of {case.name} lie in the modes {found}, and must in 0 to {count - 1}"
        )


def start_inside(case: EnergyCase) -> None:
    """Require that `initial` is (K, *shape) of finite energy, in the space and in the region that the target covers."""
    energy, x = case.energy, case.energy.initial
    if x is None:
        raise DoesNotApply(f"{case.name} names no initial configurations")
    shape = energy.space.shape
    require(
        x.ndim == 1 + len(shape) and x.shape[1:] == shape and len(x) > 0,
        f"initial of {case.name} has shape {tuple(x.shape)} and must have (K, {', '.join(map(str, shape))})",
    )
    checks = {"no finite energy": torch.isfinite(energy(x)), "a place outside the space": energy.space.contains(x)}
    for what, fine in {**checks, "a place outside in_region": energy.in_region(x)}.items():
        require(fine.all(), f"{int((~fine).sum())} of {len(x)} initial configurations of {case.name} have {what}")


def describe_particles(case: EnergyCase) -> None:
    """Require positive masses, one per particle, and bonds that join two particles that exist."""
    energy = case.energy
    if energy.masses is None and not energy.bonds:
        raise DoesNotApply(f"{case.name} names neither masses nor bonds")
    n = energy.space.shape[0]
    if energy.masses is not None:
        found = tuple(energy.masses.shape)
        require(found == (n,), f"masses of {case.name} have shape {found} and must have ({n},)")
        lightest = float(energy.masses.min())
        require(lightest > 0, f"the smallest of the masses of {case.name} is {lightest:.4g} and must be positive")
    for i, j in energy.bonds:
        require(
            i != j and min(i, j) >= 0 and max(i, j) < n,
            f"bond ({i}, {j}) of {case.name} must join two of particles 0 to {n - 1}",
        )


def observe_numbers(case: EnergyCase) -> None:
    """Require that an observable is (B,), the same alone as in a batch; a periodic one says its range, and lies in it."""
    energy, x = case.energy, case.configurations(6)
    if not energy.observables:
        raise DoesNotApply(f"{case.name} has no observables")
    for name, observable in energy.observables.items():
        what = f"observable '{name}' of {case.name}"
        a = observable.function(x)
        require(a.shape == (6,), f"{what} has shape {tuple(a.shape)} for 6 configurations and must have (6,)")
        require(a.is_floating_point(), f"{what} is {a.dtype} and must be floating-point")
        require_close(f"{what}, computed alone,", observable.function(x[3:4]), a[3:4], 1e-6, 1e-6, " as in a batch of 6")
        require(not observable.periodic or observable.range is not None, f"{what} is periodic and has no range: say which")
        if observable.periodic and observable.range is not None:
            low, high = observable.range
            inside = (a >= low - 1e-6 * (high - low)) & (a <= high + 1e-6 * (high - low))
            require(
                inside.all(),
                f"{what} is {float(a[~inside][:1].sum()):.6g} somewhere, outside its circle {low:.6g} to {high:.6g}",
            )


def sample_exactly(case: EnergyCase) -> None:
    """Require exact samples (n, *shape) in the space, of finite energy, that depend on the given stream alone."""
    energy = case.energy
    if not energy.has_exact_samples:
        require_refusal(f"exact_samples of {case.name}", lambda: energy.exact_samples(1, seeded()), NotImplementedError)
    require_samples(case)
    torch.manual_seed(1)
    x = energy.exact_samples(5, seeded(3))
    torch.manual_seed(2)
    again = energy.exact_samples(5, seeded(3))
    wanted = (5, *energy.space.shape)
    require(x.shape == wanted, f"5 exact samples of {case.name} have shape {tuple(x.shape)} and must have {wanted}")
    require(torch.equal(x, again), f"exact samples of {case.name} differ for equal seeds: draw with the given generator alone")
    other = energy.exact_samples(5, seeded(4))
    require(
        not torch.equal(x, other),
        f"exact samples of {case.name} are the same for different seeds: draw with the given generator",
    )
    require(energy.space.contains(x).all(), f"exact samples of {case.name} lie outside its space")
    require(torch.isfinite(energy(x)).all(), f"exact samples of {case.name} have no finite energy")


def obey_the_virial(case: EnergyCase) -> None:
    """Require that the mean of x . du/dx over exact samples is the number of degrees of freedom."""
    energy = require_samples(case)
    if not energy.space.unbounded:
        raise DoesNotApply(f"{case.name} does not live on lines alone, where the virial is known")
    value, error = virial(energy, energy.exact_samples(case.draws, seeded(7)))
    agree(case, f"the virial of exact samples of {case.name}", value, energy.space.dof, error)


def have_the_exact_averages(case: EnergyCase) -> None:
    """Require that means of observables over exact samples are `Observable.exact`."""
    energy = require_samples(case)
    known = {name: o for name, o in energy.observables.items() if o.exact is not None}
    if not known:
        raise DoesNotApply(f"{case.name} has no observable whose average is known exactly")
    x = energy.exact_samples(case.draws, seeded(7))
    for name, observable in known.items():
        mean, error = mean_with_error(observable.function(x)[None])
        agree(case, f"the mean of '{name}' over exact samples of {case.name}", mean, float(observable.exact or 0.0), error)


def have_the_exact_bins(case: EnergyCase) -> None:
    """Require that `Observable.exact_bins` are shares of exact samples, and add up from narrow bins to wide ones."""
    energy = require_samples(case)
    known = {name: o for name, o in energy.observables.items() if o.exact_bins is not None}
    if not known:
        raise DoesNotApply(f"{case.name} has no observable whose distribution is known exactly")
    x = energy.exact_samples(case.draws, seeded(7))
    for name, observable in known.items():
        what = f"exact_bins of observable '{name}' of {case.name}"
        require(observable.range is not None, f"{what} are of bins over its range, and it has none")
        low, high = observable.range or (0.0, 0.0)
        edges = low + (high - low) * torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
        assert observable.exact_bins is not None
        p, wide = observable.exact_bins(edges), observable.exact_bins(edges[::2])
        require(p.shape == (BINS,), f"{what} have shape {tuple(p.shape)} for {BINS} bins, not ({BINS},)")
        require_close(f"{what} of twice the width", wide, p[::2] + p[1::2], 1e-6, 1e-9, " the sum of the two halves")
        share = torch.histogram(observable.function(x).double(), edges).hist / len(x)
        error = (p * (1 - p) / len(x)).sqrt() + 1.5 / len(x) / case.sigma
        for k in range(BINS):
            agree(case, f"the share of bin {k} among exact samples by {what}", share[k].item(), p[k].item(), error[k].item())


def have_the_exact_populations(case: EnergyCase) -> None:
    """Require that shares of modes among exact samples are `Modes.exact`."""
    energy, modes = require_samples(case), case.energy.modes
    if modes is None or modes.exact is None:
        raise DoesNotApply(f"{case.name} has no modes of known probability")
    label = modes.label(energy.exact_samples(case.draws, seeded(7)))
    for k, (name, p) in enumerate(zip(modes.names, modes.exact.tolist(), strict=True)):
        share, error = (label == k).double().mean().item(), math.sqrt(p * (1 - p) / case.draws)
        agree(
            case,
            f"the share of mode '{name}' among exact samples of {case.name}",
            share,
            p,
            error + 1.5 / case.draws / case.sigma,
        )


def fill_the_box(case: EnergyCase) -> None:
    """Require that `box` is (2, D) and holds 99 % of exact samples."""
    energy, box = case.energy, case.energy.box
    if box is None:
        raise DoesNotApply(f"{case.name} has no box")
    wanted = (2, energy.space.dim)
    require(box.shape == wanted, f"box of {case.name} has shape {tuple(box.shape)} and must have {wanted}")
    require((box[0] < box[1]).all(), f"box of {case.name} must have its lower corner below its upper one in every coordinate")
    if energy.has_exact_samples:
        x = energy.exact_samples(5000, seeded(1)).flatten(1)
        share = float(((x > box[0]) & (x < box[1])).all(-1).double().mean())
        require(share > 0.99, f"box of {case.name} holds {share:.3f} of 5000 exact samples and must hold 0.99")


def know_log_z(case: EnergyCase) -> None:
    r"""Require that log Z is the integral of exp(-u), at two temperatures.

    By a sum over a grid in one or two coordinates, over all states of few spins, and else by BAR between exact samples and
    normal densities fitted to them, one per mode, where these overlap.
    """
    if case.energy.log_Z is None:
        raise DoesNotApply(f"{case.name} does not know its log Z")
    for energy in (case.energy, at_another_temperature(case.energy, 1.6)):
        if energy.log_Z is None:
            continue
        known, what = float(energy.log_Z), f"log Z of {case.name} at kT = {energy.kT:.4g}"
        summed = sum_over_states(energy) if isinstance(energy.space, Spins) else sum_over_grid(energy)
        if summed is not None:
            gap = abs(summed - known)
            require(
                gap <= ON_A_GRID,
                f"{what} is {known:.8g} by its own account and {summed:.8g} by a sum, apart by more than {ON_A_GRID}",
            )
        else:
            value, error = integrate_by_samples(case, energy)
            agree(case, f"{what} by exact samples", value, known, error)


def sum_over_states(energy: Energy) -> float | None:
    """Return log Z of spins as a sum over all states; None where there are too many."""
    space = energy.space
    if not isinstance(space, Spins) or space.states**space.dim > STATES:
        return None
    every = torch.tensor(list(itertools.product(space.values.tolist(), repeat=space.dim)), dtype=torch.float64)
    return torch.logsumexp(-energy(every.reshape(-1, *space.shape)), 0).item()


def sum_over_grid(energy: Energy) -> float | None:
    """Return log Z as a sum over a grid; None in many coordinates, or on lines without a box."""
    space, box = energy.space, energy.box
    if len(space.shape) != 1 or space.dim not in GRID or not space.continuous:
        return None
    domain, n = space.domain, GRID[space.dim]
    lower, upper = domain.lower.double(), domain.upper.double()
    lines = domain.kinds == Kind.LINEAR
    if lines.any():
        if box is None:
            return None
        width = box[1].double() - box[0].double()
        lower = torch.where(lines, box[0].double() - MARGIN * width, lower)
        upper = torch.where(lines, box[1].double() + MARGIN * width, upper)
    ticks = [a + (b - a) * (torch.arange(n, dtype=torch.float64) + 0.5) / n for a, b in zip(lower, upper, strict=True)]
    with torch.no_grad():
        u = torch.cat([energy(torch.cartesian_prod(part, *ticks[1:]).reshape(-1, space.dim)) for part in ticks[0].split(100)])
    return torch.logsumexp(-u, 0).item() + float(((upper - lower) / n).log().sum())


def integrate_by_samples(case: EnergyCase, energy: Energy) -> tuple[float, float]:
    """Return log Z and its error by BAR between exact samples and normal densities fitted to others."""
    if not energy.has_exact_samples or not energy.space.unbounded:
        raise DoesNotApply(
            f"{case.name} knows log Z, and nothing to compare it with: define `box` (2, D), or `exact_samples` on lines"
        )
    n = case.draws // 4
    basis = degrees_of_freedom(energy)
    fitted, held_out = (energy.exact_samples(n, seeded(k)).double().flatten(1) @ basis for k in (11, 12))
    modes = energy.modes
    every = fitted @ basis.T
    label = torch.zeros(n, dtype=torch.long) if modes is None else modes.label(every.reshape(-1, *energy.space.shape))
    parts = []
    for k in label.unique():
        part = fitted[label == k]
        if len(part) >= PER_COORDINATE * basis.shape[1]:
            covariance = torch.cov(part.T).reshape(basis.shape[1], basis.shape[1])
            parts.append((len(part), torch.distributions.MultivariateNormal(part.mean(0), covariance)))
    if not parts:
        raise DoesNotApply(f"{case.name} has {basis.shape[1]} degrees of freedom, too many to fit a density to {n} samples")
    share = torch.tensor([float(size) for size, _ in parts], dtype=torch.float64)
    share /= share.sum()

    def log_q(y: Tensor) -> Tensor:
        return torch.logsumexp(torch.stack([p.log_prob(y) + w.log() for w, (_, p) in zip(share, parts, strict=True)]), 0)

    def u(y: Tensor) -> Tensor:
        with torch.no_grad():
            return energy((y @ basis.T).reshape(-1, *energy.space.shape))

    counts = torch.bincount(torch.multinomial(share, n, replacement=True, generator=seeded(13)), minlength=len(parts)).tolist()
    noise, drawn = torch.randn(n, basis.shape[1], generator=seeded(14), dtype=torch.float64).split(counts), []
    for z, (_, p) in zip(noise, parts, strict=True):
        drawn.append(p.loc + z @ p.scale_tril.T)
    y = torch.cat(drawn)
    forward, reverse = u(y) + log_q(y), -log_q(held_out) - u(held_out)
    value, error = bar(forward, reverse)
    overlap = bar_overlap(forward, reverse, value)
    if overlap < OVERLAP or error > ERROR:
        raise DoesNotApply(f"no density is at hand that overlaps with {case.name} enough ({overlap:.2g}) to integrate it")
    return -value, error


def degrees_of_freedom(energy: Energy) -> Tensor:
    """Return orthonormal columns that span what the space does not project out, (D, dof) float64."""
    space = energy.space
    projector = space.project(torch.eye(space.dim, dtype=torch.float64).reshape(-1, *space.shape)).flatten(1)
    values, vectors = torch.linalg.eigh(0.5 * (projector + projector.T))
    return vectors[:, values > 0.5]


def agree(case: EnergyCase, what: str, value: float, exact: float, error: float) -> None:
    """Require that an estimate lies within so many standard errors of the exact value."""
    limit = case.sigma * error + 1e-6
    require(abs(value - exact) <= limit, f"{what} is {value:.6g} and must be {exact:.6g} within {limit:.2g}")


def require_samples(case: EnergyCase) -> Energy:
    """Return the energy if it has exact samples; leave out others."""
    if not case.energy.has_exact_samples:
        raise DoesNotApply(f"{case.name} has no exact sampler")
    return case.energy


KNOWLEDGE_LAWS: dict[str, Law[EnergyCase]] = {
    "modes": label_modes,
    "starts": start_inside,
    "particles": describe_particles,
    "observables": observe_numbers,
    "exact samples": sample_exactly,
    "virial": obey_the_virial,
    "exact averages": have_the_exact_averages,
    "exact bins": have_the_exact_bins,
    "exact populations": have_the_exact_populations,
    "box": fill_the_box,
    "log Z": know_log_z,
}
