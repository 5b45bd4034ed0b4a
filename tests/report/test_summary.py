"""A summary and its JSON are one thing: nothing is lost on the way there and back, whatever was found, and wherever."""

import json
import math
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, NamedTuple

import pytest
import torch
from made_samples import anneal, walk

from lit_bg.cost import Cost
from lit_bg.diagnostics.conditions import AtConditions
from lit_bg.diagnostics.knowledge import Value
from lit_bg.diagnostics.particle_distances import Distance, TransportDistance
from lit_bg.energies import DoubleWell
from lit_bg.report.assess import assess_samples
from lit_bg.report.cost import ReferenceCost
from lit_bg.report.json_form import FLAT, KEY, OMIT, from_plain, put_not_finite, take_not_finite, to_plain
from lit_bg.report.origin import FromReference, GivenFile, Named, SamplerRun, TrainedRun
from lit_bg.report.summary import Summary
from lit_bg.report.table import print_summary
from lit_bg.samples import Samples

WELLS = DoubleWell(kT=3.0)


def draws(n=500) -> Samples:
    x = WELLS.exact_samples(n, torch.Generator().manual_seed(0))
    return Samples(x, -WELLS(x) - WELLS.log_Z, WELLS(x))


SAMPLES = {
    "proposals": draws,
    "proposals without an error bar": lambda: draws(2),
    "proposals without an energy": lambda: draws()._replace(u=torch.full((500,), math.nan)),
    "chains": lambda: walk(WELLS, WELLS.initial.repeat(2, 1), 60),
    "one walker": lambda: walk(WELLS, WELLS.initial[:1], 20),
    "populations": lambda: anneal(WELLS, 4, 50),
}
DISTANCES = Distance(1.0, math.nan, 0.5)
AT = AtConditions("kT = 0.7", {"kT": 0.7}, 10, 0.5, math.inf, math.nan, -1.0, math.inf, None)
ORIGINS = {
    "nowhere": None,
    "a run": TrainedRun("DoubleWell", "CouplingFlow", 100, 50, 1.5, 1000, None),
    "a run with everything": TrainedRun(
        "DW4",
        "ContinuousFlow",
        100,
        0,
        1.5,
        1000,
        64.0,
        FromReference(10, DISTANCES, DISTANCES, TransportDistance(math.inf, 1.0)),
        (AT, replace(AT, log_Z_exact=-math.inf)),
    ),
    "a run without a test of its distances": TrainedRun(
        "DW4", "ContinuousFlow", 1, 1, 1.0, 1, 80.0, FromReference(10, DISTANCES, DISTANCES)
    ),
    "a sampler": SamplerRun(
        Named("SMC", {"kernel": {"class": "MALA", "parameters": {"step_size": 0.1}}}),
        {"levels": 3, "acceptance": [0.4, math.nan], "trips": math.inf},
        ("particles hardly move",),
        ReferenceCost("Simulation", 1000, 20.5),
    ),
    "a file": GivenFile("a/s.npz", "DoubleWell", None, ("a remark.",), ()),
}


