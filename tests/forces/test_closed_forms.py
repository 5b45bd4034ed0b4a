"""Closed forms, in torch and in the C++ kernel, against autograd: energies and forces of every system, and at the limits."""

from __future__ import annotations

import pytest
import torch
from systems import ALANINES, KINDS, LIMITS, PEPTIDES, by

from lit_bg.forces.kernel_library import library

needs_compiler = pytest.mark.skipif(library() is None, reason="no C++ compiler")
codes = pytest.mark.parametrize("code", ["torch", pytest.param("kernel", marks=needs_compiler)])
ALL = KINDS | ALANINES | PEPTIDES | LIMITS


@codes
@pytest.mark.parametrize("name", ALL)
class TestEveryClosedForm:
    def test_equals_autograd(self, name, code):
        system, x0 = ALL[name]()
        width = 0.0 if name in ("a near overlap", "a straight angle") else 0.01
        x = torch.from_numpy(x0) + width * torch.randn(12, *x0.shape, dtype=torch.float64)
        energy, forces = by("autograd", system).energy_and_forces(x)
        found_energy, found = by(code, system).energy_and_forces(x)
        assert energy.isfinite().all()
        size = max(1.0, float(forces.square().mean().sqrt()))
        torch.testing.assert_close(found_energy, energy, rtol=1e-12, atol=1e-10)
        torch.testing.assert_close(found, forces, rtol=1e-10, atol=1e-10 * size)

    def test_single_precision(self, name, code):
        system, x0 = ALL[name]()
        field = by(code, system)
        x = (torch.from_numpy(x0) + 0.01 * torch.randn(12, *x0.shape, dtype=torch.float64)).float()
        energy, forces = by("autograd", system).energy_and_forces(x.double())
        found_energy, found = field.energy_and_forces(x)
        assert found.dtype == torch.float32
        rounded = by("autograd", system).energy_and_forces(x)[1]  # where forces nearly cancel, rounding is all there is
        allowed = 1e-6 + 1e-5 * forces.square().mean((1, 2)).sqrt() + 2 * (rounded - forces).abs().amax((1, 2))
        assert ((found - forces).abs().amax((1, 2)) <= allowed).all()
        assert ((found_energy - energy).abs() < 1e-5 * (energy.abs() + 10 * len(x0))).all()
