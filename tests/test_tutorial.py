"""The notebooks of the tutorial are stored as they ran, and run."""

import json
import re
import sys
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import pytest
from snippets import ROOT, run_shell

NOTEBOOKS = sorted((ROOT / "docs/tutorial").glob("*.ipynb"))


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["judge", "peptide", "potential"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_has_run_without_an_error(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    said = "".join("".join(output.get("text", "")) for output in outputs)
    assert "\x1b" not in said
    assert str(Path.home()) not in said


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    """In an empty folder, cells and commands from first to last, with the verdicts that are stored."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    display = SimpleNamespace(Image=lambda file, **how: Path(file).stat(), display=repr)  # a figure must be there
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    names, said, stored = {"__name__": "__main__"}, "", ""
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        first, *rest = "".join(cell["source"]).splitlines(keepends=True)
        if first.startswith("%%writefile "):
            Path(first.split()[1]).write_text("".join(rest))
            continue
        for is_command, lines in groupby([first, *rest], lambda line: line.startswith("!")):
            if is_command:
                commands = (re.sub(r"\{(\w+)\}", lambda m: str(names[m[1]]), line.removeprefix("!")) for line in lines)
                said += "".join(run_shell(command, tmp_path) for command in commands)
            else:
                exec("".join(lines), names)
        stored += "".join("".join(output.get("text", "")) for output in cell["outputs"])
    verdicts = [re.findall("Verdict: (.*)", text) for text in (said, stored)]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0]
