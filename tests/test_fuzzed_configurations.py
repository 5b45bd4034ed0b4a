"""Mutated configurations, each valid or invalid by construction: what is valid is built, what is invalid is told in a sentence.

A mutation knows what it makes of a configuration, so nothing is judged by the program under test. The slow test goes through
all of them; the fast one through every tenth, another tenth for every kind.
"""

import contextlib
import copy
import io
import itertools
import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml

from lit_bg import fit

SEED = 0
LIMIT_S = 20.0  # [s] that one configuration may take

DOUBLE_WELL = {
    "seed_everything": 0,
    "trainer": {"max_epochs": 1, "accelerator": "cpu", "devices": 1, "enable_progress_bar": False},
    "model": {
        "energy": {"class_path": "DoubleWell", "init_args": {"dim": 2, "kT": 1.0}},
        "generator": {"class_path": "CouplingFlow", "init_args": {"blocks": 2, "hidden": [8]}},
        "loss": {"class_path": "ReverseKL", "init_args": {"cut": 1000.0}},
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.005, "weight_decay": 0.01}},
        "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR", "init_args": {"T_max": 100}},
    },
    "data": {"batch_size": 32, "steps_per_epoch": 2, "val_samples": 40, "test_samples": 60},
}
WITH_DATA = copy.deepcopy(DOUBLE_WELL)
WITH_DATA["model"]["loss"] = {
    "class_path": "WeightedSum",
    "init_args": {
        "losses": [{"class_path": "ForwardKL"}, {"class_path": "ReactionCoordinate", "init_args": {"observable": "x1"}}],
        "weights": [1.0, [[0, 1.0], [10, 0.0]]],
    },
}
WITH_DATA["data"] |= {"path": "data.npz", "held_out": 0.2}
WITH_DATA["simulate"] = {"class_path": "Exact", "init_args": {"frames": 500}}
PARTICLES = copy.deepcopy(DOUBLE_WELL)
PARTICLES["model"] |= {
    "energy": {"class_path": "DW4", "init_args": {"kT": 1.0}},
    "generator": {
        "class_path": "ContinuousFlow",
        "init_args": {
            "field": {"class_path": "EGNN", "init_args": {"layers": 1, "width": 8}},
            "solver": {"class_path": "RungeKutta4", "init_args": {"steps": 2}},
        },
    },
}
PARTICLES["simulate"] = {
    "class_path": "Simulation",
    "init_args": {
        "kernel": {"class_path": "Metropolis", "init_args": {"step_size": 0.3}},
        "walkers": 4,
        "frames": 20,
        "stride": 1,
        "burn_in": 10,
    },
}
PARTICLES["data"] = PARTICLES["data"] | {"path": None}
BASES = {"double well": DOUBLE_WELL, "with data": WITH_DATA, "particles": PARTICLES}


class Case(NamedTuple):
    """A configuration as text, and what must become of it."""

    kind: str
    valid: bool
    text: str


class Place(NamedTuple):
    """Where a value stands in a configuration."""

    path: tuple[str | int, ...]
    value: Any

    @property
    def dotted(self) -> str:
        return ".".join(map(str, self.path))