@cache
def judged(samples: str) -> Summary:
    cost = Cost(energies=500, seconds=0.25)
    return assess_samples(WELLS, SAMPLES[samples](), log_Z=Value(1.0, math.inf, "a book"), cost=cost).summary


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal to the last bit, and of one type; NaN is NaN."""
    return repr(a) == repr(b)  # the repr of a float is exact


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("origin", ORIGINS)
class TestEverySummary:
    def test_there_and_back(self, samples, origin, tmp_path):
        summary = replace(judged(samples), origin=ORIGINS[origin], more={"mine": {"a/b": [1, math.inf, None]}})
        summary.write(tmp_path / "summary.json")
        assert same(Summary.read(tmp_path / "summary.json"), summary)

    def test_its_json_is_strict_says_its_schema_and_is_flat(self, samples, origin):
        summary = replace(judged(samples), origin=ORIGINS[origin])

        def refuse(word):
            raise AssertionError(f"{word} is no JSON")

        plain = json.loads(summary.to_json(), parse_constant=refuse)
        assert plain["schema"] == Summary.schema
        assert plain["verdict"] == summary.verdict
        assert plain["kind"] == samples.split()[0].replace("one", "chains")
        assert {"samples": "a/s.npz"}.items() <= plain.items() if origin == "a file" else "samples" not in plain
        assert ("steps" in plain, "sampler" in plain) == (origin.startswith("a run"), origin == "a sampler")

    def test_it_is_printed_from_its_file_as_it_was_before(self, samples, origin, capsys):
        summary = replace(judged(samples), origin=ORIGINS[origin])
        print_summary(summary)
        before = capsys.readouterr().out
        print_summary(Summary.from_json(summary.to_json()))
        assert capsys.readouterr().out == before


def test_a_key_of_a_user_does_not_hide_another():
    with pytest.raises(ValueError, match="'verdict' is a key of Summary already: give yours another name"):
        replace(judged("chains"), more={"verdict": "trust"}).to_json()


def test_what_is_not_finite_is_null_and_stands_beside():
    plain = json.loads(judged("proposals without an energy").to_json())
    assert plain["log_Z"] is None
    assert plain["observables"]["x1"]["err"] is None
    assert plain["not_finite"]["/observables/x1/err"] == "inf"
    assert plain["not_finite"]["/log_Z_known/error" if WELLS.log_Z is None else "/observables/x1/reweighted"] == "nan"


def test_a_file_of_before_there_was_a_schema_is_read():
    plain = json.loads(replace(judged("proposals"), origin=ORIGINS["a run"]).to_json())
    for key in ("schema", "not_finite", "kind"):
        del plain[key]
    plain["observables"]["x1"]["err"] = None
    found = Summary.from_json(json.dumps(plain))
    assert found.verdict == judged("proposals").verdict
    assert found.origin == ORIGINS["a run"]
    assert found.samples == replace(judged("proposals").samples, pareto_k=found.samples.pareto_k)
    assert math.isnan(found.samples.pareto_k)
    assert math.isnan(found.observables["x1"].err)


def damaged(**changes):
    """A file of which keys have changed, or are gone."""
    return changes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            damaged(schema=Summary.schema + 1),
            f"it has schema {Summary.schema + 1} and this version of lit_bg reads schemas up to {Summary.schema}: update",
        ),
        (damaged(schema="new"), "it has schema new"),
        (damaged(claims="gone"), "'/claims' is missing"),
        (damaged(verdict="maybe"), "'/verdict' must be one of trust, do not trust, unchecked, got 'maybe'"),
        (damaged(n_outside="none"), "'/n_outside' cannot be 'none'"),
        (damaged(n_outside=True), "'/n_outside' cannot be True"),
        (damaged(frames="gone"), "'' is none of OfProposals, OfChains, OfPopulations"),
        (damaged(not_finite={"/modes/middle/err": "inf"}), "there is no place '/modes/middle/err' for inf"),
        (damaged(not_finite={"/log_Z": "huge"}), "there is no place '/log_Z' for huge"),
        ("[]", "it is no JSON object"),
        ('{"verdict": "tru', "cannot be read as a summary"),
    ],
)
def test_what_is_refused_is_one_sentence(text, sentence, tmp_path):
    file = tmp_path / "summary.json"
    if isinstance(text, dict):
        plain = json.loads(judged("chains").to_json()) | text
        text = json.dumps({k: v for k, v in plain.items() if v != "gone"})
    file.write_text(text)
    with pytest.raises(ValueError) as caught:
        Summary.read(file)
    assert str(caught.value).startswith(f"'{file}' cannot be read as a summary: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


class Point(NamedTuple):
    x: float
    y: float | None = None


@dataclass(frozen=True)
class Disc:
    kind: Literal["disc"]
    radius: float


@dataclass(frozen=True)
class Box:
    kind: Literal["box"]
    sides: tuple[float, ...]


@dataclass(frozen=True)
class Shape:
    form: Disc | Box = field(metadata=FLAT)
    at: Point = field(default=Point(0.0))
    type: str | None = field(default=None, metadata={KEY: "class"})
    note: str | None = field(default=None, metadata=OMIT)
    marks: dict[str, Point] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict, metadata=FLAT)


@pytest.mark.parametrize(
    ("shape", "plain"),
    [
        (Shape(Disc("disc", 1.0)), {"kind": "disc", "radius": 1.0, "at": {"x": 0.0, "y": None}, "class": None, "marks": {}}),
        (
            Shape(Box("box", (1.0, 2.0)), Point(1.0, 2.0), "a", "b", {"/~": Point(3.0)}, {"z": [1]}),
            {
                "kind": "box",
                "sides": [1.0, 2.0],
                "at": {"x": 1.0, "y": 2.0},
                "class": "a",
                "note": "b",
                "marks": {"/~": {"x": 3.0, "y": None}},
                "z": [1],
            },
        ),
    ],
)
def test_every_way_into_json(shape, plain):
    assert to_plain(shape) == plain
    assert from_plain(Shape, plain) == shape


def test_numbers_that_are_not_finite_come_back_to_their_places():
    value = {"a~b/c": [{"d": math.nan}, [math.inf, 1.0]], "e": -math.inf, "f": None}
    plain, lost = take_not_finite(value)
    assert plain == {"a~b/c": [{"d": None}, [None, 1.0]], "e": None, "f": None}
    assert lost == {"/a~0b~1c/0/d": "nan", "/a~0b~1c/1/0": "inf", "/e": "-inf"}
    put_not_finite(plain, lost)
    assert same(plain, value)
