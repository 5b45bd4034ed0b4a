"""The C++ kernel: lanes, tiles, threads, what is no number, and where there is no compiler."""

from __future__ import annotations

import copy
import ctypes
import pickle
import re

import numpy as np
import openmm
import pytest
import torch
from systems import ALANINES, KINDS, PEPTIDES, amber_model, batch, by, cluster, one

import lit_bg.forces.kernel as module
import lit_bg.forces.kernel_library as compiled
from lit_bg.forces import translate
from lit_bg.forces.kernel import artanh_series
from lit_bg.forces.kernel_library import library

needs_compiler = pytest.mark.skipif(library() is None, reason="no C++ compiler")
ALL = KINDS | ALANINES


@needs_compiler
class TestKernel:
    def test_is_what_molecules_are_evaluated_by(self):
        for name in (*ALANINES, *PEPTIDES):
            assert not translate((ALANINES | PEPTIDES)[name]()[0]).uses_torch(batch(name, 1)), name

    @pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 100])
    def test_no_configuration_sees_its_lane(self, size):
        field, x = translate(ALANINES["amber96 implicit/obc1"]()[0]), batch("amber96 implicit/obc1", 100)
        energy, forces = field.energy_and_forces(x)
        for rows in torch.arange(100).split(size):
            assert torch.equal(field.energy_and_forces(x[rows])[1], forces[rows])
            assert torch.equal(field.energy(x[rows]), energy[rows])

    def test_threads_give_the_same(self):
        field, x = translate(ALANINES["amber96 implicit/obc1"]()[0]), batch("amber96 implicit/obc1", 333)
        alone = field.energy_and_forces(x)
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(3)
            together = field.energy_and_forces(x)
        finally:
            torch.set_num_threads(before)
        assert torch.equal(alone[0], together[0])
        assert torch.equal(alone[1], together[1])

    def test_a_bad_configuration_spoils_no_other(self):
        field, x = translate(ALANINES["amber96 implicit/obc1"]()[0]), batch("amber96 implicit/obc1", 40)
        energy, forces = field.energy_and_forces(x)
        spoilt = x.clone()
        spoilt[3, 5, 0], spoilt[7, 2], spoilt[9] = torch.nan, spoilt[7, 13], torch.inf
        found_energy, found = field.energy_and_forces(spoilt)
        bad = torch.zeros(40, dtype=torch.bool)
        bad[[3, 7, 9]] = True
        assert (found_energy[bad] == torch.inf).all()
        assert (found[bad] == 0).all()
        assert torch.equal(found_energy[~bad], energy[~bad])
        assert torch.equal(found[~bad], forces[~bad])

    def test_a_view_is_read_as_it_is(self):
        field, x = translate(ALANINES["amber96 implicit/obc1"]()[0]), batch("amber96 implicit/obc1", 12)
        strided = x.permute(1, 2, 0).contiguous().permute(2, 0, 1)[::2]
        torch.testing.assert_close(field.energy(strided), field.energy(x[::2].clone()), rtol=0, atol=0)

    def test_an_empty_batch(self):
        energy, forces = translate(ALANINES["amber96 implicit/obc1"]()[0]).energy_and_forces(torch.zeros(0, 22, 3))
        assert energy.shape == (0,)
        assert forces.shape == (0, 22, 3)

    def test_slopes_that_are_not_kept_are_computed_again(self, tmp_path, monkeypatch):
        system, _ = PEPTIDES["penta_alanine implicit/gbn2.xml"]()
        x = batch("penta_alanine implicit/gbn2.xml", 8)
        kept = translate(system).energy_and_forces(x)
        source = compiled.SOURCE.read_text()
        assert "MOST_STORED = 1 << 20" in source
        (tmp_path / "kernel.cpp").write_text(source.replace("MOST_STORED = 1 << 20", "MOST_STORED = 0"))
        monkeypatch.setattr(compiled, "SOURCE", tmp_path / "kernel.cpp")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(module, "library", library.__wrapped__)
        torch.testing.assert_close(translate(system).energy_and_forces(x), kept, rtol=1e-12, atol=1e-9)

    def test_wrong_code_is_found_out(self, monkeypatch):
        field, x = translate(ALANINES["amber96 vacuum"]()[0]), batch("amber96 vacuum", 20)
        right = by("torch", ALANINES["amber96 vacuum"]()[0]).energy_and_forces(x)
        honest = module.CppKernel.__call__
        monkeypatch.setattr(
            module.CppKernel, "__call__", lambda *a: (lambda u, f: (u, f if f is None else 0.9 * f))(*honest(*a))
        )
        with pytest.warns(UserWarning, match="the kernel of this force field gave wrong energies or forces"):
            found = field.energy_and_forces(x)
        torch.testing.assert_close(found, right)
        made = len(field._made)
        monkeypatch.setattr("lit_bg.forces.force_field.serve", lambda *_: pytest.fail("asked again"))
        field.energy_and_forces(x)
        assert len(field._made) == made

    def test_a_coordinate_that_is_no_number_has_no_energy(self):
        system, x0 = KINDS["Nonbonded"]()
        for code in ("kernel", "torch", "autograd"):
            field, x = by(code, system), torch.from_numpy(x0).repeat(3, 1, 1)
            field.energy(x)
            x[1, 1, 0], x[2, 0, 2] = torch.inf, torch.nan
            assert field.energy(x).isfinite().tolist() == [True, False, False]

    @pytest.mark.parametrize("code", ["kernel", "torch", "autograd"])
    @pytest.mark.parametrize("name", ["CMAPTorsion", "amber96 implicit/obc1"])
    def test_inference_mode_changes_nothing(self, name, code):
        system, x0 = ALL[name]()
        x = torch.from_numpy(x0) + 0.005 * torch.randn(3, *x0.shape, dtype=torch.float64)
        right, field = by(code, system).energy_and_forces(x), by(code, system)
        with torch.inference_mode():
            torch.testing.assert_close(field.energy_and_forces(x.clone()), right)
            torch.testing.assert_close(field.energy(x.clone()), right[0])
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(field.energy(x).sum(), x, create_graph=True)
        torch.testing.assert_close(-gradient.detach(), right[1])
        torch.autograd.grad(gradient.square().sum(), x)

    @pytest.mark.parametrize("warm", [False, True])
    def test_the_default_device_is_not_that_of_the_configurations(self, warm):
        field, x = translate(ALANINES["amber96 implicit/obc1"]()[0]), batch("amber96 implicit/obc1", 3)
        right = by("torch", ALANINES["amber96 implicit/obc1"]()[0]).energy_and_forces(x)
        if warm:
            field.energy(x)
        with torch.device("meta"):
            found = field.energy_and_forces(x)
            assert not field.uses_torch(x)
        torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-8)

    @pytest.mark.parametrize("n", [1, 4])
    def test_spheres_without_extent(self, n):
        system, x0 = cluster(n)
        force = openmm.GBSAOBCForce()
        for _ in range(n):
            force.addParticle(0.3, 0.009, 0.8)
        system.addForce(force)
        x = torch.from_numpy(x0)[None]
        assert torch.equal(translate(system).energy(x), by("torch", system).energy(x))

    @pytest.mark.parametrize("model", ["hct", "gbn2"])
    def test_spheres_of_negative_radius(self, model):
        system, x0 = one(lambda n: amber_model(model, n, 0.13, -0.113))
        x = torch.from_numpy(x0)[None]
        torch.testing.assert_close(translate(system).energy(x), by("torch", system).energy(x), rtol=1e-12, atol=0)

    def test_copies_share_it_and_a_pickle_makes_its_own(self):
        field, x = translate(ALANINES["amber96 vacuum"]()[0]), batch("amber96 vacuum", 3)
        energy = field.energy(x)
        assert copy.deepcopy(field) is field
        assert torch.equal(pickle.loads(pickle.dumps(field)).energy(x), energy)

    @pytest.mark.parametrize("mirror", [module.Parameters, module.CppBatch])
    def test_structures_are_laid_out_as_the_source_says(self, mirror):
        """Member by member: names and kinds in the order of kernel.cpp."""
        text = compiled.SOURCE.read_text()
        text = text[text.index(f"template <class T> struct {mirror.__name__.removeprefix('Cpp')} {{") :]
        text = text[text.index("{") + 1 : text.index("};")]
        lines = [line.split("//")[0] for line in text.splitlines()]
        members = [part.strip() for part in " ".join(lines).split(";") if part.strip()]
        found = []
        for member in members:
            kind = ctypes.c_void_p if "*" in member else ctypes.c_int64 if member.startswith("int64_t") else ctypes.c_double
            names = re.sub(r"\b(const|int32_t|int64_t|double|T)\b|\*", "", member)
            found += [(name.strip(), kind) for name in names.split(",")]
        box = ["xx", "yx", "yy", "zx", "zy", "zz"]
        for place in [k for k, (name, _) in enumerate(found) if name.startswith("box[")]:
            found[place : place + 1] = [(name, ctypes.c_double) for name in box]
        assert found == list(mirror._fields_)


