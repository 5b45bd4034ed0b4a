"""What all command lines share: how errors are reported, and where a command may write."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from lit_bg import signals


def run_command(
    make_parser: Callable[[], ArgumentParser], run: Callable[..., object], args: list[str] | None, way_on: str
) -> None:
    """Run a command by its parser: without arguments print its help; what the user can mend is one sentence and exit code 2.

    Args:
        make_parser: of its arguments.
        run: what it does, by their names; the words or the path that it returns are printed.
        args: of the command line; None: those of this process.
        way_on: what is said of an interruption.
    """
    args = sys.argv[1:] if args is None else args
    parser = make_parser()
    if not args:
        parser.print_help()
        return
    options = parser.parse_args(args)
    with signals.listening(way_on), complaining():
        signals.set_mode("raise")
        said = run(**vars(options))
        if isinstance(said, str | Path):
            print(said)


def name_of(command: str, module: str | None = None) -> str:
    """Return how a command was called, for its help: as `lit-bg free-energy`, or as `python -m lit_bg.free_energy`.

    Args:
        command: of `lit-bg`.
        module: in lit_bg, where it is not named like the command.
    """
    called = Path(sys.argv[0]).parts[-2:]
    as_one = called[-1:] in (("lit-bg",), ("lit-bg.exe",)) or called == ("lit_bg", "__main__.py")
    return f"lit-bg {command}" if as_one else f"python -m lit_bg.{module or command.replace('-', '_')}"


def complain(error: BaseException | str) -> NoReturn:
    """Print one sentence and leave with exit code 2; print the traceback only where LIT_BG_TRACEBACK is set."""
    if isinstance(error, BaseException) and os.environ.get("LIT_BG_TRACEBACK"):
        raise error
    print(f"lit_bg: {' '.join(str(error).split())}", file=sys.stderr)
    raise SystemExit(2)


@contextmanager
def complaining() -> Iterator[None]:
    """Report errors that the user can mend as one sentence, with exit code 2."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        if os.environ.get("LIT_BG_TRACEBACK"):
            raise
        complain(error)


def add_options_of_runs(parser: ArgumentParser, same: str, force: str = "overwrite files that exist") -> None:
    """Add what every command that asks a trained generator takes: seed, checkpoint, device, and leave to overwrite.

    Args:
        parser: of the command.
        same: what the same seed gives again.
        force: what `--force` does.
    """
    parser.add_argument("--seed", type=int, default=0, help=f"the same seed gives the same {same}")
    parser.add_argument("--checkpoint", default="best", help="best (default) or last")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, ...")
    parser.add_argument("--force", action="store_true", help=force)


def check_output(files: Sequence[Path], force: bool) -> None:
    """Refuse files that are there already, and a place where nothing can be written, before anything expensive starts.

    Args:
        files: to write, all of them in one folder, which need not be there.
        force: overwrite them.

    Raises:
        FileExistsError: one of them is there, and `force` is not given, or is a folder.
        PermissionError: nothing can be written there.
    """
    for file in files:
        if file.is_dir():
            raise FileExistsError(f"'{file}' is a folder: give another --out.")
        if os.path.lexists(file) and not force:
            raise FileExistsError(f"'{file}' exists: give another --out, or overwrite it with --force.")
    place = next(p for p in files[0].absolute().parents if p.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise PermissionError(f"cannot write into '{os.path.relpath(place)}': give another --out.")


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have or cannot use.

    Raises:
        ValueError: it is not known, or not here.
    """
    import torch

    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise ValueError(
            f"--device {device} cannot be used here ({reason}): give cpu, or a device that this machine has."
        ) from error


def quiet() -> None:
    """Silence advice of Lightning that does not apply: our loaders only count, our batches are drawn on the device."""
    import logging

    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    warnings.filterwarnings("ignore", module=r"lightning\.")
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
