"""The notebooks of the tutorial are stored as they ran, and run."""

import json
import re
from itertools import groupby
from pathlib import Path

import pytest
from snippets import ROOT, run_shell

NOTEBOOKS = sorted((ROOT / "docs/tutorial").glob("*.ipynb"))


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["judge"]


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
    names, said, stored = {"__name__": "__main__"}, "", ""
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        for is_command, lines in groupby("".join(cell["source"]).splitlines(), lambda line: line.startswith("!")):
            if is_command:
                said += "".join(run_shell(line.removeprefix("!"), tmp_path) for line in lines)
            else:
                exec("\n".join(lines), names)
        stored += "".join("".join(output.get("text", "")) for output in cell["outputs"])
    verdicts = [re.findall("Verdict: (.*)", text) for text in (said, stored)]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0]
