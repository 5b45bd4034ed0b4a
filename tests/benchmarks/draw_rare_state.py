"""Draw free energies of alanine dipeptide by several samplers beside replica exchange, for experiments/README.md.

    python tests/benchmarks/draw_rare_state.py data/alanine_dipeptide.npz importance.npz chains.npz populations.npz

The files are those of `python -m lit_bg.sample RUN --sampler ... --out FILE`, RUN being one of alanine_dipeptide_rare.yaml.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import torch

from lit_bg.data.dataset import Dataset
from lit_bg.data.given_samples import read_samples
from lit_bg.diagnostics.profiles import bin_edges, reference_curve
from lit_bg.energies import Molecule
from lit_bg.estimators import profile
from lit_bg.figures.style import TARGET, band, caption, labels, legend, new_figure, save
from lit_bg.report.notation import count
from lit_bg.report.summary import Summary

ROOT = Path(__file__).parents[2]
BINS = 60
COLOURS = ["#1f5fa8", "#d9772b", "#3a8f5c", "#8a4fa3"]


def curve(energy: Molecule, torsion: str, file: str) -> tuple[str, torch.Tensor, torch.Tensor]:
    """Return a name with its cost, and the free energy [kT] along a torsion with its standard error, of samples in a file."""
    given = read_samples(Path(file), energy)
    angle = energy.observables[torsion]
    a = angle.function(given.flat).double().reshape(given.lead)
    kind = "populations" if given.ancestor is not None else "chains" if len(given.lead) == 2 else "draws"
    log_w = given.log_w
    if kind == "draws" and log_w is None:
        log_w = -given.u - given.log_q
    f, error = profile(a, None if log_w is None else log_w.double(), bin_edges(angle, BINS), True, kind, given.ancestor)
    summary = Summary.read(f"{file}.summary.json")
    sampler = summary.origin.sampler
    name = sampler.parameters["kernel"]["class"] if kind == "chains" else sampler.name
    return f"{name}, {count(round(summary.cost.energies, -4))} energies", f, error


def main(data: str, *files: str) -> None:
    """Draw all curves along both torsions, and below what they differ by from the first."""
    energy = Molecule(str(ROOT / "experiments/alanine_dipeptide.pdb"), forcefield=["amber96.xml", "implicit/obc1.xml"])
    reference = Dataset.load(data, energy)
    figure, axes = new_figure(9.6, 5.2, 2, 2, sharex=True, sharey="row", height_ratios=[3, 1.3])
    for (top, bottom), torsion in zip(axes.T, ("phi", "psi"), strict=True):
        angle = energy.observables[torsion]
        edges = bin_edges(angle, BINS)
        degrees = np.degrees((edges[1:] + edges[:-1]).numpy() / 2)
        f0, error0 = reference_curve(reference.series(angle.function(reference.x)), angle, BINS)
        zero = f0[torch.isfinite(f0)].min()
        found = [curve(energy, torsion, file) for file in files]
        _show(top, degrees, f0 - zero, error0, TARGET, "replica exchange, 1.1e8 energies", True)
        for colour, (name, f, error) in zip(COLOURS, found, strict=False):
            _show(top, degrees, f - zero, error, colour, name)
        first = torch.where(torch.isfinite(found[0][2]), found[0][1], math.nan)
        _show(bottom, degrees, 0 * first, found[0][2], COLOURS[0], None)
        _show(bottom, degrees, f0 - first, error0, TARGET, None, True)
        for colour, (_, f, error) in zip(COLOURS[1:], found[1:], strict=False):
            _show(bottom, degrees, f - first, error, colour, None)
        bottom.set_ylim(-0.8, 0.8)
        top.set_xlim(-180, 180)
        top.set_xticks(range(-180, 181, 60))
        labels(bottom, f"{torsion} [degrees]", f"minus {found[0][0].partition(',')[0]}" if torsion == "phi" else "")
    labels(axes[0, 0], "", "free energy [kT]")
    legend(axes[0, 0])
    caption(
        figure,
        "Alanine dipeptide, amber96 + OBC1, 300 K",
        "bands: 2 standard errors; bins with fewer than 5 effective samples are left out",
    )
    save(figure, ROOT / "experiments/alanine_dipeptide_profiles.png")


def _show(ax, x, f, error, colour, label, dashed=False):
    """Draw a curve with its band, where it has an error bar."""
    known = torch.isfinite(error)
    f = torch.where(known, f, math.nan).numpy()
    band(ax, x, f, torch.where(known, error, math.nan).numpy(), colour, label, dashed)


if __name__ == "__main__":
    main(*sys.argv[1:])
