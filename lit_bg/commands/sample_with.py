"""Samplers run on a trained generator: their samples, the judgement of these, and the files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from lit_bg.cost import Cost
from lit_bg.data.card import describe
from lit_bg.diagnostics.density import density_defect
from lit_bg.diagnostics.proposals import Density
from lit_bg.energies.base import Energy
from lit_bg.energies.condition import read_context
from lit_bg.figures.samples import draw_samples
from lit_bg.figures.style import save
from lit_bg.files import atomic, release
from lit_bg.generators.base import Generator
from lit_bg.generators.mixture_proposal import MixtureProposal
from lit_bg.identity import canonical, compare
from lit_bg.molecules import save_structures, save_topology
from lit_bg.report.assess import assess_samples
from lit_bg.report.cost import price_of_data
from lit_bg.report.origin import Named, SamplerRun
from lit_bg.report.summary import Summary
from lit_bg.rng import stream
from lit_bg.runs.folder import RunFolder
from lit_bg.runs.load import Run, load
from lit_bg.runs.system import DataSection
from lit_bg.samplers.base import Proposer, Result, Sampler
from lit_bg.shipped import locate
from lit_bg.simulators.progress_bar import show_progress
from lit_bg.simulators.recorder import Recorder


def read_sampler(name: str, arguments: Sequence[str] = ()) -> Sampler:
    """Build a sampler from the name of its class or a YAML, with arguments such as "--sampler.particles=500".

    Raises:
        ValueError: there is no such class, or it cannot be built so; the message ends with the way out.
    """
    from lit_bg.config.cli import Parser, sentences

    name = locate(name)
    path = Path(name)
    if path.suffix in (".yaml", ".yml") and not path.is_file():
        raise FileNotFoundError(
            f"there is no file '{name}': give a YAML with class_path and init_args, or a class such as SMC."
        )
    parser = Parser(prog="python -m lit_bg.sample", parser_mode="omegaconf+", exit_on_error=True)
    parser.add_argument("--sampler", type=Sampler, enable_path=True)
    with sentences():
        return parser.instantiate(parser.parse_args([f"--sampler={name}", *arguments])).sampler


def propose_from(runs: list[str], checkpoint: str, device: str, context: Sequence[str] = ()) -> tuple[Run, Proposer]:
    """Return the first run, and what proposes: its generator, or that of several runs by the balance heuristic.

    Raises:
        FileNotFoundError: a run or its checkpoint is missing.
        ValueError: runs of different systems, or conditions that they do not have.
    """
    trained = [load(run, checkpoint, device) for run in runs]
    first = trained[0]
    conditions = read_context(first.energy.conditions, first.energy.default_context, context)
    generator: Generator = first.generator
    if len(trained) > 1:
        for run, other in zip(runs[1:], trained[1:], strict=True):
            found = compare(canonical(first.energy), canonical(other.energy))
            if found.difference is not None:
                raise ValueError(
                    f"'{run}' is of another system than '{runs[0]}' ({found.difference}): proposals are blended for one system "
                    "only."
                )
        generator = MixtureProposal.of([run.generator for run in trained]).eval()
    return first, Proposer(generator, first.energy.given(conditions), conditions if generator.context else None)


def run_sampler(proposer: Proposer, sampler: Sampler, seed: int, recorder: Recorder | None = None) -> tuple[Result, Cost]:
    """Run a sampler under a progress bar; return what it found, and what that cost."""
    energy, began = proposer.energy, time.monotonic()
    before = energy.n_values, energy.n_gradients
    if recorder is not None and recorder.state is not None:
        began -= float(recorder.state["seconds"])  # what was spent before it was interrupted
    with show_progress(type(sampler).__name__) as report:
        result = sampler.run(proposer, seed, report, recorder)
    densities = result.info.get("densities", 0)
    assert isinstance(densities, int)
    seconds = time.monotonic() - began
    energies, gradients = energy.n_values - before[0], energy.n_gradients - before[1]
    return result, Cost(energies=energies, gradients=gradients, densities=densities, seconds=seconds)


def sample_with(
    runs: list[str],
    sampler: Sampler,
    out: Path,
    seed: int = 0,
    checkpoint: str = "best",
    device: str = "cpu",
    force: bool = False,
    reference: str | None = None,
    context: Sequence[str] = (),
) -> Summary:
    """Sample the target of a run, judge the samples, and write everything; return the summary.

    Beside `out` lie `<out>.summary.json` and the folder `<out>.figures`. While it runs the state is kept in `<out>.partial`, so
    that the same command goes on where it was interrupted.

    Raises:
        FileNotFoundError: a run, a checkpoint or the reference is missing.
        ValueError: sampler, generator and system do not fit, or sampling went wrong.
        Interrupted: it was interrupted; the text says how to go on.
    """
    first, proposer = propose_from(runs, checkpoint, device, context)
    energy = proposer.energy
    if out.suffix != ".npz" and energy.structure is None:
        raise ValueError(f"'{out}' holds structures and {energy.name} is no molecule: write .npz.")
    sampler.check(proposer)
    section = DataSection.of_run(RunFolder(first.folder))
    data = None if context and reference is None else section.load(energy, reference)
    identity = {
        "sampler": describe(sampler),
        "target": canonical(energy),
        "runs": [Path(run).name for run in runs],
        "checkpoint": f"{checkpoint}, step {first.step}",
        "seed": seed,
        "context": list(context),
        "device": energy.device.type,
    }
    recorder = Recorder(out.with_name(f"{out.name}.partial"), identity, restart=force, every=10.0, again="--force")
    try:
        result, cost = run_sampler(proposer, sampler, seed, recorder)
    except BaseException:
        if recorder.folder is not None:
            release(recorder.folder)
        raise
    generator, density = proposer.generator, None
    if sampler.uses_density:
        exact = generator.exact_density
        density = Density(exact, defect=density_defect(generator, energy, stream(0, "density_defect")) if exact else None)
    log_Z = None if context else section.log_Z
    found = assess_samples(energy, result.samples, data, log_Z, cost, density, result.problems)
    described = describe(sampler)
    origin = SamplerRun(
        Named(described["class"], described["parameters"]),
        result.info,
        tuple(result.problems),
        None if data is None else price_of_data(data.card),
    )
    summary = replace(found.summary, origin=origin)
    _write(out, energy, result, proposer.context)
    samples = result.samples
    flat = None if samples.dependence == "chains" else samples.log_w.cpu()
    figures = draw_samples(energy, samples.x.cpu(), samples.u.cpu(), flat, data, samples.dependence, samples.ancestor)
    for name, figure in figures.items():
        save(figure, out.with_name(f"{out.name}.figures") / f"{name}.png")
    summary.write(out.with_name(f"{out.name}.summary.json"))
    recorder.discard()
    return summary


def _write(out: Path, energy: Energy, result: Result, context: Tensor | None) -> None:
    """Write the samples, all files or none."""
    samples = result.samples
    arrays = {name: part.cpu().numpy() for name, part in samples._asdict().items() if part is not None}
    if samples.dependence == "draws":
        arrays["log_w"] = samples.log_w.cpu().numpy()
    if result.of_paths:
        arrays["of_paths"] = np.array(True)
    if context is not None:
        arrays["context"] = context.cpu().numpy()
    with ExitStack() as stack:
        if out.suffix != ".npz" and energy.structure is not None:
            x = samples.x.reshape(-1, *energy.space.shape)
            save_structures(energy.structure, x, stack.enter_context(atomic(out)))
            if out.suffix != ".pdb":
                save_topology(energy.structure, stack.enter_context(atomic(out.with_name(f"{out.name}.topology.pdb"))))
            del arrays["x"]  # the shapes of the others say which frames belong to which walker or population
            out = out.with_name(f"{out.name}.weights.npz")
        with stack.enter_context(atomic(out)).open("wb") as file:
            np.savez(file, **arrays)
