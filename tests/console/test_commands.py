"""The command lit-bg: every program by one name, help and lists without anything heavy."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lit_bg
from lit_bg.console import completion, listing
from lit_bg.console.commands import COMMANDS, find_main, main

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("torch", "lightning", "numpy", "openmm", "rich", "yaml")


def light(statement: str) -> str:
    """What a statement prints, in a process that must not import anything heavy."""
    code = f"import sys\n{statement}\nprint([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"
    return done.stdout


def test_help_lists_and_version_import_nothing_heavy():
    said = light(
        "import lit_bg; dir(lit_bg)\nfrom lit_bg.__main__ import run\nfrom lit_bg.console.commands import main\n"
        "main([]); main(['--help']); main(['--version']); main(['list', 'energies']); main(['list'])\n"
        "for name in ('fit', 'simulate'): main([name, '--help'])"
    )
    assert all(name in said for name in COMMANDS)
    assert "lit_bg 0." in said
    assert "MuellerBrown" in said
    assert "--help-all" in said


@pytest.mark.parametrize("name", ["sample", "judge", "profile", "free-energy", "report", "compare"])
def test_help_of_a_command(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/lit-bg"])
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: lit-bg {name} ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_program(name):
    assert callable(find_main(name))


def test_underscores_are_hyphens():
    assert find_main("free_energy") is find_main("free-energy")


def test_a_command_that_does_not_exist(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["simulat"])
    assert stop.value.code == 2
    assert "there is no command 'simulat', did you mean simulate?" in capsys.readouterr().err


def test_the_script_is_installed_by_its_name():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["lit-bg"].partition(":")
    assert callable(getattr(__import__(module, fromlist=[name]), name))


@pytest.mark.parametrize("kind", listing.KINDS)
def test_a_list_has_every_exported_class(kind, capsys):
    import importlib
    import inspect

    package = importlib.import_module("lit_bg.callbacks" if kind == "callbacks" else listing.KINDS[kind].rpartition(".")[0])
    module, _, name = listing.KINDS[kind].rpartition(".")
    base = getattr(importlib.import_module(module), name)
    wanted = {
        name for name in package.__all__
        if inspect.isclass(of := getattr(package, name)) and issubclass(of, base) and not inspect.isabstract(of)
    }  # fmt: skip
    main(["list", kind])
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == wanted
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize(("args", "words"), [(["energys"], "did you mean energies?"), (["losses", "x"], "one kind")])
def test_a_list_of_what_is_no_kind(args, words, capsys):
    with pytest.raises(SystemExit) as stop:
        listing.main(args)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell, capsys):
    completion.main([shell])
    script = capsys.readouterr().out
    for word in ("free-energy", "trainer.max_epochs", "DoubleWell", "energies", "along"):
        assert word in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_completion_of_what_is_no_shell(capsys):
    with pytest.raises(SystemExit):
        completion.main(["dos"])
    assert "bash|zsh" in capsys.readouterr().out


def test_public_names_are_all_there_are():
    assert set(lit_bg.__all__) <= set(dir(lit_bg))
    assert all(getattr(lit_bg, name) for name in lit_bg.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        lit_bg.nope
