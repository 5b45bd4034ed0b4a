"""Names in an experiment, checked against the schema before anything heavy is imported: keys, classes and options."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lit_bg.config.command_line import complain
from lit_bg.config.file import OF_A_CLASS, parse_yaml
from lit_bg.console.module_files import is_importable, may_define
from lit_bg.console.near import either, find_near
from lit_bg.console.schema import ROOTS, KnownClass, Parameter, Schema, read_schema

LIKELY = 0.75  # how alike a key must be to be taken for a misspelling where anything may stand
MANY = 12  # names that a sentence can list
Path = tuple[str | int, ...]


class Setting(NamedTuple):
    """One thing that a command line gives: a file, or an option with its value.

    Attributes:
        where: for a sentence; an option, or the name of a file.
        text: of a file, from which the line is told; None for an option.
        path: of the value in the configuration.
        value: what it is set to.
    """

    where: str
    text: str | None
    path: Path
    value: Any


class Problem(NamedTuple):
    """What is wrong, and where: the beginning of a sentence, the place and the way out."""

    what: str
    path: Path
    way_out: str


def refuse_names(args: Sequence[str]) -> None:
    """Leave with a sentence if a key or a class is wrong (see `find_problem`)."""
    if problem := find_problem(args):
        complain(problem)


def find_problem(args: Sequence[str], schema: Schema | None = None) -> str | None:
    """Return what names of a command line are wrong, in a sentence with the place and the nearest right ones, or None.

    What is accepted here may still be refused when it is parsed; what is refused here would be refused there. So what the
    schema cannot know is let pass: classes of other packages than `ROOTS`, their arguments, short names where such a class is
    named (importing it may make more of them known), and new names in other versions of torch and lightning.

    Args:
        args: as `python -m lit_bg.fit` takes them, after `refuse_early`; what names a run to go on with is resolved.
        schema: by default that of the package.
    """
    schema = read_schema() if schema is None else schema
    sources = list(_sources(args))
    scout = _Checker(schema, lenient=True)
    for source in sources:
        for _ in scout.check(source):
            pass
    checker = _Checker(schema, lenient=scout.foreign)
    for source in sources:
        for problem in checker.check(source):
            return f"{problem.what} ({_place(source, problem.path)}){problem.way_out}"
    return None


def _sources(args: Sequence[str]) -> Iterator[Setting]:
    """Files and options, in the order in which they are merged."""
    rest = list(args)
    while rest:
        word = rest.pop(0)
        option, given, text = word.partition("=")
        if not option.startswith("-"):
            continue
        if not given and rest and not rest[0].startswith("--"):
            text = rest.pop(0)
        if option in ("-c", "--config"):
            yield from _read(text, ())
        elif option.startswith("--"):
            path = tuple(option[2:].split("."))
            value, problem = parse_yaml(text, option)
            yield Setting(option, None, path, text if problem else value)


def _read(file: str, path: Path) -> Iterator[Setting]:
    """Read the content of a YAML, and of the files that stand for its sections."""
    with open(file, encoding="utf-8") as stream:
        text = stream.read()
    content, problem = parse_yaml(text, file)
    if problem is None:
        yield Setting(file, text, path, content)


class _Checker:
    """Walks through what is given, and remembers which class each key names, for what is given later."""

    def __init__(self, schema: Schema, lenient: bool) -> None:
        self.schema, self.lenient = schema, lenient
        self.foreign = False  # whether a class of another package is named
        self.of_option = False
        self.named: dict[str, str | None] = {}  # key: class, or None for one that the schema does not know

    def check(self, source: Setting) -> Iterator[Problem]:
        self.of_option = source.text is None
        yield from self._option(source) if self.of_option else self._section("", source.path, source.value)

    def _section(self, key: str, path: Path, value: Any) -> Iterator[Problem]:
        """Check the keys of a section, and what they hold."""
        if isinstance(value, str) and os.path.isfile(value):
            for inner in _read(value, path):
                yield from self._section(key, path, inner.value)
        if not isinstance(value, dict):
            return
        known = self.schema.children(key)
        for name, inner in value.items():
            bare = str(name).removesuffix("+")
            full = f"{key}.{bare}" if key else bare
            if full in self.schema.keys:
                yield from self._value(full, self.schema.keys[full], (*path, name), inner)
            elif bare in known:
                yield from self._section(full, (*path, name), inner)
            elif "." not in bare and not (key == "trainer" and not self.schema.is_current("lightning")):
                yield self._unknown(name, (*path, name), known, "", key)

    def _value(self, key: str, parameter: Parameter, path: Path, value: Any) -> Iterator[Problem]:
        """Check what a key that takes classes is set to."""
        if not parameter.kinds or value is None:
            return
        if isinstance(value, (list, tuple)):
            for i, item in enumerate(value):
                yield from self._value(key, parameter, (*path, i), item)
        elif isinstance(value, str):
            if not parameter.plain and not value.startswith("${") and not os.path.exists(value):
                yield from self._class(key, parameter, path, value)
        elif isinstance(value, dict):
            yield from self._description(key, parameter, path, value)

    def _description(self, key: str, parameter: Parameter, path: Path, value: dict[Any, Any]) -> Iterator[Problem]:
        """Check a class with its arguments, or arguments alone of the class that a key has already."""
        closed = [self.schema.classes[kind] for kind in parameter.kinds if kind in self.schema.classes]
        if "class_path" in value:
            name = value["class_path"]
            if not isinstance(name, str) or name.startswith("${"):
                self.named[key] = None
                return
            yield from self._class(key, parameter, (*path, "class_path"), name)
        elif len(closed) == 1 and closed[0].closed:
            yield from self._arguments(key, closed[0], path, value)
            return
        elif key not in self.named:
            for name in () if parameter.plain else value:
                if name not in OF_A_CLASS and find_near(str(name), OF_A_CLASS, LIKELY):
                    yield self._unknown(name, (*path, name), OF_A_CLASS, "", "")
            return
        of = self.schema.classes.get(self.named[key] or "")
        if of is None:
            return
        bare = not set(value) & set(OF_A_CLASS)
        yield from self._arguments(key, of, path if bare else (*path, "init_args"), value if bare else value.get("init_args"))

    def _class(self, key: str, parameter: Parameter, path: Path, name: str) -> Iterator[Problem]:
        """Check the name of a class, short or with its module."""
        self.named[key] = None
        fitting = self.schema.of_kind(parameter.kinds)
        if "." in name:
            known = self.schema.classes.get(name)
        else:
            found = [known for known in fitting if known.name == name]
            if len(found) > 1:
                return  # which one is for the parser to ask
            known = found[0] if found else None
        if known is not None:
            self.named[key] = known.path
            if not set(known.kinds) & set(parameter.kinds):
                yield Problem(f"'{name}' is not what {key} needs", path, ": it is a class of another kind.")
            return
        root = name.partition(".")[0]
        short = root == name
        if not short and root not in ROOTS and (is_importable(root) or not find_near(root, ROOTS, LIKELY)):
            self.foreign = True
            return
        roots = {kind.partition(".")[0] for kind in parameter.kinds} if short else {root}
        if (short and self.lenient) or not all(self.schema.is_current(r) for r in roots):
            return
        if not short and may_define(name):
            return
        if short and any(known.name == name for known in self.schema.classes.values()):
            yield Problem(f"'{name}' is not what {key} needs", path, ": it is a class of another kind.")
            return
        candidates = [c.name if short else c.path for c in fitting if not c.abstract]
        last = name.rpartition(".")[2]
        near = [c.path for c in fitting if c.name == last] or find_near(name, candidates)
        hint = f", did you mean {either(near)}? A" if near else "; a"
        if not near and len(candidates) <= MANY:
            hint = f", there are {', '.join(candidates)}; a"
        yield Problem(f"no class '{name}' for {key}", path, f"{hint} class of your own needs its full import path.")

    def _arguments(self, key: str, of: KnownClass, path: Path, value: Any) -> Iterator[Problem]:
        if not isinstance(value, dict):
            return
        for name, inner in value.items():
            bare = str(name).removesuffix("+")
            if bare in of.parameters:
                yield from self._value(f"{key}.{bare}", of.parameters[bare], (*path, name), inner)
            elif "." not in bare and self.schema.is_current(of.path.partition(".")[0]):
                yield self._unknown(name, (*path, name), list(of.parameters), of.name, "")

    def _option(self, source: Setting) -> Iterator[Problem]:
        """Check an option with dots: its names are keys of sections, then arguments of the classes that stand there."""
        names = [*source.path]
        names[-1] = str(names[-1]).removesuffix("+")
        if names[-1] == "help" and source.path != ("help",):
            names.pop()  # shows what a class takes
        key, n = "", 0
        while n < len(names) and key not in self.schema.keys:
            known = self.schema.children(key)
            if names[n] not in known:
                if not (key == "trainer" and not self.schema.is_current("lightning")) and names != ["help"]:
                    yield self._unknown(names[n], source.path, known, "", key)
                return
            key, n = (f"{key}.{names[n]}" if key else str(names[n])), n + 1
        if key not in self.schema.keys:
            yield from self._section(key, source.path, source.value)
            return
        parameter = self.schema.keys[key]
        while n < len(names):
            if names[n] in ("class_path", "init_args") and n + 1 == len(names):
                break
            if not parameter.kinds or names[n] == "dict_kwargs":
                return  # into a mapping
            n += names[n] == "init_args"
            of = self._standing(key, parameter)
            if of is None:
                return
            if names[n] not in of.parameters:
                if self.schema.is_current(of.path.partition(".")[0]):
                    yield self._unknown(names[n], source.path, list(of.parameters), of.name, "")
                return
            key, parameter, n = f"{key}.{names[n]}", of.parameters[str(names[n])], n + 1
        if source.path[-1] == "help" or names[-1] == "dict_kwargs":
            return
        if names[-1] in OF_A_CLASS:
            yield from self._value(key, parameter, source.path[:-1], {names[-1]: source.value})
        else:
            yield from self._value(key, parameter, source.path, source.value)

    def _standing(self, key: str, parameter: Parameter) -> KnownClass | None:
        """Return the class whose arguments the names below a key are, where it is known."""
        if key in self.named:
            return self.schema.classes.get(self.named[key] or "")
        kinds = [self.schema.classes[kind] for kind in parameter.kinds if kind in self.schema.classes]
        return kinds[0] if len(kinds) == 1 and kinds[0].closed else None

    def _unknown(self, name: Any, path: Path, known: Sequence[str], owner: str, key: str) -> Problem:
        """Name a key that is none, with the nearest that are, or those that there are."""
        near = find_near(str(name), known)
        near = [f"{key}.{other}" for other in near] if key and self.of_option else near
        near = near or [full for full in self.schema.keys if full.rpartition(".")[2] == str(name)]
        if len(known) > MANY:
            listed = "`-c YAML --print_config` lists the keys"
        elif owner:
            listed = f"{owner} takes {', '.join(known) or 'no arguments'}"
        else:
            listed = f"{'T' if near else 't'}here are {', '.join(known)}"
        hint = f", did you mean {either(near)}?" if near else ";"
        return Problem(f"unknown key '{name}'", path, f"{hint} {listed}.")


def _place(source: Setting, path: Path) -> str:
    """Where something stands: an option, or the line of a file with its key."""
    inside = path if source.text is not None else path[len(source.path) :]
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inside).lstrip(".")
    line = None if source.text is None else _line(source.text, path)
    return ", ".join(part for part in (source.where, f"line {line}" if line else "", dotted) if part)


def _line(text: str, path: Path) -> int | None:
    """Return the line of a file in which a value stands; None where its key comes from elsewhere, such as a merged one."""
    import yaml

    node, mark = yaml.compose(text, Loader=yaml.SafeLoader), None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if found is None:
                return None
            mark, node = found[0].start_mark, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            mark = node.start_mark
        else:
            return None
    return None if mark is None else mark.line + 1