class TestWithoutACompiler:
    def test_torch_evaluates(self, monkeypatch):
        monkeypatch.setattr("lit_bg.forces.force_field.library", lambda: None)
        field, x = translate(ALANINES["amber96 vacuum"]()[0]), batch("amber96 vacuum", 5)
        assert field.uses_torch(x)
        torch.testing.assert_close(field.energy(x), by("autograd", ALANINES["amber96 vacuum"]()[0]).energy(x))

    def test_none_is_found(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("CXX", raising=False)
        assert library.__wrapped__() is None

    def test_one_that_fails_is_told_of_once(self, monkeypatch, tmp_path):
        compiler = tmp_path / "g++"
        compiler.write_text("#!/bin/sh\necho 'kernel.cpp:1: error: no such thing as a vector' >&2\nexit 1\n")
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        with pytest.warns(UserWarning, match="more slowly: kernel.cpp:1: error: no such thing as a vector"):
            assert library.__wrapped__() is None
        assert not list((tmp_path / "cache").rglob("*.so"))

    def test_one_that_is_no_program_is_told_of(self, monkeypatch, tmp_path):
        compiler = tmp_path / "g++"
        compiler.write_bytes(b"\x00\x01\x02")
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
        with pytest.warns(UserWarning, match="Exec format error"):
            assert library.__wrapped__() is None

    @needs_compiler
    def test_without_a_home_a_temporary_folder_does(self, monkeypatch):
        def homeless() -> None:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(compiled.Path, "home", homeless)
        assert library.__wrapped__() is not None

    @needs_compiler
    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(lambda b: b[: len(b) // 2], id="half of it", marks=pytest.mark.slow),
            pytest.param(lambda b: b"", id="empty", marks=pytest.mark.slow),
            pytest.param(lambda b: b[:8192] + bytes(len(b) - 8192), id="zeros"),
        ],
    )
    def test_damaged_code_is_compiled_again(self, damage, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert library.__wrapped__() is not None
        (path,) = tmp_path.rglob("*.so")
        whole = path.read_bytes()
        path.unlink()  # the file that is loaded stays as it is
        path.write_bytes(damage(whole))
        assert library.__wrapped__() is not None
        assert path.read_bytes() == whole

    @needs_compiler
    def test_a_cache_that_cannot_be_written_is_gone_without(self, monkeypatch, tmp_path):
        def refuse(*_: object) -> None:
            raise PermissionError("read-only")

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        honest = compiled._load
        monkeypatch.setattr(compiled, "_load", lambda path, *a: (refuse if tmp_path in path.parents else honest)(path, *a))
        assert library.__wrapped__() is not None
        assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("largest", [1e-3, 0.1, 0.4, 0.6])
@pytest.mark.parametrize("error", [1e-8, 3e-15])
def test_artanh_series(largest, error):
    z = np.linspace(0, largest, 777)[1:]
    series = artanh_series(largest, error)
    assert series
    exact = np.arctanh(np.sqrt(z)) / np.sqrt(z)
    np.testing.assert_allclose(np.polynomial.polynomial.polyval(z, series), exact, rtol=1.5 * error)


@pytest.mark.parametrize(("largest", "error"), [(1.0, 1e-8), (0.99, 1e-8), (0.8, 3e-15)])
def test_a_series_that_would_be_too_long_is_empty(largest, error):
    assert artanh_series(largest, error) == ()


@needs_compiler
@pytest.mark.parametrize("model", ["obc2", "gbn2"])
@pytest.mark.parametrize("n", [64, 65, 300])
def test_many_tiles_of_atoms(n, model):
    system, _ = cluster(n)
    pairs = openmm.NonbondedForce()
    for i in range(n):
        pairs.addParticle(0.1 * (-1) ** i, 0.25, 0.3)
    pairs.addException(0, n - 1, 0.2, 0.3, 0.1)
    system.addForce(pairs)
    system.addForce(amber_model(model, n, 0.1, 0.08))
    grid = torch.cartesian_prod(*[torch.arange(7.0, dtype=torch.float64)] * 3)[:n] * 0.3
    x = grid + 0.02 * torch.randn(5, n, 3, dtype=torch.float64)
    right = by("torch", system).energy_and_forces(x)
    torch.testing.assert_close(by("kernel", system).energy_and_forces(x), right, rtol=1e-10, atol=1e-9)
    single = by("kernel", system).energy_and_forces(x.float())[1]
    exact = by("torch", system).energy_and_forces(x.float().double())[1]
    assert (single - exact).abs().max() < 2e-5 * exact.square().mean().sqrt()
