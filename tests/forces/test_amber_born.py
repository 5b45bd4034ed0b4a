"""Amber's models are recognised, and nothing else is."""

from __future__ import annotations

import openmm
import pytest
import torch
from openmm.app.internal.customgbforces import GBSAOBC2Force
from systems import ALANINE, ALANINES, app, force_field, salted

from lit_bg.forces import ForceField, translate
from lit_bg.forces.amber_born import match, read_model
from lit_bg.forces.base import System
from lit_bg.forces.born import Born
from lit_bg.forces.custom_gb import CustomGB


class TestModelsOfAmber:
    @pytest.mark.parametrize("model", ["hct", "obc1", "obc2", "gbn", "gbn2"])
    @pytest.mark.parametrize("cutoff", [None, 0.8])
    def test_are_recognised_and_what_their_expressions_say(self, model, cutoff):
        method = app.NoCutoff if cutoff is None else app.CutoffNonPeriodic
        system, x0 = force_field(ALANINE, ["amber96.xml", f"implicit/{model}.xml"], method, cutoff or 1.0)
        (force,) = (f for f in system.getForces() if isinstance(f, openmm.CustomGBForce))
        shared = System(22, tuple([1.0] * 22), None)
        read = read_model(force, shared)
        assert isinstance(read, Born)
        x = torch.from_numpy(x0) + 0.02 * torch.randn(10, 22, 3, dtype=torch.float64)
        found, right = (ForceField([f], 22).energy_and_forces(x) for f in (read, CustomGB(force, shared)))
        torch.testing.assert_close(found[0], right[0], rtol=1e-10, atol=1e-9)
        torch.testing.assert_close(found[1], right[1], rtol=1e-9, atol=1e-9 * float(right[1].abs().max()))

    def test_without_a_surface_term(self):
        force = GBSAOBC2Force(SA=None)
        for k in range(3):
            force.addParticle([0.1 * k, 0.15, 0.8])
        force.finalize()
        model = read_model(force, System(3, (1.0, 1.0, 1.0), None))
        assert model is not None
        assert (model.surface == 0).all()

    @pytest.mark.parametrize(
        "change",
        [
            lambda f: f.setEnergyTermParameters(0, "1.1*" + f.getEnergyTermParameters(0)[0], f.SingleParticle),
            lambda f: f.setComputedValueParameters(1, "B", "1/(1/or-2*I)", f.SingleParticle),
            lambda f: f.addGlobalParameter("scale", 1.0),
            lambda f: f.addEnergyTerm("0.1*B", f.SingleParticle),
            lambda f: f.setEnergyTermParameters(2, f.getEnergyTermParameters(2)[0].replace("78.5", "80"), 2),
        ],
    )
    def test_another_text_is_another_model(self, change):
        system, _ = ALANINES["amber96 implicit/obc1"]()
        (force,) = (f for f in system.getForces() if isinstance(f, openmm.CustomGBForce))
        change(force)
        assert read_model(force, System(22, tuple([1.0] * 22), None)) is None

    def test_salt_is_evaluated_by_its_expressions(self):
        system, _ = salted()
        assert any(isinstance(f, CustomGB) for f in translate(system).exact.forces)

    def test_numbers_are_read(self):
        assert match("a*#+#", "a * 1.5e-3 + 2") == [1.5e-3, 2.0]
        assert match("a*#", "a*b") is None
        assert match("a*#", "a*1;cutoff=2.5") == [1.0]
