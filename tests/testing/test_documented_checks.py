"""The examples of docs/testing.md run as given, and its tables name every law."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from lit_bg.testing import DIAGNOSTIC_LAWS, ENERGY_LAWS, GENERATOR_LAWS, KERNEL_LAWS, LOSS_LAWS, DoesNotApply

TEXT = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """All blocks in one module, since a class must be importable to be pickled."""
    file = tmp_path_factory.mktemp("documented") / "documented_checks.py"
    file.write_text("\n\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.S)))
    specification = importlib.util.spec_from_file_location(file.stem, file)
    module = sys.modules[file.stem] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    yield module
    del sys.modules[file.stem]


@pytest.mark.parametrize("name", ["test_quartic", "test_my_generator", "test_my_loss", "test_my_kernel", "test_my_diagnostic"])
def test_an_example_runs_as_given(examples, name):
    getattr(examples, name)()


def test_the_example_of_single_laws(examples):
    assert {law for mark in examples.test_law.pytestmark for law in mark.args[1]} == set(ENERGY_LAWS)
    examples.test_law("gradient")
    with pytest.raises(DoesNotApply, match="Quartic has no exact sampler"):
        examples.test_law("virial")
    assert examples.checked.left_out["virial"] == "Quartic has no exact sampler"


LAWS = {
    "Energies": ENERGY_LAWS,
    "Generators": GENERATOR_LAWS,
    "Losses": LOSS_LAWS,
    "Kernels": KERNEL_LAWS,
    "Diagnostics": DIAGNOSTIC_LAWS,
}


@pytest.mark.parametrize(("heading", "laws"), LAWS.items(), ids=LAWS)
def test_every_law_is_in_its_table(heading, laws):
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    named = [name for row in re.findall(r"^\| (.*?) \|", section, re.M) for name in row.split(", ")]
    assert set(named) - {"law"} == set(laws)
