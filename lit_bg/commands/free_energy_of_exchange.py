"""Free energies between the states of a replica exchange that OpenMM has run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_bg.data.openmm_exchange import read_openmm_exchange
from lit_bg.data.reduced_potentials import write_u_kn, write_u_nk
from lit_bg.diagnostics.exchange import mixing
from lit_bg.diagnostics.states import Drawn, estimate_states
from lit_bg.energies.molecule import R
from lit_bg.estimators import group_frames, least_overlap, statistical_inefficiency, subsample
from lit_bg.report.energy_units import size_of_kT
from lit_bg.report.free_energies import judge_states, tell_states
from lit_bg.report.free_energy_numbers import ExchangeFreeEnergies, number_mixing, number_states
from lit_bg.rng import stream

SCALES = 1e-4  # relative: to which reduced energies of one potential go as 1/T
FEWEST = 2  # independent records


def of_exchange(openmm: str, temperatures: Sequence[float], units: str, folder: Path, seed: int) -> str:
    """Estimate by MBAR, write the result folder, and return what was found in words; for the arguments see `free_energy`.

    Records are thinned by the largest statistical inefficiency of the energies of the states and of their sum. The bootstrap
    draws stretches of time, of all states together.

    Raises:
        ValueError: files that are damaged, temperatures that do not fit, or too few records.
    """
    log = read_openmm_exchange(openmm)
    states = log.state.shape[1]
    kelvin = list(temperatures) * states if len(temperatures) == 1 else list(temperatures)
    if len(kelvin) != states:
        raise ValueError(
            f"'{openmm}' holds {states} states and --temperatures gives {len(kelvin)}: give one for each, in order."
        )
    alike = len(set(kelvin)) == 1
    kT = R * kelvin[0] if alike else None
    size_of_kT(units, kT)
    mixed = mixing(log.state)
    u = log.by_state()
    own = u.diagonal(dim1=1, dim2=2)  # (T, K)
    g = max(statistical_inefficiency(series) for series in (own.sum(1), *own.T))
    kept = subsample(len(u), min(g, float(len(u))))
    if len(kept) < FEWEST:
        raise ValueError(
            f"{len(u)} records of '{openmm}' are {len(kept)} independent ones, which have no error bar: simulate longer."
        )
    names = (
        [f"{t:g} K" for t in kelvin] if len(set(kelvin)) == states else [f"state {k} ({t:g} K)" for k, t in enumerate(kelvin)]
    )
    group = group_frames(len(kept), 1).expand(-1, states).flatten()
    drawn = Drawn(u[kept].flatten(0, 1), torch.arange(states).repeat(len(kept)), group)
    found = estimate_states(names, [drawn], stream(seed, "free energy/states"))
    verdict = judge_states(found, ordered=True, round_trips=mixed.round_trips)
    notes = _notes(u, kelvin, log.cut)
    states_row, mixing_row = number_states(found, kT, verdict), number_mixing(mixed)
    ExchangeFreeEnergies(units, len(u), g, states_row, mixing_row, tuple(notes)).write(folder / "free_energy.json")
    write_u_kn(folder / "u_kn.npz", found.names, found.u, found.counts)
    write_u_nk(folder / "u_nk.parquet", found.u, found.counts, kelvin[0])
    _draw(found, mixed, log.iteration, log.state, f"{len(u)} records, {len(kept)} of them independent", folder)
    words = [
        f"{openmm}: {states} states, {len(u)} records, {len(kept)} of them independent (g = {g:.1f})",
        *tell_states(found, units, kT),
        *(f"  {sentence}" for sentence in (*verdict.sentences, *notes)),
        f"Verdict: {verdict.word}",
        f"Results in {folder}",
    ]
    return "\n".join(words)


def _notes(u: Tensor, kelvin: list[float], cut: int) -> list[str]:
    """Return what else a user should know, in sentences."""
    notes = []
    if len(set(kelvin)) > 1:
        notes.append("Between temperatures the difference is that of F / kT = -ln Z, without the part of the momenta.")
        scaled = u * torch.tensor(kelvin, dtype=torch.float64)
        off = ((scaled - scaled[..., :1]).abs() / scaled[..., :1].abs().clamp_min(1.0)).amax((0, 1))
        if off.max() > SCALES:
            k = int(off.argmax())
            notes.append(
                f"Reduced energies of state {k} are not those of state 0 times {kelvin[0]:g}/{kelvin[k]:g}: either the states "
                "differ in more than temperature, or --temperatures are not those of this folder."
            )
    if cut:
        notes.append(f"{cut} records are in one of the two files only, and were left out.")
    return notes


def _draw(found: Any, mixed: Any, iteration: Tensor, state: Tensor, detail: str, folder: Path) -> None:
    from lit_bg.figures import draw_convergence, draw_matrix, draw_replicas
    from lit_bg.figures.style import save

    names = list(found.names)
    least = least_overlap(len(names))
    figures = {
        "mbar_overlap_matrix": draw_matrix(
            found.even.numpy(), names, "Overlap of states", f"{detail}; neighbours need {least:.2g}", ("state", "state"), least
        ),
        "forward_reverse_convergence": draw_convergence(
            [(f"{names[-1]} - {names[0]}", found.convergence)], "-ln Z difference [kT]", "Free energy by MBAR", detail
        ),
        "replica_exchange_matrix": draw_matrix(
            mixed.transitions.numpy(),
            names,
            "Transitions of replicas",
            f"{mixed.round_trips} round trips; memory of the state fades in {mixed.relaxation:.3g} records",
            ("state one record later", "state"),
        ),
        "replica_state_timeseries": draw_replicas(iteration.numpy(), state.numpy(), "Replicas", detail),
    }
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
