"""Free energies of trained runs: absolute ones, their differences, and MBAR over all that share a space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_bg.data.reduced_potentials import write_u_kn, write_u_nk
from lit_bg.diagnostics.absolute import Absolute, estimate_absolute
from lit_bg.diagnostics.modes import ModeShare, share_modes, share_pooled
from lit_bg.diagnostics.states import Drawn, Multistate, estimate_states
from lit_bg.energies.base import Modes
from lit_bg.energies.molecule import R
from lit_bg.estimators import group_frames
from lit_bg.evaluate import Till
from lit_bg.kernels.units import in_kelvin
from lit_bg.report.energy_units import size_of_kT
from lit_bg.report.free_energies import (
    FreeEnergyVerdict,
    judge_run,
    judge_states,
    tell_difference,
    tell_modes,
    tell_run,
    tell_states,
    worst,
)
from lit_bg.report.free_energy_numbers import (
    EstimateRow,
    FreeEnergies,
    RunRow,
    StatesRow,
    number_estimate,
    number_run,
    number_states,
)
from lit_bg.report.notation import with_error
from lit_bg.rng import stream
from lit_bg.runs.held_out import HeldOut, read_held_out
from lit_bg.runs.load import Run, load
from lit_bg.samples import Evaluation, Samples

CHUNK = 10_000  # configurations in memory of a model at a time


@dataclass
class Member:
    """Holds one run with everything that was drawn from it."""

    name: str
    run: Run
    held: HeldOut | None
    no_frames: str | None  # why frames are of no use
    evaluation: Evaluation | None = None
    found: Absolute | None = None

    @property
    def kT(self) -> float | None:
        """Return kT in kJ/mol; None for a model system."""
        return self.run.energy.kT if in_kelvin(self.run.energy) else None


def of_runs(
    runs: Sequence[str],
    n: int,
    repeats: int,
    units: str,
    data: Sequence[str],
    folder: Path,
    seed: int,
    checkpoint: str,
    device: str,
) -> str:
    """Estimate free energies, write what was found after every run, and return it in words; for arguments see `free_energy`.

    Raises:
        ValueError: a unit that a run does not have, or data of another system; with where earlier results are.
    """
    members = [_read(run, file, n, seed + i, checkpoint, device) for i, (run, file) in enumerate(_pairs(runs, data))]
    for member in members:
        size_of_kT(units, member.kT)
    numbers = FreeEnergies(units)
    words: list[str] = []
    verdicts: list[FreeEnergyVerdict] = []
    file = folder / "free_energy.json"
    try:
        for i, member in enumerate(members):
            lines, row, verdict = _estimate_run(member, n, repeats, units, seed + i)
            words += lines
            verdicts.append(verdict)
            numbers = replace(numbers, runs={**numbers.runs, member.name: row})
            numbers.write(file)
        lines, differences = _tell_differences(members, units)
        words += lines
        numbers = replace(numbers, differences=differences or None)
        numbers.write(file)
        found, why = _estimate_together(members, seed)
        lines, together = _tell_together(members, found, why, units, verdicts)
        words += lines
        numbers = replace(numbers, MBAR=together, verdict=worst(verdicts))
        numbers.write(file)
        _write_states(members, found, folder)
        _draw(members, found, units, folder)
    except (ValueError, OSError, ImportError) as error:
        if not numbers.runs:
            raise
        kind = next(k for k in (OSError, ImportError, ValueError) if isinstance(error, k))
        raise kind(f"{str(error).rstrip('.')}; what was found before is in '{file}'.") from error
    return "\n".join([*words, f"Verdict: {numbers.verdict}", f"Results in {folder}"])


def _pairs(runs: Sequence[str], data: Sequence[str]) -> list[tuple[str, str | None]]:
    files: Sequence[str | None] = data or [None] * len(runs)
    return list(zip(runs, files, strict=True))


def _read(path: str, file: str | None, n: int, seed: int, checkpoint: str, device: str) -> Member:
    run = load(path, checkpoint, device)
    held, no_frames = read_held_out(run, n, file, seed), None
    if not run.generator.has_log_prob:
        no_frames = f"{type(run.generator).__name__} has no tractable log_prob, which BAR needs at the frames"
    elif held is None:
        no_frames = (
            "the run was trained without reference data, and its own proposals, reweighted, are not independent of "
            "themselves; frames of the target, by --data, would allow BAR"
        )
    return Member("/".join(run.folder.absolute().parts[-2:]), run, held, no_frames)


@torch.no_grad()
def _estimate_run(member: Member, n: int, repeats: int, units: str, seed: int) -> tuple[list[str], RunRow, FreeEnergyVerdict]:
    """Draw proposals, weigh the frames, and estimate; return words, numbers, and whether to trust them."""
    run, held = member.run, member.held
    energy = run.energy.given()
    evaluation = _evaluate(run, n, seed, held if member.no_frames is None else None)
    proposals, reference = evaluation.proposals, evaluation.reference
    reverse = None
    if held is not None and reference is not None:
        reverse = (-reference.u - reference.log_q).reshape(held.u.shape)
    found = estimate_absolute(-proposals.log_w, reverse, repeats, stream(seed, "free energy/bootstrap"))
    member.evaluation, member.found = evaluation, found
    verdict = judge_run(
        found,
        type(run.generator).__name__,
        run.generator.exact_density,
        member.no_frames,
        held.problems if held is not None and reverse is not None else (),
        None if energy.log_Z is None else -float(energy.log_Z),
    )
    size = size_of_kT(units, member.kT)
    frames = ""
    if reverse is not None and held is not None:
        frames = f", {found.frames} frames ({held.source}), {found.independent} of them independent"
    words = [
        f"{member.name} ({energy.name}): {found.proposals} proposals, {found.unreached} without weight{frames}",
        *tell_run(found, units, member.kT),
    ]
    exact, shares = None if energy.log_Z is None else -float(energy.log_Z), None
    if exact is not None:
        best = found.best
        off = f", off by {(best.value - exact) / best.error:+.1f} standard errors" if best.error > 0 else ""
        words.append(f"  exact: {with_error(exact * size)}{off}")
    modes = energy.modes
    if modes is not None:
        shares = _share(modes, proposals, held, reverse, found, run.device)
        words += tell_modes(shares, size, units)
    words += [f"  {sentence}" for sentence in verdict.sentences]
    source = None if held is None else held.source
    return words, number_run(found, member.kT, verdict, energy.name, source, exact, shares, evaluation.cost), verdict


def _evaluate(run: Run, n: int, seed: int, held: HeldOut | None) -> Evaluation:
    """Draw proposals and ask for the density of frames (T, W), flattened, in batches."""
    till, parts = Till(run.generator, run.energy), []
    for part in run.stream(n, seed, CHUNK):
        till.passed(len(part.x))
        parts.append(part)
    drawn, reference = Samples.cat(parts), None
    if held is not None:
        x = held.x.flatten(0, 1)
        reference = Samples(x, _in_chunks(run.log_prob, x, run.device), held.u.flatten())
        till.passed(len(x))
    proposals = Samples(drawn.x, drawn.log_q.double().cpu(), drawn.u.double().cpu())
    return Evaluation(proposals, reference, exact_density=run.generator.exact_density, cost=till.cost)


def _share(
    modes: Modes, proposals: Samples, held: HeldOut | None, reverse: Tensor | None, found: Absolute, device: torch.device
) -> dict[str, ModeShare]:
    r"""Return how every mode is held: by the weights of proposals, and where there is BAR by those of frames, too.

    Together they are samples of the mixture $n_q q + n_\pi e^{F - u}$, and each counts by $e^{-u}$ over it. A proposal without
    a density has no part in it.
    """
    if held is None or reverse is None or found.bar is None:
        label = _in_chunks(modes.label, proposals.x, device).long()
        return share_modes(modes.names, label, proposals.log_w, {})
    known = torch.isfinite(proposals.log_q)
    x, u, works = held.x[found.kept].flatten(0, 1), held.u[found.kept].flatten(), reverse[found.kept].flatten()
    target = torch.cat([proposals.u[known].nan_to_num(nan=torch.inf), u])
    densities = torch.stack([torch.cat([-proposals.log_q[known], u + works]), target])
    label = _in_chunks(modes.label, torch.cat([proposals.x[known.to(proposals.x.device)], x.to(proposals.x.device)]), device)
    counts = torch.tensor([int(known.sum()), len(u)])
    f = torch.tensor([0.0, found.bar.value], dtype=torch.float64)
    return share_pooled(modes.names, label.long(), densities, target, counts, f)


def _tell_differences(members: list[Member], units: str) -> tuple[list[str], dict[str, dict[str, EstimateRow]]]:
    """Return differences of absolute free energies to the first, each by its own generator (DeepBAR).

    References:
        Ding, Zhang, J. Phys. Chem. Lett. 12, 2509 (2021), doi:10.1021/acs.jpclett.1c00189.
    """
    first, words, rows = members[0], [], {}
    assert first.found is not None
    for member in members[1:]:
        assert member.found is not None
        difference = member.found.best.minus(first.found.best)
        alike = member.kT is None and first.kT is None
        same = alike or (member.kT is not None and first.kT is not None and math.isclose(member.kT, first.kT, rel_tol=1e-6))
        kT = first.kT if same else None
        name = f"F({member.name}) - F({first.name})"
        words += [name + (" by DeepBAR" if difference.parts is not None else ""), *tell_difference("", difference, units, kT)]
        notes = []
        dims = [m.run.energy.space.dof for m in (first, member)]
        if dims[0] != dims[1]:
            notes.append(f"{dims[1]} and {dims[0]} dimensions: the value depends on the unit of length")
        if not same:
            notes.append("at different temperatures: a difference of F / kT")
        words += [f"  {note}." for note in notes]
        rows[name] = number_estimate(difference, kT)
    return words, rows


def _estimate_together(members: list[Member], seed: int) -> tuple[Multistate | None, str | None]:
    """Estimate by MBAR over generators and energies of all runs, or say why that is not possible."""
    space = members[0].run.energy.space
    if any(m.run.energy.space != space for m in members[1:]):
        shapes = ", ".join(str(tuple(m.run.energy.space.shape)) for m in members)
        return None, f"MBAR is left out: the runs have configurations of different spaces (shapes {shapes})."
    without = [type(m.run.generator).__name__ for m in members if not m.run.generator.has_log_prob]
    if without and (len(members) > 1 or members[0].held is not None):
        return None, f"MBAR is left out: {without[0]} has no tractable log_prob, and needs one at the samples of other states."
    drawn = []
    for k, member in enumerate(members):
        assert member.evaluation is not None
        u = _reduced(members, member.evaluation.proposals, k)
        lost = ~torch.isfinite(u[:, k])  # a proposal without a density of its own is of no other state either
        u[lost] = math.inf
        u[lost, k] = 0.0
        drawn.append(Drawn(u, torch.full((len(u),), k)))
    for k, member in enumerate(members):
        reference = None if member.evaluation is None else member.evaluation.reference
        if member.held is None or reference is None or member.found is None:
            continue
        frames, walkers = member.held.u.shape
        index = torch.arange(frames * walkers).reshape(frames, walkers)[member.found.kept]
        u = _reduced(members, Samples(*(column[index.flatten()] for column in reference)), k)
        drawn.append(Drawn(u, torch.full((len(u),), len(members) + k), group_frames(*index.shape).flatten()))
    names = [f"generator of {m.name}" for m in members] + [m.name for m in members]
    try:
        first = len(members) if len(members) > 1 else 0
        return estimate_states(names, drawn, stream(seed, "free energy/states"), first), None
    except ValueError as error:
        return None, str(error)


@torch.no_grad()
def _reduced(members: list[Member], samples: Samples, own: int) -> Tensor:
    """Return reduced energies (n, K) in all states: densities of the generators, then energies; +inf where there is none.

    Args:
        members: all runs.
        samples: proposals or frames of one of them, with its own log q and u: these are not asked for again.
        own: which.
    """
    x, columns = samples.x, []
    for k, member in enumerate(members):
        columns.append(-(samples.log_q if k == own else _in_chunks(member.run.log_prob, x, member.run.device)))
    for k, member in enumerate(members):
        columns.append(samples.u if k == own else _in_chunks(_bounded(member.run), x, member.run.device))
    u = torch.stack(columns, -1).double()
    u[u.isnan()] = math.inf
    return u


def _bounded(run: Run) -> Any:
    energy = run.energy.given()
    return lambda x: torch.where(energy.in_region(x), energy(x), torch.inf)


def _in_chunks(function: Any, x: Tensor, device: torch.device) -> Tensor:
    with torch.no_grad():
        return torch.cat([function(part.to(device)).double().cpu() for part in x.split(CHUNK)])


def _tell_together(
    members: list[Member],
    found: Multistate | None,
    why: str | None,
    units: str,
    verdicts: list[FreeEnergyVerdict],
) -> tuple[list[str], StatesRow | str | None]:
    """Return what MBAR says in words and numbers; of one run alone it is BAR again, and only the numbers are kept."""
    if found is None:
        return [why] if why and len(members) > 1 else [], why
    kT = members[0].kT if len({m.run.energy.kT for m in members}) == 1 else None
    verdict = judge_states(found, ordered=False)
    row = number_states(found, kT, verdict)
    if len(members) == 1:
        return [], row
    words = [
        "MBAR over all generators and energies; generators are normalised, so theirs should be 0",
        *tell_states(found, units, kT),
    ]
    size = size_of_kT(units, kT)
    for k, member in enumerate(members[1:], 1):
        value, analytic, spread = found.difference(len(members) + k, to=len(members))
        name = f"F({member.name}) - F({members[0].name})"
        shown = with_error(value * size, max(analytic, spread) * size)
        words.append(f"  {name} = {shown} {units}: {analytic * size:.2g} analytic, {spread * size:.2g} by bootstrap")
    verdicts.append(verdict)
    return words + [f"  {sentence}" for sentence in verdict.sentences], row


def _write_states(members: list[Member], found: Multistate | None, folder: Path) -> None:
    if found is None:
        return
    temperatures = {round(m.kT / R, 6) for m in members if m.kT is not None}
    write_u_kn(folder / "u_kn.npz", found.names, found.u, found.counts)
    write_u_nk(folder / "u_nk.parquet", found.u, found.counts, temperatures.pop() if len(temperatures) == 1 else None)


def _draw(members: list[Member], found: Multistate | None, units: str, folder: Path) -> None:
    """Draw the convergence of every run, and the overlap of all states."""
    from lit_bg.figures import draw_convergence, draw_matrix
    from lit_bg.figures.style import save

    curves = [(m.name, m.found.convergence) for m in members if m.found is not None]
    estimators = "/".join(sorted({"LFEP" if m.found is None or m.found.bar is None else "BAR" for m in members}))
    if found is not None and len(members) > 1:
        curves.append((f"{found.names[-1]} - {members[0].name}, MBAR", found.convergence))
    detail = "converged where both curves meet within their two-sigma bars long before the end"
    figure = draw_convergence(curves, "F [kT]", f"Free energy by {estimators}", detail)
    save(figure, folder / "forward_reverse_convergence.png")
    if found is None or (found.counts > 0).sum() < 2:
        return
    names = [name.replace("generator of ", "q of ") for name in found.names]
    detail = f"as for equal counts; samples: {', '.join(str(int(n)) for n in found.counts)}"
    figure = draw_matrix(found.even.numpy(), names, "Overlap of states", detail, ("state", "state"))
    save(figure, folder / "mbar_overlap_matrix.png")
