"""A run as one page: all of it is there, escaped, valid, and without anything from elsewhere."""

import json
import re
import shutil
from dataclasses import replace

import html5lib
import pytest
from pages import CHROMIUM, KT, judged, make_folder, measure

from lit_bg.report import compare, page
from lit_bg.report.contents import find_contents
from lit_bg.report.energy_units import CALORIE
from lit_bg.report.notation import with_error
from lit_bg.report.summary import Summary
from lit_bg.report.verdict import Claim

HOSTILE = """"><script>alert('1')</script><img src=x onerror=alert(2)>"""


def parse(text):
    """The tree of a page, every error of its HTML raised; what is long and holds no markup is cut short before."""
    text = re.sub(r'(?<="data:image/png;base64,)[A-Za-z0-9+/]+=*(?=")', "AAAA", text)
    text = re.sub(r"(?<=<script>\n/\*!\n)([^<]{5000})[^<]*(?:<(?!/script)[^<]*)*", r"\1", text)
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def words(tree):
    """What a reader sees, with single spaces."""
    for script in [*tree.iter("script"), *tree.iter("style")]:
        script.text = ""
    return " ".join(" ".join(tree.itertext()).split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages") / "runs" / "wells"
    hostile = judged()
    modes, observables = dict(hostile.modes), dict(hostile.observables)
    modes[HOSTILE], observables[HOSTILE] = modes["right"], next(iter(observables.values()))
    claims = (*hostile.claims, Claim(f"P({HOSTILE})", "trust", HOSTILE))
    made = {
        "good": make_folder(folder / "version_0", judged()),
        "bad": make_folder(folder / "version_1", judged(0.5), epochs=3, metrics=False),
        "interrupted": make_folder(folder / "version_2", figures=()),
        "molecule": make_folder(folder / "version_3", judged(), molecule=True, metrics=False),
        "hostile": make_folder(
            folder / "<script>" / "version_4",
            replace(hostile, modes=modes, observables=observables, claims=claims),
            metrics=False,
        ),
    }
    contents = {name: find_contents(path) for name, path in made.items()}
    texts = {name: page.compose(run) for name, run in contents.items()}
    texts["compared"] = compare.compose([contents[name] for name in ("good", "bad", "interrupted", "hostile")])
    return made, texts


PAGES = ("good", "bad", "interrupted", "molecule", "hostile", "compared")


@pytest.mark.parametrize("name", PAGES)
class TestEveryPage:
    def test_it_is_valid_and_needs_nothing_else(self, runs, name):
        tree = parse(runs[1][name])
        for element in tree.iter():
            assert element.tag not in ("link", "iframe", "object", "embed", "base")
            for key in ("src", "href", "srcset", "data", "action", "poster"):
                value = element.get(key, "#")
                assert value.startswith(("#", "data:image/png;base64,")), (element.tag, key, value[:60])
            assert not [key for key in element.attrib if key.startswith("on")]
        assert not re.search(r"url\(|@import", "".join(style.text for style in tree.iter("style")))
        policy = next(m.get("content") for m in tree.iter("meta") if m.get("http-equiv") == "Content-Security-Policy")
        assert policy.startswith("default-src 'none'; img-src data: blob:;")
        assert ("script-src 'none'" in policy) == (name != "molecule")
        assert not re.search(r"https?:|connect-src|\*", policy)

    def test_its_pictures_are_described_and_its_anchors_lead_somewhere(self, runs, name):
        tree = parse(runs[1][name])
        assert all(image.get("alt") for image in tree.iter("img"))
        ids = {element.get("id") for element in tree.iter() if element.get("id")}
        assert {a.get("href")[1:] for a in tree.iter("a")} <= ids

    def test_only_molecules_have_scripts(self, runs, name):
        assert len(list(parse(runs[1][name]).iter("script"))) == (3 if name == "molecule" else 0)


@pytest.mark.parametrize("name", ["good", "bad", "molecule", "hostile"])
def test_every_claim_and_every_number_is_there(runs, name):
    folder, text = runs[0][name], words(parse(runs[1][name]))
    summary = Summary.read(folder / "summary.json")
    for claim in summary.claims:
        assert claim.name in text
        assert claim.reason in text
    for reason in summary.reasons:
        assert reason in text
    for row in summary.observables.values():
        assert with_error(row.raw, row.raw_err) in text
        assert with_error(row.reweighted, row.err) in text
    right = summary.modes["right"]
    for size in (1.0, KT, KT / CALORIE):
        assert with_error(right.free_energy * size, right.free_energy_err * size) in text
    assert text.index(summary.verdict) < text.index(with_error(summary.log_Z, summary.log_Z_err))
    assert f"python -m lit_bg.fit --resume {folder}" in text or "'" in text
    assert "class_path: ReverseKL" in text
    assert "devices" not in text


def test_what_somebody_called_a_script_is_none(runs):
    tree = parse(runs[1]["hostile"])
    assert HOSTILE in words(tree)
    assert "<script>/version_4" in words(tree)
    assert next(tree.iter("title")).text.startswith("<script>/version_4: ")
    command = next(pre.text for pre in tree.iter("pre") if "lit_bg.sample" in pre.text)
    assert f"'{runs[0]['hostile']}'" in command  # quoted for a shell


def test_an_interrupted_run_says_what_is_known(runs):
    tree = parse(runs[1]["interrupted"])
    text = words(tree)
    assert "no summary.json: the training was interrupted" in text
    assert "The last logged step is 7; there" in text
    assert "ESS was 0.5" in text
    assert f"--resume {runs[0]['interrupted']}" in text
    drawn = [image.get("alt").partition(" of ")[0] for image in tree.iter("img")]
    assert [alt.partition(",")[0] for alt in drawn][:2] == ["loss against training steps", "loss against energies"]
    assert len(drawn) == 6  # loss, ESS and learning rate, each against both


def test_a_molecule_is_there_with_its_licence_and_without_a_script_too(runs):
    tree = parse(runs[1]["molecule"])
    scripts = list(tree.iter("script"))
    pdb = json.loads(next(s.text for s in scripts if s.get("type") == "application/json"))
    assert len(re.findall("^(?:ATOM|HETATM)", pdb, re.M)) == 22
    viewer = next(s.text for s in scripts if "3Dmol.js" in s.text[:400])
    assert "Redistributions in binary form must reproduce" in viewer
    stage = next(div for div in tree.iter("div") if div.get("data-structure"))
    assert next(stage.iter("img")).get("alt") == "Sticks: lowest energy of all proposals"


def test_a_page_is_a_function_of_the_folder(runs, tmp_path):
    folder = runs[0]["bad"]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    page.main([str(folder), "--out", str(tmp_path / "a.html")])
    assert (tmp_path / "a.html").read_text() == runs[1]["bad"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_comparison_shows_what_differs(runs):
    tree = parse(runs[1]["compared"])
    rows = {row.find("th").text: list(row.iter("td")) for row in tree.iter("tr") if row.find("th") is not None}
    assert ["".join(cell.itertext()) for cell in rows["trainer.max_epochs"]] == ["2", "3", "2", "2"]
    assert "model.loss.class_path" not in rows
    z = ["".join(cell.itertext()) for cell in rows["log Z"]]
    good, bad = (Summary.read(runs[0][name] / "summary.json") for name in ("good", "bad"))
    assert z[0] == f"{with_error(good.log_Z, good.log_Z_err)} trust"
    assert z[1] == f"{with_error(bad.log_Z, bad.log_Z_err)} do not trust"
    assert z[2] == "-"
    text = words(tree)
    assert all(f"wells/version_{i}" in text for i in range(3))
    assert all(reason in text for reason in bad.reasons)


@pytest.mark.parametrize(
    ("main", "given", "sentence"),
    [
        (page.main, ["nowhere"], "'nowhere' is no run folder"),
        (page.main, ["later"], "reads schemas up to"),
        (page.main, ["damaged"], "metrics.csv' is damaged in line"),
        (page.main, ["picture"], "is no PNG"),
        (compare.main, ["good"], "a comparison needs two runs or more, got one"),
        (compare.main, ["good", "good"], "is given twice"),
        (compare.main, ["good", "nowhere"], "'nowhere' is no run folder"),
        (compare.main, ["good", "other", "--out", "there.html"], "'there.html' exists"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, monkeypatch, capsys, main, given, sentence):
    monkeypatch.chdir(tmp_path)
    for name in ("good", "other", "later", "damaged", "picture"):
        make_folder(tmp_path / name, judged())
    (tmp_path / "there.html").touch()
    later = (tmp_path / "later/summary.json").read_text().replace('"schema": 1', '"schema": 99')
    (tmp_path / "later/summary.json").write_text(later)
    (tmp_path / "damaged/metrics.csv").write_text("step,train/loss\n1,high\n")
    (tmp_path / "picture/figures/weights.png").write_bytes(b"GIF89a")
    with pytest.raises(SystemExit) as caught:
        main(given)
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert sentence in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("*/report.html"))


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look at pages with: apt-get install chromium")
def test_pages_are_no_wider_than_a_phone(runs, tmp_path):
    texts = [runs[1][name] for name in PAGES]
    broken = texts[0].replace("<main>", '<main><div style="width: 600px">wide</div>')
    found = measure(tmp_path, [*texts, broken], 375)
    shutil.rmtree(tmp_path / "browser", ignore_errors=True)
    assert len(found) == len(PAGES) + 1
    assert all(340 < room <= 375 for _, room in found)
    assert all(content <= room for content, room in found[:-1])
    assert found[-1][0] >= 600
