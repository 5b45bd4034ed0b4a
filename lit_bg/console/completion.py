"""lit-bg completion SHELL: a script by which a shell completes commands, options, classes and files."""

from __future__ import annotations

import argparse
import importlib
import sys

from lit_bg.console.commands import COMMANDS
from lit_bg.console.listing import KINDS
from lit_bg.console.schema import Parameter, Schema, read_schema

SHELLS = ("bash", "zsh", "tcsh")
HELP = """\
lit-bg completion bash|zsh|tcsh

Prints a script for the shell. In bash, for this and every later one:

  lit-bg completion bash > ~/.local/share/bash-completion/completions/lit-bg

In zsh, where the folder is one of $fpath:

  lit-bg completion zsh > ~/.zfunc/_lit-bg"""


def main(args: list[str] | None = None) -> None:
    """Run the command line; without arguments print its help."""
    args = sys.argv[1:] if args is None else args
    if len(args) != 1 or args[0] not in SHELLS:
        print(HELP)
        if args and args[0] not in ("-h", "--help"):
            raise SystemExit(2)
        return
    import shtab

    print(shtab.complete(make_parser(), shell=args[0]))


def make_parser() -> argparse.ArgumentParser:
    """Return a parser that knows every command with its options; it is asked for completions only."""
    parser = argparse.ArgumentParser(prog="lit-bg")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers()
    for name, command in COMMANDS.items():
        if name in ("fit", "simulate"):
            _add_experiment(commands.add_parser(name, help=command.help), read_schema())
        elif name == "list":
            commands.add_parser(name, help=command.help).add_argument("kind", choices=[*KINDS])
        elif name == "completion":
            commands.add_parser(name, help=command.help).add_argument("shell", choices=SHELLS)
        else:
            own = _parser_of(command.module)
            commands.add_parser(name, help=command.help, parents=[own] if own else [], add_help=own is None)
    return parser


def _parser_of(module: str) -> argparse.ArgumentParser | None:
    """Return the parser of a command, with completions of files and folders; None for one that shows none."""
    try:
        make = importlib.import_module(module).make_parser
    except (ImportError, AttributeError):
        return None
    parser: argparse.ArgumentParser = make()
    for action in parser._actions:
        if not action.choices and action.type is None and action.nargs != 0:
            _complete(action, "FILE")
    return parser


def _add_experiment(parser: argparse.ArgumentParser, schema: Schema) -> None:
    """Add what fit and simulate take: files, keys of the sections, and the classes that may stand there."""
    _complete(parser.add_argument("-c", "--config", help="YAML of an experiment"), "FILE")
    _complete(parser.add_argument("--resume", metavar="RUN", help="run folder to go on with"), "DIRECTORY")
    for key, parameter in schema.keys.items():
        if key not in ("config", "print_config", "model.seed"):
            parser.add_argument(f"--{key}", choices=_names(schema, parameter) or None)
    parser.add_argument("--print_config", action="store_true", help="print every key with its value")
    parser.add_argument("--help-all", action="store_true", help="print every key with its type")


def _names(schema: Schema, parameter: Parameter) -> list[str]:
    return list(dict.fromkeys(known.name for known in schema.of_kind(parameter.kinds) if not known.abstract))


def _complete(action: argparse.Action, what: str) -> None:
    import shtab

    action.complete = getattr(shtab, what)  # type: ignore[attr-defined]
