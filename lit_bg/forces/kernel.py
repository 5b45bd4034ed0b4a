"""Closed forms in C++, for the CPU: the forces that molecules in implicit solvent spend their time with."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_bg.forces.base import Force
from lit_bg.forces.born import Born
from lit_bg.forces.harmonic import HarmonicAngle, HarmonicBond
from lit_bg.forces.kernel_library import library
from lit_bg.forces.nonbonded import Nonbonded
from lit_bg.forces.torsion import PeriodicTorsion

KINDS = {"pairs": Nonbonded, "born": Born, "bond": HarmonicBond, "angle": HarmonicAngle, "torsion": PeriodicTorsion}
HIGHEST = 6  # multiple of the angle in a torsion; that of OpenMM
SERIES_ERROR = {torch.float32: 1e-8, torch.float64: 3e-15}  # of artanh(t) / t
LONGEST_SERIES = 60
FEWEST_PAIRS = 2**18  # of atoms, ordered, in all configurations of a thread: a millisecond, beside which its start is short


class Parameters(ctypes.Structure):
    """Mirrors `Parameters` in kernel.cpp, member by member."""

    _fields_ = (
        [
            (name, ctypes.c_int64)
            for name in (
                *("atoms", "has_pairs", "has_born", "bonds", "angles", "torsions", "apart", "series_terms", "periodic"),
                *("apart_images", "swallows", "saturates"),
            )
        ]
        + [
            (name, ctypes.c_double)
            for name in (
                *("constant", "cutoff2", "k_rf", "c_rf", "switch_start", "switch_inverse", "born_cutoff2", "born_shift"),
                *("xx", "yx", "yy", "zx", "zy", "zz"),
            )
        ]
        + [
            (name, ctypes.c_void_p)
            for name in (
                *("pair", "neck", "reduced", "scaled", "radius", "alpha", "beta", "gamma", "self", "surface", "series"),
                *("apart_atoms", "apart_terms", "bond_atoms", "bond_terms", "angle_atoms", "angle_terms"),
                *("torsion_atoms", "torsion_terms"),
            )
        ]
    )


class CppBatch(ctypes.Structure):
    """Mirrors `Batch` in kernel.cpp, member by member."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("per_energy", ctypes.c_double),
        ("per_force", ctypes.c_double),
        ("energy", ctypes.c_void_p),
        ("forces", ctypes.c_void_p),
    )


