"""Examples in Markdown files: where they are, and how each language runs."""

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import yaml
from small_experiment import SMALL

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^(?:<!-- (?P<marker>slow|skipped)[^\n]*-->\n+)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
RUN = {"python", "pycon", "yaml", "bash"}
SHOWN = {"text", "json"}  # what programs print, and what is in files


class Snippet(NamedTuple):
    """A block of a page, with the word in the comment before it: `<!-- slow -->`, `<!-- skipped: why -->`."""

    language: str
    text: str
    line: int
    marker: str | None

    @property
    def file(self) -> str | None:
        """The name that its first line gives to the file that it is."""
        found = re.match(r"# ([\w/]+\.(?:py|yaml))\n", self.text)
        return found[1] if found else None


def find_snippets(text: str) -> list[Snippet]:
    """Return the blocks of a page that name their language.

    >>> find_snippets("<!-- slow -->\\n```bash\\ntrue\\n```\\n")
    [Snippet(language='bash', text='true\\n', line=2, marker='slow')]
    """
    found = []
    for m in FENCE.finditer(text):
        line = text.count("\n", 0, m.start("language")) + 1
        found.append(Snippet(m["language"], m["text"], line, m["marker"]))
    return found


def paste(block: str, folder: Path, name: str | None = None) -> Path:
    """The block in a file of its own, with the name that its first line gives."""
    file = folder / (name or block.splitlines()[0].removeprefix("# "))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block)
    return file


def environment() -> dict[str, str]:
    """What a user has: installed packages and the folder they are in, and no others."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return dict(os.environ) | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": path}


def run(*arguments: str, cwd: Path) -> str:
    """A Python process of its own, as a user starts it."""
    return _run([sys.executable, *arguments], cwd)


def run_shell(command: str, cwd: Path) -> str:
    """Commands of a shell, as a user types them."""
    return _run(["bash", "-euo", "pipefail", "-c", command], cwd)


def _run(command: list[str], cwd: Path) -> str:
    process = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout + process.stderr


class Reader:
    """Somebody who types a page into one folder and one session of Python, from top to bottom."""

    def __init__(self, page: str, folder: Path) -> None:
        self.page, self.folder = page, folder
        self.names: dict = {"__name__": "__main__"}

    def follow(self, snippet: Snippet) -> None:
        """Do what a snippet says."""
        if snippet.file is not None:
            paste(snippet.text, self.folder, snippet.file)
        getattr(self, f"_{snippet.language}")(snippet)

    def _python(self, snippet: Snippet) -> None:
        if snippet.file is None:
            exec(compile("\n" * snippet.line + snippet.text, self.page, "exec"), self.names)
            return
        name = snippet.file.removesuffix(".py").replace("/", ".")
        sys.modules.pop(name, None)  # of another page, or of this one in another folder
        importlib.invalidate_caches()
        importlib.import_module(name)  # it stays: jsonargparse does not forget classes either

    def _pycon(self, snippet: Snippet) -> None:
        test = doctest.DocTestParser().get_doctest(snippet.text, self.names, self.page, self.page, snippet.line)
        said: list[str] = []
        result = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(
            test, out=said.append, clear_globs=False
        )
        assert result.failed == 0, "".join(said)
        self.names.update(test.globs)

    def _bash(self, snippet: Snippet) -> None:
        run_shell(snippet.text, self.folder)

    def _yaml(self, snippet: Snippet) -> None:
        from lit_bg.config.cli import build
        from lit_bg.sweeps import Sweep

        content = yaml.safe_load(snippet.text)
        if "class_path" in content:
            build(_contract(content["class_path"]), content)
            return
        if "parameters" in content:
            Sweep.of(content, "of_a_snippet")
            return
        build_experiment({**SMALL, "data": {}, **content}, self.folder)


def build_experiment(content: dict, folder: Path) -> None:
    """Build everything that an experiment names, as the command line does, and let its parts look at each other."""
    from lit_bg.config.cli import CLI

    file = paste(yaml.safe_dump(content), folder, "experiment_of_a_snippet.yaml")
    cli = CLI(["-c", str(file)])
    built = cli.parser.instantiate(cli.config)
    if built.simulate is not None:
        built.simulate.check(built.model.energy.given())


def _contract(path: str) -> type:
    """The contract that a class of a YAML keeps, by its short name."""
    from lit_bg import bases, energies, generators, kernels, losses, samplers, simulators

    contracts = (bases.BaseDensity, energies.Energy, generators.Generator, kernels.Kernel, losses.Loss)
    for contract in (*contracts, samplers.Sampler, simulators.Simulator):
        package = importlib.import_module(contract.__module__.rpartition(".")[0])
        if issubclass(getattr(package, path, object), contract):
            return contract
    raise ValueError(f"{path} is no class of lit_bg that a YAML names.")
