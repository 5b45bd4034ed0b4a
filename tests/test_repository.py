"""Files around the package: what ships, what the hosting service reads, what installs together."""

import re
import tomllib
from importlib.resources import files

import pytest
import yaml
from snippets import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SUPPORTED = ["3.11", "3.12", "3.13"]


def test_types_ship():
    """Type checkers read the annotations of an installed package only beside this file (PEP 561)."""
    assert files("lit_bg").joinpath("py.typed").is_file()
    assert PROJECT["tool"]["setuptools"]["package-data"]["lit_bg"] == ["py.typed"]


def test_everything_of_an_extra_is_pinned():
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.M)
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    names = {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0]).lower() for line in wanted}
    assert names - pinned - {"lit-bg"} == set()


def test_the_citation_is_of_this_version():
    """That it keeps the schema is for cffconvert to say, in .ci/run."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["title"] == PROJECT["project"]["name"]


def test_the_public_checks_are_those_of_a_developer():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    job = workflow["jobs"]["checks"]
    assert job["strategy"]["matrix"]["python"] == SUPPORTED
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert PROJECT["project"]["requires-python"] == f">={SUPPORTED[0]}"
    told = [line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if ":: Python ::" in line]
    assert told == SUPPORTED


def test_the_public_wheel_runs_where_the_checks_run():
    """Built by the standard front end, alone in its environment, from a folder that is not the checkout."""
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["wheel"]
    assert job["strategy"]["matrix"]["python"] == SUPPORTED
    build, install, job_step = [step for step in job["steps"] if "run" in step]
    assert "python -m build" in build["run"]
    assert install["run"] == "pip install -c constraints.txt dist/*.whl"
    assert job_step["run"].startswith("python -m lit_bg.fit -c experiments/double_well.yaml")
    assert job_step["working-directory"] == "${{ runner.temp }}"


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_a_form_is_one(name):
    """As the service asks of issue forms: a name, a description, and fields with an id and a label of their own."""
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text())
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)
