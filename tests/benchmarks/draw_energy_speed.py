"""Measure energies with forces per second over batch sizes and sizes of molecules, and draw both for docs/.

    OMP_NUM_THREADS=1 python tests/benchmarks/draw_energy_speed.py

Poly-alanines in amber99sbildn with amber99_obc (OpenMM's native GBSA-OBC), one thread, medians of turns. About three minutes.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from openmm import app, unit

sys.path.insert(0, str(Path(__file__).parent))
from test_energy_speed import FORCE_FIELDS, ROOT, compare, per_second, thermal

from lit_bg.forces import translate

DOCS = ROOT / "docs"
BATCHES = [1, 4, 16, 64, 256, 1024, 4096, 10_000]
RESIDUES = [1, 3, 5, 10, 20, 40, 88]  # 10 atoms each, and 12 of the caps: 22 to 892


def poly_alanine(residues: int) -> tuple[app.Topology, np.ndarray]:
    """A chain ACE-ALA...-NME, made of penta-alanine by repeating the step from its third residue to the fourth."""
    read = app.PDBFile(str(ROOT / "experiments/penta_alanine.pdb"))
    x = np.asarray(read.positions.value_in_unit(unit.nanometer))
    rows = [[atom.index for atom in residue.atoms()] for residue in read.topology.residues()]
    third, fourth = x[rows[3]], x[rows[4]]
    # The rigid motion from one residue to the next (Kabsch)
    u, _, vt = np.linalg.svd((third - third.mean(0)).T @ (fourth - fourth.mean(0)))
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt

    def ahead(y: np.ndarray, steps: int) -> np.ndarray:
        for _ in range(abs(steps)):
            forth = (y - third.mean(0)) @ turn + fourth.mean(0)
            y = forth if steps > 0 else (y - fourth.mean(0)) @ turn.T + third.mean(0)
        return y

    middle = [ahead(third, k - 2) for k in range(1, residues)]
    places = [x[rows[0]], x[rows[1]], *middle, ahead(x[rows[6]], residues - 5)]
    topology, before = app.Topology(), None
    chain = topology.addChain()
    old = list(read.topology.residues())
    for k in range(residues + 2):
        like = old[0] if k == 0 else old[6] if k == residues + 1 else old[3]
        new = topology.addResidue(like.name, chain)
        atoms = {atom.name: topology.addAtom(atom.name, atom.element, new) for atom in like.atoms()}
        for a, b in like.internal_bonds():
            topology.addBond(atoms[a.name], atoms[b.name])
        if before is not None:
            topology.addBond(before["C"], atoms["N"])
        before = atoms
    return topology, np.concatenate(places)


def rate_at(residues: int, batch: int) -> float:
    """Energies with forces per second in batches of this size, the median of some."""
    topology, x0 = poly_alanine(residues)
    field = translate(app.ForceField(*FORCE_FIELDS["gbsa"]).createSystem(topology, constraints=None, rigidWater=False))
    x = thermal(x0, batch).float()
    field.energy_and_forces(x)
    repeats = max(3, min(200, 2 * 10**7 // len(x0) ** 2 // batch))
    return statistics.median(per_second(lambda: field.energy_and_forces(x), batch) for _ in range(repeats))


def main() -> None:
    torch.set_num_threads(1)
    print("atoms, configurations per second of lit_bg, of OpenMM's Reference and CPU platforms, ratio to the better")
    sizes, ours, theirs = [], [], {"Reference": [], "CPU": []}
    for residues in RESIDUES:
        topology, x0 = poly_alanine(residues)
        system = app.ForceField(*FORCE_FIELDS["gbsa"]).createSystem(topology, constraints=None, rigidWater=False)
        n = len(x0)
        x = thermal(x0, max(64, min(1024, 2**20 // n**2 // 64 * 64))).float()
        rates, peers = compare(translate(system), system, x, turns=5)
        sizes.append(n)
        ours.append(statistics.median(rates))
        for name, found in peers.items():
            theirs[name].append(statistics.median(found))
        best = max(found[-1] for found in theirs.values())
        print(f"{n} {ours[-1]:.3g} {theirs['Reference'][-1]:.3g} {theirs['CPU'][-1]:.3g} {ours[-1] / best:.1f}", flush=True)
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    axes.loglog(sizes, ours, "o-", label="lit_bg, batches")
    for name, found in theirs.items():
        axes.loglog(sizes, found, "s--", label=f"OpenMM, {name}")
    axes.set(xlabel="atoms", ylabel="energies with forces per second", title="poly-alanine, GBSA-OBC, one thread")
    axes.legend(frameon=False)
    figure.savefig(DOCS / "energy_speed_size.png", dpi=150)

    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for residues in (1, 3, 5, 88):
        rates = {batch: rate for batch in BATCHES if batch <= 1024 or residues < 88 for rate in [rate_at(residues, batch)]}
        n = 10 * residues + 12
        print(
            f"{n} atoms, per second by batch: {', '.join(f'{batch}: {rate:.3g}' for batch, rate in rates.items())}", flush=True
        )
        axes.loglog(list(rates), list(rates.values()), "o-", label=f"{n} atoms")
    axes.set(xlabel="configurations in a batch", ylabel="energies with forces per second", title="GBSA-OBC, one thread")
    axes.legend(frameon=False)
    figure.savefig(DOCS / "energy_speed_batch.png", dpi=150)


if __name__ == "__main__":
    main()