def places(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[Place]:
    """All places, sections before what they hold."""
    if path:
        yield Place(path, node)
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inside:
        yield from places(value, (*path, key))


def changed(config: dict, path: tuple[str | int, ...], value: Any) -> dict:
    """The configuration with another value at a place."""
    config = copy.deepcopy(config)
    at: Any = config
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return config


def without(config: dict, path: tuple[str | int, ...]) -> dict:
    config = copy.deepcopy(config)
    at: Any = config
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return config


def renamed(config: dict, path: tuple[str | int, ...], name: str) -> dict:
    """The configuration with another key at a place, in the same order."""
    config = copy.deepcopy(config)
    at: Any = config
    for key in path[:-1]:
        at = at[key]
    items = [(name if key == path[-1] else key, value) for key, value in at.items()]
    at.clear()
    at.update(items)
    return config


def numbers(config: dict) -> list[Place]:
    return [p for p in places(config) if isinstance(p.value, (int, float)) and not isinstance(p.value, bool)]


def floats(config: dict) -> list[Place]:
    return [p for p in numbers(config) if isinstance(p.value, float)]


def whole(config: dict) -> list[Place]:
    return [p for p in numbers(config) if isinstance(p.value, int) and "weights" not in p.path]


def classes(config: dict) -> list[Place]:
    return [p for p in places(config) if isinstance(p.value, dict) and "class_path" in p.value]


def keys(config: dict) -> list[Place]:
    """Places that a misspelling can hit: no list has one, and no class path would be left."""
    return [p for p in places(config) if isinstance(p.path[-1], str)]


def dumped(config: dict, **style: Any) -> str:
    return yaml.safe_dump(config, sort_keys=False, **style)


def typed(rng: random.Random, word: str) -> str:
    """A misspelling: two letters exchanged, or one lost or doubled."""
    i = rng.randrange(len(word) - 1)
    wrong = [word[:i] + word[i + 1] + word[i] + word[i + 2 :], word[:i] + word[i + 1 :], word[: i + 1] + word[i:]]
    return next((w for w in rng.sample(wrong, 3) if w != word and len(w) > 1), word + "x")


Mutation = Callable[[random.Random, dict], str | None]
INVALID: dict[str, Mutation] = {}
VALID: dict[str, Mutation] = {}


def invalid(name: str) -> Callable[[Mutation], Mutation]:
    return lambda f: INVALID.setdefault(name, f)


def valid(name: str) -> Callable[[Mutation], Mutation]:
    return lambda f: VALID.setdefault(name, f)


# What must be refused.


@invalid("a misspelt key")
def _(rng, config):
    place = rng.choice(keys(config))
    return dumped(renamed(config, place.path, typed(rng, str(place.path[-1]))))


@invalid("a number that is none")
def _(rng, config):
    return dumped(changed(config, rng.choice(numbers(config)).path, rng.choice([math.nan, math.inf, -math.inf])))


@invalid("a number too large to write")
def _(rng, config):
    text = dumped(changed(config, rng.choice(floats(config)).path, "HERE"))
    return text.replace("HERE", rng.choice(["1e999", "-1e999", "1.0e+400"]))


@invalid("a negative size")
def _(rng, config):
    sizes = [p for p in whole(config) if p.path[-1] not in ("seed_everything", "max_epochs", "devices")]
    return dumped(changed(config, rng.choice(sizes).path, rng.choice([-1, -7, -(10**6)])))


@invalid("a size of zero")
def _(rng, config):
    may_be_zero = ("seed_everything", "max_epochs", "burn_in")
    sizes = [p for p in whole(config) if p.path[-1] not in may_be_zero]
    return dumped(changed(config, rng.choice(sizes).path, 0))


@invalid("a negative temperature or rate")
def _(rng, config):
    positive = [p for p in floats(config) if p.path[-1] in ("kT", "lr", "weight_decay", "held_out", "step_size")]
    place = rng.choice(positive)
    return dumped(changed(config, place.path, -abs(place.value) * rng.choice([1, 1e-3, 1e6])))


@invalid("an absurd number")
def _(rng, config):
    absurd = {"lr": 1e30, "kT": rng.choice([1e-30, 1e30, 1e-300, 1e300]), "held_out": 1e30}
    place = rng.choice([p for p in floats(config) if p.path[-1] in absurd])
    return dumped(changed(config, place.path, absurd[place.path[-1]]))


@invalid("an absurd size")
def _(rng, config):
    fine = ("T_max", "max_epochs", "eval_batch_size", "weights", "burn_in", "stride")
    sizes = [p for p in whole(config) if p.path[-1] not in fine]
    return dumped(changed(config, rng.choice(sizes).path, rng.choice([10**12, 10**15, 10**30])))


@invalid("a word for a number")
def _(rng, config):
    return dumped(changed(config, rng.choice(numbers(config)).path, rng.choice(["many", "one", "", "0x", "1,5", "1.0.0"])))


@invalid("a fraction for a whole number")
def _(rng, config):
    return dumped(changed(config, rng.choice(whole(config)).path, 2.5))


@invalid("a list or a section for a number")
def _(rng, config):
    wrong = rng.choice([[1, 2], {"a": 1}, [[[1]]]])
    scalars = [p for p in numbers(config) if not any(isinstance(k, int) for k in p.path) and p.path[-1] != "cut"]
    return dumped(changed(config, rng.choice(scalars).path, wrong))


@invalid("a scalar for a section")
def _(rng, config):
    sections = [("model",), ("data",), ("trainer",)]
    return dumped(changed(config, rng.choice(sections), rng.choice([3, "x", [1], 1.5])))


@invalid("a class that does not exist")
def _(rng, config):
    place = rng.choice(classes(config))
    names = ["Nope", "lit_bg.energies.Nope", "lit_bg.nowhere.DoubleWell", "no_such_package.A", "torch.optim.Nope"]
    return dumped(changed(config, (*place.path, "class_path"), rng.choice(names)))


@invalid("a misspelt class")
def _(rng, config):
    place = rng.choice(classes(config))
    return dumped(changed(config, (*place.path, "class_path"), typed(rng, place.value["class_path"])))


@invalid("a class of another kind")
def _(rng, config):
    place = rng.choice(classes(config))
    kinds = {"energy": "DoubleWell", "generator": "CouplingFlow", "loss": "ReverseKL", "simulate": "Metropolis"}
    others = [name for key, name in kinds.items() if key not in place.path] + ["collections.OrderedDict", "builtins.print"]
    if "losses" in place.path:
        others.remove("DoubleWell")
        others = ["CouplingFlow", "Metropolis", "DoubleWell"]
    return dumped(changed(config, place.path, {"class_path": rng.choice(others)}))


@invalid("a class path that is none")
def _(rng, config):
    place = rng.choice(classes(config))
    return dumped(changed(config, (*place.path, "class_path"), rng.choice([3, 1.5, [], {}, None, True, "", "..", "a b"])))


@invalid("arguments that are none")
def _(rng, config):
    place = rng.choice(classes(config))
    return dumped(changed(config, (*place.path, "init_args"), rng.choice([3, "x", [1, 2], [["a"]], None])))


@invalid("an argument beside the class")
def _(rng, config):
    place = rng.choice(classes(config))
    return dumped(changed(config, place.path, {**place.value, rng.choice(["kT", "lr", "width", "args"]): 1}))


@invalid("an argument of another class")
def _(rng, config):
    place = rng.choice(classes(config))
    arguments = {**place.value.get("init_args", {}), rng.choice(["temprature", "n_layers", "foo", "Ω", "class"]): 1}
    return dumped(changed(config, (*place.path, "init_args"), arguments))


@invalid("a section that is missing")
def _(rng, config):
    return dumped(without(config, rng.choice([("model",), ("model", "energy"), ("model", "generator"), ("model", "loss")])))


@invalid("nothing where a class must be")
def _(rng, config):
    place = rng.choice([("model", "energy"), ("model", "generator"), ("model", "loss"), ("model", "optimizer")])
    return dumped(changed(config, place, None))


@invalid("a section nobody knows")
def _(rng, config):
    return dumped({**config, rng.choice(["modell", "optimizer", "x", "", "1", "データ"]): rng.choice([1, {}, None])})


@invalid("a key that stands twice")
def _(rng, config):
    return dumped(config) + rng.choice(["data: {}\n", "seed_everything: 0\n", "model: {}\n"])


@invalid("a file that breaks off")
def _(rng, config):
    return dumped(config, default_flow_style=True, width=10**6).rstrip()[: -rng.randrange(1, 40)]


@invalid("nesting without end")
def _(rng, config):
    n = rng.choice([101, 1000, 5000])
    opening, closing = rng.choice([("[", "]"), ("{a: ", "}")])
    return dumped(config).replace("weight_decay: 0.01", f"weight_decay: {opening * n}1{closing * n}")


@invalid("a bomb of aliases")
def _(rng, config):
    lines = ["name: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"runs: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    nested = "".join(f"  a{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 10 if i else ['x'] * 10)}]\n" for i in range(10))
    return dumped(config).replace("data:\n", f"data:\n{nested}") if rng.random() < 0.5 else "\n".join([*lines, dumped(config)])


@invalid("no YAML")
def _(rng, config):
    return dumped(config) + rng.choice(
        ["\t- a\n", "a: b: c\n", "%\n", "}\n", "a: !!python/object/apply:os.system [ls]\n", "*x\n"]
    )


@invalid("no sections")
def _(rng, config):
    return rng.choice(["", "- 1\n", "3\n", "text\n", "null\n", "[]\n", "---\n", "--- a\n--- b\n"])


@invalid("an interpolation of nothing")
def _(rng, config):
    text = rng.choice(["${nowhere}", "${model.nowhere}", "${oc.env:LIT_BG_NO_SUCH_VARIABLE}"])
    return dumped(changed(config, rng.choice(floats(config)).path, text))


@invalid("a loss without its data")
def _(rng, config):
    config = copy.deepcopy(config)
    config["data"].pop("path", None)
    config["model"]["loss"] = {"class_path": "ForwardKL"}
    return dumped(config)


@invalid("data that are not there")
def _(rng, config):
    return dumped(changed(config, ("data", "path"), rng.choice(["nowhere.npz", "", ".", "/", "a/b/c.xtc", "x" * 300 + ".npz"])))


@invalid("a schedule that is none")
def _(rng, config):
    config = copy.deepcopy(config)
    cut = rng.choice([[], [[0, 1], [0, 2]], [[1, 2, 3]], [[5, 1], [2, 1]], [["a", 1]], [[0, math.nan]], "high", {"a": 1}])
    config["model"]["loss"] = {"class_path": "ReverseKL", "init_args": {"cut": cut}}
    return dumped(config)


@invalid("parts that do not fit")
def _(rng, config):
    config = copy.deepcopy(config)
    data = config["model"]["energy"]["class_path"] == "DoubleWell"
    wrong = {"class_path": "DenoisingScoreMatching"} if rng.random() < 0.5 else {"class_path": "FlowMatching"}
    if data:
        config["model"]["loss"] = wrong
    else:
        config["model"]["generator"] = {"class_path": "ContinuousFlow", "init_args": {"field": {"class_path": "MLPField"}}}
    return dumped(config)


@invalid("an optimizer that is none")
def _(rng, config):
    config = copy.deepcopy(config)
    config["model"]["optimizer"] = rng.choice(
        [
            {"class_path": "torch.optim.SparseAdam"},
            {"class_path": "torch.optim.Adam", "init_args": {"betas": [2.0, 0.9]}},
            {"class_path": "torch.optim.Adam", "init_args": {"betas": [0.9]}},
            {"class_path": "torch.optim.Adam", "init_args": {"eps": -1.0}},
            {"class_path": "torch.optim.SGD", "init_args": {"momentum": -1.0}},
            {"class_path": "torch.nn.Linear"},
        ]
    )
    return dumped(config)


@invalid("a schedule of the learning rate that is none")
def _(rng, config):
    wrong = [("CosineAnnealingLR", {}), ("StepLR", {"step_size": 0}), ("ExponentialLR", {"gamma": -0.5})]
    wrong += [
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": 1}),
        ("ReduceLROnPlateau", {}),
        ("CosineAnnealingLR", {"T_max": -3}),
    ]
    name, settings = rng.choice(wrong)
    return dumped(
        changed(config, ("model", "lr_scheduler"), {"class_path": f"torch.optim.lr_scheduler.{name}", "init_args": settings})
    )


@invalid("a trainer that cannot be")
def _(rng, config):
    wrong = [("accelerator", "abacus"), ("devices", 0), ("strategy", "nope"), ("precision", "16-true"), ("precision", 7)]
    wrong += [("max_epochs", -5), ("accumulate_grad_batches", 0), ("check_val_every_n_epoch", 0), ("gradient_clip_val", -1.0)]
    wrong += [
        ("limit_val_batches", -1),
        ("max_time", "soon"),
        ("callbacks", [{"class_path": "EMA", "init_args": {"decay": 7}}]),
    ]
    wrong += [("callbacks", [{"class_path": "NonFiniteGuard", "init_args": {"limit": -1}}]), ("num_nodes", 0)]
    key, value = rng.choice(wrong)
    return dumped(changed(config, ("trainer",), {**config["trainer"], key: value}))


# What must be accepted.


@valid("as it is")
def _(rng, config):
    return dumped(config)


@valid("keys in another order")
def _(rng, config):
    def shuffled(node):
        if isinstance(node, dict):
            items = [(key, shuffled(value)) for key, value in node.items()]
            rng.shuffle(items)
            return dict(items)
        return [shuffled(item) for item in node] if isinstance(node, list) else node

    return dumped(shuffled(config))


@valid("in one line, or indented")
def _(rng, config):
    return dumped(config, default_flow_style=rng.choice([True, False, None]), indent=rng.choice([2, 4, 7]), width=10**6)


@valid("as JSON")
def _(rng, config):
    import json

    return json.dumps(config, indent=rng.choice([None, 1, 3]))


@valid("a number written otherwise")
def _(rng, config):
    place = rng.choice(floats(config))
    value = place.value
    spelled = [f"{value:.17g}" if value % 1 else f"{value:.1f}", f"{value:e}", f"{value:.6f}", f"+{value}"]
    return dumped(changed(config, place.path, "HERE")).replace("HERE", rng.choice(spelled))


@valid("a whole number for a fraction")
def _(rng, config):
    place = rng.choice([p for p in floats(config) if p.value % 1 == 0])
    return dumped(changed(config, place.path, int(place.value)))


@valid("spaces, comments and ends of lines")
def _(rng, config):
    lines = dumped(config).splitlines()
    lines = [line + rng.choice(["", "   ", "  # a comment", " # Ω → ∞ コメント"]) for line in lines]
    text = rng.choice(["# head\n", "\n\n\n", "---\n", "\ufeff"]) + rng.choice(["\n", "\n\n", "\r\n"]).join(lines)
    return text + rng.choice(["", "\n", "\n\n\n", "\n...\n"])


@valid("a name in another script")
def _(rng, config):
    return dumped(
        {**config, "name": rng.choice(["Doppelmulde-ä", "二重井戸", "a b", "x.y", "été", "n" * 60])}, allow_unicode=True
    )


@valid("a class by its full path")
def _(rng, config):
    import lit_bg.config.cli as cli

    full = {c.__name__: f"{c.__module__}.{c.__name__}" for c in cli._public_classes()}
    place = rng.choice([p for p in classes(config) if p.value["class_path"] in full])
    return dumped(changed(config, (*place.path, "class_path"), full[place.value["class_path"]]))


@valid("a class as a mere name")
def _(rng, config):
    bare = [p for p in classes(config) if p.path[-1] in ("energy", "loss") and p.value["class_path"] in ("DoubleWell", "DW4")]
    return dumped(changed(config, rng.choice(bare).path, rng.choice(bare).value["class_path"]))


@valid("defaults left out")
def _(rng, config):
    may_go = [("seed_everything",), ("model", "lr_scheduler"), ("data", "batch_size"), ("trainer", "devices")]
    may_go += [("model", "energy", "init_args"), ("model", "optimizer", "init_args")]
    return dumped(without(config, rng.choice(may_go)))


@valid("nothing where nothing may be")
def _(rng, config):
    place = rng.choice([("model", "lr_scheduler"), ("simulate",), ("name",), ("ckpt_path",), ("version",)])
    return dumped(changed(config, place, None))


@valid("another size")
def _(rng, config):
    place = rng.choice([("data", "batch_size"), ("data", "steps_per_epoch"), ("data", "val_samples"), ("data", "test_samples")])
    return dumped(changed(config, place, rng.choice([1, 2, 3, 17, 100, 1023])))


@valid("another temperature or rate")
def _(rng, config):
    place, values = rng.choice(
        [
            (("model", "optimizer", "init_args", "lr"), [1e-8, 1e-3, 0.5, 10.0]),
            (("model", "optimizer", "init_args", "weight_decay"), [0.0, 1.0]),
            (("seed_everything",), [0, 1, 12345, 2**32 - 1]),
            (("model", "lr_scheduler", "init_args", "T_max"), [1, 2, 10**6]),
        ]
    )
    return dumped(changed(config, place, rng.choice(values)))


@valid("another optimizer")
def _(rng, config):
    name = rng.choice(["SGD", "AdamW", "RMSprop", "Adagrad", "LBFGS", "NAdam", "Rprop", "Adadelta"])
    return dumped(changed(config, ("model", "optimizer"), {"class_path": f"torch.optim.{name}"}))


@valid("another schedule of the learning rate")
def _(rng, config):
    right = [("StepLR", {"step_size": 1}), ("ExponentialLR", {"gamma": 0.99}), ("LinearLR", {"total_iters": 2})]
    right += [("OneCycleLR", {"max_lr": 0.1, "total_steps": 2}), ("CosineAnnealingWarmRestarts", {"T_0": 1})]
    right += [("ConstantLR", {}), ("MultiStepLR", {"milestones": [1, 5]}), ("PolynomialLR", {"power": 2.0})]
    name, settings = rng.choice(right)
    return dumped(
        changed(config, ("model", "lr_scheduler"), {"class_path": f"torch.optim.lr_scheduler.{name}", "init_args": settings})
    )


@valid("another energy")
def _(rng, config):
    if config["model"]["energy"]["class_path"] == "DW4" or "path" in config["data"]:
        return None
    energy = rng.choice(
        [
            {"class_path": "DoubleWell", "init_args": {"dim": 5, "kT": 0.5}},
            {"class_path": "MuellerBrown"},
            {"class_path": "ManyWell"},
            {"class_path": "Funnel"},
            {"class_path": "WolfeQuapp"},
        ]
    )
    return dumped(changed(config, ("model", "energy"), energy))


@valid("another trainer")
def _(rng, config):
    right = [("max_epochs", 0), ("max_epochs", 1), ("max_steps", 1), ("gradient_clip_val", 1.0), ("gradient_clip_val", 0)]
    right += [("precision", "32-true"), ("precision", 32), ("accumulate_grad_batches", 2), ("log_every_n_steps", 1)]
    right += [("max_time", "00:00:10:00"), ("detect_anomaly", True), ("accelerator", "auto"), ("num_sanity_val_steps", 1)]
    right += [("callbacks", [{"class_path": "EMA", "init_args": {"decay": 0.5}}]), ("callbacks", []), ("callbacks", None)]
    right += [("callbacks", {"class_path": "NonFiniteGuard"}), ("deterministic", True), ("check_val_every_n_epoch", 2)]
    key, value = rng.choice(right)
    return dumped(changed(config, ("trainer",), {**config["trainer"], key: value}))


@valid("aliases and merged keys")
def _(rng, config):
    text = dumped(config)
    if rng.random() < 0.5:
        return text.replace("batch_size: 32", "batch_size: &n 32").replace("val_samples: 40", "val_samples: *n")
    return text.replace("data:\n", "data:\n  <<: {val_samples: 30}\n").replace("  val_samples: 40\n", "")


@valid("an interpolation")
def _(rng, config):
    return dumped(changed(config, ("data", "val_samples"), "${data.batch_size}"))


def cases(n_valid: int, n_invalid: int) -> list[Case]:
    """The same for every call: kinds by turns, bases by turns, the rest at random."""
    rng, out = random.Random(SEED), []
    for kinds, is_valid, n in ((VALID, True, n_valid), (INVALID, False, n_invalid)):
        bases = itertools.cycle(BASES.values())
        made = 0
        for name in itertools.cycle(kinds):
            if made == n:
                break
            config = copy.deepcopy(next(bases))
            text = kinds[name](rng, config)
            if text is not None:
                out.append(Case(name, is_valid, text))
                made += 1
    return out


ALL = cases(n_valid=90, n_invalid=160)
EVERY = [*ALL[:90:9], *ALL[90::10]]


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch, empty_figures):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIT_BG_VERSION", raising=False)
    Path("data.npz").write_bytes(data_of_double_well())


_data: dict[str, bytes] = {}


def data_of_double_well() -> bytes:
    if not _data:
        import numpy as np

        from lit_bg.energies import DoubleWell

        x = DoubleWell().exact_samples(2000, torch.Generator().manual_seed(0)).reshape(200, 10, 2)
        file = io.BytesIO()
        np.savez(file, x=x.numpy())
        _data["x"] = file.getvalue()
    return _data["x"]


def accepted_or_told(text: str, action: Callable[[list[str]], Any]) -> tuple[bool, str]:
    """Whether a configuration is taken, and what is said if not; anything but a sentence is an error."""
    Path("case.yaml").write_text(text, encoding="utf-8", newline="")
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        try:
            action(["-c", "case.yaml"])
        except SystemExit as stop:
            code = stop.code
        else:
            return True, ""
    said = [line for line in err.getvalue().splitlines() if line.strip()]
    assert code == 2, (code, said)
    assert len(said) == 1, said
    assert said[0].startswith("lit_bg: "), said
    assert len(said[0]) < 1000, said
    assert "Traceback" not in said[0]
    return False, said[0]


@pytest.fixture
def untrained(monkeypatch):
    """All that `python -m lit_bg.fit` does, but for training and testing."""
    for name in ("fit", "test"):
        monkeypatch.setattr(f"lightning.pytorch.Trainer.{name}", lambda *args, **kwargs: None)


def judge(case: Case) -> None:
    start = time.monotonic()
    taken, said = accepted_or_told(case.text, fit.main)
    assert taken == Path("runs").exists()
    assert taken == case.valid, f"{case.kind}: {said or 'accepted'}\n{case.text[:3000]}"
    assert time.monotonic() - start < LIMIT_S


@pytest.mark.parametrize("case", EVERY, ids=lambda c: c.kind.replace(" ", "_"))
def test_some_mutations(case, untrained):
    judge(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL, ids=lambda c: c.kind.replace(" ", "_"))
def test_all_mutations(case, untrained):
    judge(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL[:90:6], ids=lambda c: c.kind.replace(" ", "_"))
def test_what_is_valid_trains(case):
    taken, said = accepted_or_told(case.text, fit.main)
    assert taken, f"{said}\n{case.text}"
    assert list(Path("runs").rglob("summary.json"))


def test_a_fuzzer_makes_what_it_says(untrained):
    """As many as promised, of every kind, all different texts where the kind has some choice."""
    assert len(ALL) >= 200
    assert {c.kind for c in ALL} == {*VALID, *INVALID}
    assert 15 <= len(EVERY) <= 30
    assert len({c.text for c in ALL}) > 200  # some kinds have few forms
    for base in BASES.values():
        assert accepted_or_told(dumped(base), fit.main)[0]
