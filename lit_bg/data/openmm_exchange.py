"""Replica exchange as OpenMM writes it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor


class ReplicaExchangeLog(NamedTuple):
    """Holds states and reduced energies of replicas at every record, before the exchange that follows it."""

    iteration: Tensor  # (T,) long
    state: Tensor  # (T, K) long, of every replica
    u: Tensor  # (T, K, K) reduced energy of every replica in every state [kT]
    cut: int  # records that one of the files has and the other lacks

    def by_state(self) -> Tensor:
        """Return the reduced energies of the frames of every state, (T, K, K): time, state sampled, state evaluated in."""
        replica = torch.argsort(self.state, 1)  # which is in state s
        return self.u.gather(1, replica[..., None].expand_as(self.u))


def read_openmm_exchange(folder: str | Path) -> ReplicaExchangeLog:
    """Read log.csv and energy.csv of OpenMM's ReplicaExchangeReporter.

    A last line that was cut off, as a killed job leaves it, is left out.

    Raises:
        FileNotFoundError: one of the files is missing.
        ValueError: files that are damaged, or do not belong together.
    """
    log, energy = Path(folder, "log.csv"), Path(folder, "energy.csv")
    if not log.is_file():
        raise FileNotFoundError(f"'{folder}' has no log.csv: give the folder of OpenMM's ReplicaExchangeReporter.")
    if not energy.is_file():
        raise FileNotFoundError(
            f"'{folder}' has no energy.csv, without which there are no free energies: run ReplicaExchangeReporter with "
            "energy=True."
        )
    header, *rows = _lines(log)
    states = sum(name.startswith("Replica_") for name in header)
    if header[:2] != ["Iteration", "Step"] or states != len(header) - 2 or states < 2:
        raise ValueError(f"'{log}' is no log of ReplicaExchangeReporter with two replicas or more: it begins {header[:4]}.")
    table = _numbers(rows, states + 2, log)
    energies = _numbers(_lines(energy), states**2, energy)
    whole = min(len(table), len(energies))
    if whole == 0:
        raise ValueError(f"'{folder}' holds no record yet: simulate, and look again.")
    state = table[:whole, 2:].long()
    bad = torch.nonzero((state.sort(1).values != torch.arange(states)).any(1)).flatten()
    if len(bad):
        i = int(bad[0])
        raise ValueError(f"record {i} of '{log}' has the states {state[i].tolist()}: every state belongs to one replica.")
    u = energies[:whole].reshape(whole, states, states)
    if not torch.isfinite(u).all():
        i = int(torch.nonzero(~torch.isfinite(u).flatten(1).all(1))[0])
        raise ValueError(f"record {i} of '{energy}' has energies that are not finite: the simulation had exploded by then.")
    return ReplicaExchangeLog(table[:whole, 0].long(), state, u, abs(len(table) - len(energies)))


def _lines(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in csv.reader(file) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"'{path}' is no table ({error}).") from error
    if not lines:
        raise ValueError(f"'{path}' is empty.")
    return lines


def _numbers(rows: list[list[str]], columns: int, path: Path) -> Tensor:
    if rows and len(rows[-1]) < columns:
        rows = rows[:-1]  # cut off while it was written
    for i, row in enumerate(rows):
        if len(row) != columns:
            raise ValueError(
                f"line {i} of '{path}' has {len(row)} numbers and the log's replicas ask for {columns}: these files do not "
                "belong together."
            )
    try:
        return torch.tensor([[float(entry) for entry in row] for row in rows], dtype=torch.float64).reshape(-1, columns)
    except ValueError as error:
        raise ValueError(f"'{path}' holds what is no number ({error}).") from error
