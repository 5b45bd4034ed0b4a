"""python -m lit_bg.judge SAMPLES --energy RUN_OR_YAML: what anybody's samples are worth."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lit_bg import signals
from lit_bg.activity import announce
from lit_bg.config.command_line import check_output, name_of, run_command

if TYPE_CHECKING:
    from lit_bg.report.summary import Summary


def main(args: list[str] | None = None) -> None:
    """Run the command line; without arguments print its help. Errors of the user are one sentence and exit code 2."""
    run_command(make_parser, judge, args, "nothing was written.")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=name_of("judge"), description=__doc__)
    parser.add_argument(
        "samples",
        help="npz with x, and where known log_q, log_w, u, walker, ancestor; or a trajectory (xtc, dcd, pdb), with "
        "<samples>.weights.npz beside it",
    )
    parser.add_argument("--energy", required=True, help="the system: a run folder, or the YAML of an experiment")
    parser.add_argument("--reference", help="reference data; default: those of the configuration, where they are there")
    parser.add_argument("--walkers", type=int, help="the samples are frames of so many walkers, one after the other")
    parser.add_argument("--out", help="folder for judge.json and figures; default: <samples>.judge.json alone")
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")
    return parser


def judge(
    samples: str,
    energy: str,
    reference: str | None = None,
    walkers: int | None = None,
    out: str | None = None,
    force: bool = False,
) -> Summary:
    """Read samples and judge them, print and write what was found, and return the summary.

    Samples with log q are judged as a run judges its own, by the same code; where the system is that of a run whose generator
    they come from, it is asked too, and the verdict is that of the run. Without log q they are frames, which say nothing of
    log Z.

    Raises:
        FileExistsError: the file to write is there, and `force` is not given.
        FileNotFoundError: samples, run or reference are not there.
        OSError: the files cannot be written.
        ValueError: samples or reference that cannot be of the system.
    """
    file = _output(Path(samples), out, force)
    announce("PyTorch, the system and the samples")

    from lit_bg.data.given_samples import read_samples
    from lit_bg.report.given import judge_given
    from lit_bg.report.origin import GivenFile
    from lit_bg.report.table import print_summary
    from lit_bg.runs.load import load
    from lit_bg.runs.system import load_system

    system = load_system(energy)
    given = read_samples(Path(samples), system.energy, walkers)
    target = given.target(system.energy)
    other = target is not system.energy
    section = system.data
    data = None if other and reference is None else section.load(target.given(), reference)
    trained = None
    asked = given.log_q is not None and not given.of_paths and not other
    if system.folder is not None and system.has_generator and asked:
        trained = load(system.folder.path)
    trained_on = section.path is not None and (reference is None or Path(reference).name == section.path.name)
    held = data.split(section.held_out)[1] if data is not None and trained_on else data
    inside = system.folder is not None and Path(samples).resolve().parent == system.folder.path.resolve()
    found = judge_given(
        given,
        target,
        data,
        held,
        section.log_Z if not other else None,
        None if trained is None else trained.generator,
        own=inside and not given.of_paths,
    )
    remarks = found.remarks
    if data is None and section.path is not None and not other:
        missed = f"the reference data '{section.path}' of the configuration are not here: give --reference."
        remarks = [*remarks, missed]
    held_against = str(section.path) if reference is None and data is not None else reference
    origin = GivenFile(samples, type(system.energy).__name__, held_against, tuple(remarks), tuple(found.unknown))
    summary = replace(found.judgement.summary, origin=origin)
    summary.write(file)
    if out is not None:
        from lit_bg.figures.samples import draw_samples
        from lit_bg.figures.style import save

        s, rows = found.samples, found.samples.u.shape
        log_w = None if found.log_w is None else found.log_w.reshape(rows)
        for name, figure in draw_samples(target, s.x, found.u.reshape(rows), log_w, data, s.dependence, s.ancestor).items():
            save(figure, Path(out) / "figures" / f"{name}.png")
    print_summary(summary)
    print(f"Written: {file}" + (f" and {Path(out) / 'figures'}" if out is not None else ""))
    return summary


def _output(samples: Path, out: str | None, force: bool) -> Path:
    """Return the file to write; refuse one that cannot be written before anything heavy is imported.

    Raises:
        FileExistsError: it is there, and `force` is not given.
        PermissionError: nothing can be written there.
        FileNotFoundError: there are no samples.
    """
    if not samples.is_file():
        raise FileNotFoundError(
            f"there is no file '{samples}': give samples as npz (array x), or as a trajectory (xtc, dcd, pdb)."
        )
    file = samples.with_name(samples.name + ".judge.json") if out is None else Path(out) / "judge.json"
    check_output([file], force)
    return file


if __name__ == "__main__":
    signals.run(main)
