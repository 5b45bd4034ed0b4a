"""The command `lit-bg`: one name for all programs of the package, each imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import NamedTuple

from lit_bg.config.command_line import complain
from lit_bg.console.near import find_near


class Command(NamedTuple):
    """A program of the package.

    Attributes:
        module: whose `main` takes the arguments.
        help: what it does, for a list.
    """

    module: str
    help: str


COMMANDS = {
    "fit": Command("lit_bg.fit", "train a Boltzmann generator and judge it: -c YAML"),
    "simulate": Command("lit_bg.simulate", "make the reference data of an experiment: -c YAML"),
    "sample": Command("lit_bg.sample", "draw from a trained generator, or correct its proposals: RUN --out FILE"),
    "free-energy": Command("lit_bg.free_energy", "free energies of runs and their differences: RUN [RUN ...]"),
    "judge": Command("lit_bg.judge", "say what anybody's samples are worth: SAMPLES --energy RUN_OR_YAML"),
    "profile": Command("lit_bg.profile", "free energies along observables, other temperatures, paths: RUN --out FOLDER"),
    "report": Command("lit_bg.report.page", "a run as one page: RUN"),
    "compare": Command("lit_bg.report.compare", "runs side by side: RUN RUN [...]"),
    "list": Command("lit_bg.console.listing", "what there is to choose from: energies, generators, losses, ..."),
    "completion": Command("lit_bg.console.completion", "what a shell needs to complete these commands: bash or zsh"),
}
HELP = f"""\
lit-bg COMMAND ...

Boltzmann generators: sample exp(-U/kT) with generative models, corrected to it exactly.

{chr(10).join(f"  {name:<12} {command.help}" for name, command in COMMANDS.items())}

`lit-bg COMMAND --help` tells more, --version the version. `python -m lit_bg COMMAND` is the same."""


def main(args: list[str] | None = None) -> None:
    """Run the command line: the first argument says whose."""
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help"):
        print(HELP)
    elif args[0] == "--version":
        from importlib.metadata import version

        print(f"lit_bg {version('lit_bg')}")
    else:
        find_main(args[0])(args[1:])


def find_main(name: str) -> Callable[[list[str]], None]:
    """Return the main function of a command; `free_energy` is `free-energy`, too.

    Raises:
        SystemExit: after one sentence, where there is no such command.
    """
    command = COMMANDS.get(name.replace("_", "-"))
    if command is None:
        near = find_near(name, list(COMMANDS))
        hint = f", did you mean {near[0]}?" if near else ":"
        complain(f"there is no command '{name}'{hint} `lit-bg --help` lists {', '.join(COMMANDS)}.")
    return importlib.import_module(command.module).main
