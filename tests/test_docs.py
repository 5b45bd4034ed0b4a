"""The documentation is true: its examples run, its links lead somewhere, and what it lists is all there is."""

import doctest
import importlib
import importlib.util
import re

import pytest
from snippets import ROOT, RUN, SHOWN, Reader, find_snippets, run

DOCS = sorted((ROOT / "docs").glob("*.md"))
LINKED = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "experiments/README.md", *DOCS]
TEXT = {page: page.read_text() for page in {*LINKED}}
SNIPPETS = {page: find_snippets(TEXT[page]) for page in DOCS}


def those_with(*markers):
    return [page for page in DOCS if any(s.language in RUN and s.marker in markers for s in SNIPPETS[page])]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder beside the experiments, on the path for the files that are pasted into it."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A double well that somebody trained, though not for long."""
    root = tmp_path_factory.mktemp("docs")
    few = ["--trainer.max_epochs=1", "--data.steps_per_epoch=20", "--data.test_samples=4000", "--data.val_samples=500"]
    run("-m", "lit_bg.fit", "-c", str(ROOT / "experiments/double_well.yaml"), *few, cwd=root)
    return root / "runs"


@pytest.mark.parametrize("page", those_with(None), ids=lambda p: p.stem)
def test_what_is_quick_runs(page, folder):
    """In the order of the page, in one session, from one folder."""
    reader = Reader(page.name, folder)
    for snippet in SNIPPETS[page]:
        if snippet.language in RUN and snippet.marker is None:
            reader.follow(snippet)


@pytest.mark.slow
@pytest.mark.parametrize("page", those_with("slow"), ids=lambda p: p.stem)
def test_everything_runs(page, folder, trained):
    (folder / "runs").mkdir()
    for run_folder in trained.iterdir():
        (folder / "runs" / run_folder.name).symlink_to(run_folder)
    reader = Reader(page.name, folder)
    for snippet in SNIPPETS[page]:
        if snippet.language in RUN and snippet.marker != "skipped":
            reader.follow(snippet)


@pytest.mark.parametrize("page", DOCS, ids=lambda p: p.stem)
def test_every_block_says_what_it_is(page):
    """So none escapes the tests for want of a language; what is not run says why."""
    fences = re.findall(r"^```(.*)$", TEXT[page], re.M)
    assert [fence for fence in fences[::2] if fence not in RUN | SHOWN] == []
    assert len(fences) == 2 * len(SNIPPETS[page])
    assert re.findall(r"<!-- skipped -->", TEXT[page]) == []
    assert re.findall(r"^ {4}(?:python|pip|>>>|import) ", TEXT[page], re.M) == []  # an indented block has no language


def headings(text):
    """Anchors of a page, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}


@pytest.mark.parametrize("page", LINKED, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Within the repository to files and headings that are there; elsewhere they are well-formed, and nothing is asked."""
    prose = re.sub(r"^```.*?^```", "", TEXT[page], flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"\w+:", target):
            assert re.fullmatch(r"https://[\w.-]+\.\w+(/[\w./#%~-]*)?", target), target
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in headings(file.read_text()), f"{page.name} links to {target}"


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    assert [page.name for page in DOCS if not re.search(rf"\b{page.name}$", text, re.M)] == []


def test_docs_name_every_class_of_a_concept():
    """A page that lists what there is lists what is exported."""
    pages = {
        "spaces": "spaces", "energies": "energies", "generators": "generators", "bases": "generators", "nets": "generators",
        "losses": "losses", "interpolants": "losses", "losses.pairings": "losses", "kernels": "kernels", "simulators": "data",
        "samplers": "sampling",
    }  # fmt: skip
    for package, page in pages.items():
        text = TEXT[ROOT / f"docs/{page}.md"]
        exported = importlib.import_module(f"lit_bg.{package}").__all__
        inner = {
            "ReportProgress",
            "States",
            "Trajectory",
            "Interrupted",
            "Recorder",
            "Result",
            "Proposer",
            "Info",
            "State",
            "MLP",
            "Symmetry",
        }
        missing = [name for name in exported if name not in inner and not re.search(rf"\b{name}\b", text)]
        assert missing == [], f"docs/{page}.md does not name {missing}"


def test_docstrings_become_markdown():
    pytest.importorskip("griffe")
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "docs/docstrings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert doctest.testmod(module).failed == 0
    assert module.escape("<u> of $x < y$, `<file>`") == "&lt;u> of $x < y$, `<file>`"