class CppKernel:
    """Evaluates some forces of a molecule by compiled code: (B, N, 3) -> energies (B,) float64, forces (B, N, 3).

    As many configurations as a vector register holds are evaluated side by side, from positions to forces within the
    cache, and groups of them on as many threads as torch has. Memory does not grow with the batch.

    Args:
        forces: one of each of `KINDS` at most.
        n: number of atoms.
        box: (3, 3) [nm]; None without a box.
        dtype: of positions, parameters and forces, float32 or float64.
    """

    def __init__(self, forces: list[Force], n: int, box: Tensor | None, dtype: torch.dtype) -> None:
        self.dtype, self.forces = dtype, forces
        code = library()
        assert code is not None
        self._evaluate = code.evaluate_float if dtype == torch.float32 else code.evaluate_double
        self._own: list[Tensor] = []  # what the parameters point to
        by_kind = {kind: next((f for f in forces if isinstance(f, of)), None) for kind, of in KINDS.items()}
        pairs, born = by_kind["pairs"], by_kind["born"]
        self.parameters = p = Parameters(atoms=n, cutoff2=np.inf, born_cutoff2=np.inf)
        i, j = torch.triu_indices(n, n, 1)
        table = torch.zeros(len(i), 4, dtype=torch.float64)
        if box is not None:
            p.periodic = 1
            p.xx, p.yx, p.yy, p.zx, p.zy, p.zz = (float(box[a, b]) for a in range(3) for b in range(a + 1))
        if isinstance(pairs, Nonbonded):
            table[:, :3] = self._pairs(pairs, i, j)
        if isinstance(born, Born):
            table[:, 3] = born.qq[i, j, 0]
            self._born(born, i, j)
        p.pair = self._at(table)
        for kind in ("bond", "angle", "torsion"):
            force = by_kind[kind]
            if force is not None:
                self._bonded(kind, force)

    def __call__(
        self, x: Tensor, forces: bool = True, per_energy: float = 1.0, per_force: float = 1.0
    ) -> tuple[Tensor, Tensor | None]:
        """Return energies [kJ/mol], and forces [kJ/mol/nm] if they are wanted, times factors.

        A configuration with NaN, or without a finite energy and forces, has energy +inf and zero force.

        Args:
            x: (B, N, 3) [nm].
            forces: whether they are wanted.
            per_energy, per_force: what energies and forces are multiplied by.

        Raises:
            MemoryError: there is none for the pairs of one group of configurations.
        """
        x = x.detach().contiguous()
        energy = torch.empty(len(x), dtype=torch.float64, device=x.device)
        found = torch.empty_like(x) if forces else None
        at = None if found is None else found.data_ptr()
        batch = CppBatch(x.data_ptr(), len(x), per_energy, per_force, energy.data_ptr(), at)
        threads = min(torch.get_num_threads(), 1 + len(x) * self.parameters.atoms**2 // FEWEST_PAIRS)
        if not self._evaluate(ctypes.byref(self.parameters), ctypes.byref(batch), threads):
            raise MemoryError(f"there is no memory for the pairs of {self.parameters.atoms} atoms.")
        return energy, found

    def _at(self, values: Tensor, dtype: torch.dtype | None = None) -> int:
        """Keep a copy in the dtype of the kernel, and return its address."""
        own = values.to(dtype or self.dtype).contiguous().clone()
        self._own.append(own)
        return own.data_ptr()

    def _pairs(self, force: Nonbonded, i: Tensor, j: Tensor) -> Tensor:
        """Take what holds for all pairs; return their charge products, c6 and c12, (P, 3)."""
        p = self.parameters
        p.has_pairs = 1
        p.constant += force.tail
        table = 2 * torch.stack([force.qq[i, j, 0], force.c6[i, j, 0], force.c12[i, j, 0]], -1)
        if force.cutoff is None:
            return table
        p.cutoff2, p.k_rf, p.c_rf = force.cutoff**2, force.k_rf, force.c_rf
        start = force.cutoff if force.switch is None else force.switch
        p.switch_start, p.switch_inverse = start, 0.0 if force.switch is None else 1 / (force.cutoff - start)
        if force.apart is None:  # exceptions have no cutoff
            special = force.exceptional[i, j, 0]
            atoms, terms = torch.stack([i[special], j[special]], -1), table[special]
            table[special] = 0.0
            p.apart_images = int(force.periodic)
        else:
            atoms, terms = force.apart.atoms, torch.cat([force.apart.qq, force.apart.c6, force.apart.c12], -1)
        p.apart, p.apart_atoms, p.apart_terms = len(atoms), self._at(atoms, torch.int32), self._at(terms)
        return table

    def _born(self, force: Born, i: Tensor, j: Tensor) -> None:
        p = self.parameters
        p.has_born, p.swallows, p.saturates = 1, int(force.swallows), int(force.saturates)
        if force.cutoff is not None:
            p.born_cutoff2, p.born_shift = force.cutoff**2, force.shift
        for name, value in zip(("alpha", "beta", "gamma"), force.coefficients, strict=True):
            setattr(p, name, self._at(value))
        for name in ("reduced", "scaled", "radius", "surface"):
            setattr(p, name, self._at(getattr(force, name)))
        p.self = self._at(force.self_qq)
        if force.depth is not None:
            assert force.reach is not None
            assert force.distance is not None
            m, d = 2 * force.depth[..., 0], force.distance[..., 0]
            p.neck = self._at(torch.stack([force.reach[i, j, 0], m[i, j], d[i, j], m[j, i], d[j, i]], -1))
        series = artanh_series(largest_square(force), SERIES_ERROR[self.dtype])
        p.series_terms, p.series = len(series), self._at(torch.tensor(series, dtype=torch.float64))

    def _bonded(self, kind: str, force: Any) -> None:
        p, atoms = self.parameters, force.atoms
        p.constant += float(force.constant_energy())
        if kind == "torsion":
            terms = torch.zeros(len(atoms), 2, HIGHEST, dtype=torch.float64)
            terms[:, 0, : len(force.a)], terms[:, 1, : len(force.b)] = force.a[..., 0].T, force.b[..., 0].T
            highest = (terms.abs().sum(1) != 0).long() * torch.arange(1, HIGHEST + 1)
            atoms = torch.cat([atoms, highest.amax(1, keepdim=True)], 1)
        else:
            terms = torch.cat([force.v0, force.k], 1)
        setattr(p, f"{kind}s", len(atoms))
        setattr(p, f"{kind}_atoms", self._at(atoms, torch.int32))
        setattr(p, f"{kind}_terms", self._at(terms))


def serve(forces: list[Force], n: int, box: Tensor | None, dtype: torch.dtype) -> CppKernel | None:
    """Return a kernel for those of the forces that it can evaluate, `kernel.forces`; None if it can none."""
    served = [next((f for f in forces if isinstance(f, kind) and _can_serve(f)), None) for kind in KINDS.values()]
    found = [f for f in served if f is not None]
    return CppKernel(found, n, box, dtype) if found else None


def _can_serve(force: Force) -> bool:
    if isinstance(force, (HarmonicBond, HarmonicAngle)):
        return not force.periodic
    if isinstance(force, PeriodicTorsion):
        return not force.periodic and len(force.a) <= HIGHEST
    return isinstance(force, (Nonbonded, Born))


def largest_square(force: Born) -> float:
    r"""Return the largest $t^2$ of $\tfrac12 \ln(u / l) = \mathrm{artanh}(t)$, $t = (u - l) / (u + l) \le s / (s + o)$."""
    others = force.scaled.flatten().abs()
    return float((others.max() / (others.max() + force.reduced.min())) ** 2) if len(others) else 0.0


@cache
def artanh_series(largest: float, error: float) -> tuple[float, ...]:
    r"""Return the coefficients of artanh(t) / t as a polynomial of t^2 between 0 and `largest`, to a relative error.

    It is the interpolation at Chebyshev's points; without terms where `LONGEST_SERIES` of them are too few, or too large for
    their sum to be that exact, as t nears 1.

    >>> [round(c, 3) for c in artanh_series(0.1, 1e-4)]
    [1.0, 0.332, 0.223]
    """
    if not largest < 1:  # or NaN, of spheres without extent
        return ()
    largest = max(largest, 1e-3)
    z = np.linspace(0, largest, 2001)[1:]
    exact = np.arctanh(np.sqrt(z)) / np.sqrt(z)
    for terms in range(1, LONGEST_SERIES):
        nodes = np.sqrt(0.5 * largest * (1 + np.cos(np.pi * (np.arange(terms) + 0.5) / terms)))
        fit = np.polynomial.Chebyshev.fit(nodes**2, np.arctanh(nodes) / nodes, terms - 1, domain=[0, largest])
        series = fit.convert(kind=np.polynomial.Polynomial, domain=[-1, 1]).coef
        if np.abs(np.polynomial.polynomial.polyval(z, series) / exact - 1).max() < error:
            return tuple(series.tolist())
    return ()
