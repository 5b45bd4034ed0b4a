"""python -m lit_bg.sample RUN -n N --out F: draw from a trained generator, weigh, save."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

STRUCTURES = (".pdb", ".xtc", ".dcd")


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lit_bg.sample", description=__doc__)
    parser.add_argument("run", help="run folder, runs/<experiment>/version_N")
    parser.add_argument("-n", type=int, default=10_000, help="number of samples (default 10000)")
    parser.add_argument("--out", required=True, help="file to write: .npz, or .pdb, .xtc, .dcd for molecules (weights beside)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same samples")
    parser.add_argument("--batch_size", type=int, default=10_000, help="samples in memory of the model at a time")
    parser.add_argument("--checkpoint", default="best", help="best or last")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    options = parser.parse_args(args)
    try:
        print(sample(**vars(options)))
    except (ValueError, OSError) as error:
        print(f"lit_bg: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def sample(run: str, n: int, out: str, seed: int, batch_size: int, checkpoint: str, device: str) -> str:
    """Draw and save; returns a line that says what was written.

    Raises:
        ValueError: an unknown suffix, or structures of something that is not a molecule.
    """
    suffix = Path(out).suffix
    if suffix not in (".npz", *STRUCTURES):
        raise ValueError(f"cannot write '{out}': the suffix must be .npz, or {', '.join(STRUCTURES)} for molecules.")

    import numpy as np

    from lit_bg import estimators, load
    from lit_bg.energies import Molecule
    from lit_bg.files import atomic
    from lit_bg.molecules import save_structures
    from lit_bg.report.notation import with_error

    trained = load(run, checkpoint, device)
    if suffix in STRUCTURES and not isinstance(trained.energy, Molecule):
        raise ValueError(f"'{out}' holds structures and {type(trained.energy).__name__} is no molecule: write .npz.")
    s = trained.sample(n, seed, batch_size)
    arrays = {"log_q": s.log_q.cpu().numpy(), "u": s.u.cpu().numpy(), "log_w": s.log_w.cpu().numpy()}
    if suffix == ".npz":
        with atomic(out) as temporary:
            np.savez(temporary, x=s.x.cpu().numpy(), **arrays)  # type: ignore[arg-type]
    elif isinstance(trained.energy, Molecule):
        save_structures(trained.energy, s.x, out)
        with atomic(Path(out).with_suffix(".weights.npz")) as temporary:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
    value, error = estimators.log_z(s.log_w)
    return (
        f"{n} samples in {out}: ESS {estimators.ess(s.log_w):.3f}, k-hat {estimators.pareto_k(s.log_w):.2f}, "
        f"log Z {with_error(value, error)}"
    )


if __name__ == "__main__":
    main()
