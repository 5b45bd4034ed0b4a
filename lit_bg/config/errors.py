"""Errors of a configuration in sentences: jsonargparse reports them in paragraphs."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

# What jsonargparse says of a key, a class and a value.
UNKNOWN_KEY = re.compile(
    r"does not accept option '([\w.]+)'|ption '([\w.]+)' is not accepted|nrecognized arguments: --([\w.]+)"
)
UNKNOWN_CLASS = re.compile(r"Parser key \"([\w.]+)\":.*(?:dot import path string: |class_path '|No module named ')([\w.]+)")
NO_SUBCLASS = re.compile(r"Parser key \"([\w.]+)\":.*Import path (\S+) does not correspond to a subclass of (\w+)")
NOT_DERIVED = re.compile(r"Parser key \"([\w.]+)\":.*Expected '(\S+)' to be a subclass of <class '([\w.]+)'>")
NO_CLASS = re.compile(
    r"Parser key \"([\w.]+)\":.*(?:Not a valid subclass of \w+\. Got value|subclass spec, but got .* Got value): "
    r"(.+?)(?: Subclass types.*)?$"
)
NO_UNION = re.compile(r"Parser key \"([\w.]+)\":.*(?:Got|Given) value: (.+)$")
REASON = re.compile(r"Union subtypes.*?Errors: - (.+?)(?: - | Given value|$)")
CLASS_IN_MESSAGE = re.compile(
    r"(?:Expected a path but |but |import path string: |module |Got value: |class_path |class_path=|'class_path': )"
    r"'?([A-Za-z_]\w*(?:\.\w+)+)"
)
MISSING = re.compile(r"the following arguments are required: (.+?)(?: Given value type: .*)?$")
PATH_OR_CLASS = re.compile(r"- Expected a <class 'str'> (?=- .*Given value: (?:\{'class_path'|Namespace\(class_path))")
NO_SECTION = re.compile(r"Parser key \"([\w.]+)\": Unable to load config '(.*?)'")
KEY = re.compile(r"Parser key \"([\w.]+)\":")
CLASS_WITH_KEY = re.compile(r"class_path '([\w.]+)': (?:Group '(\w+)' does|Option '[\w.]+' is)")
NUMBER = re.compile(r"[-+]?(\.?inf|\.?nan)", re.IGNORECASE)
WRONG_TYPE = re.compile(r"Parser key \"([\w.]+)\":.*Expected an? <class .*(?:Got value|Given value): (.+)$")


def explain(message: str, suggest: Callable[..., str]) -> str:
    """Return a message of jsonargparse as one sentence with the value and the way out.

    Args:
        message: what jsonargparse says.
        suggest: what a wrong key, or with `classes=True` a wrong class, may have been meant to be: ", did you mean ...?".
    """
    text = PATH_OR_CLASS.sub("", " ".join(message.split()))  # of what may be a path, only the class is of interest
    if found := NO_SECTION.search(text):
        return f"{found[1]} is a section with keys, such as {found[1]}: {{key: value}}, got {found[2]}."
    if found := UNKNOWN_KEY.search(text):
        key = next(group for group in found.groups() if group)
        hint = suggest(key)
        hint = "" if f"'{key.rpartition('.')[2]}'" in hint else hint  # it is right elsewhere
        return f"unknown key '{key}'{hint}; {_accepted(text, key) or '`-c YAML --print_config` lists the keys'}."
    if found := MISSING.search(text):
        return f"{found[1]} missing: the configuration must give {'it' if ',' not in found[1] else 'them'}."
    if problem := _problem_of_import(text):
        return problem
    for pattern in (NO_SUBCLASS, NOT_DERIVED):
        if found := pattern.search(text):
            key, name, base = found.groups()
            return f"'{name}' is no {base.rpartition('.')[2]}, which {key} needs."
    if found := NO_CLASS.search(text):
        key, value = found.groups()
        return f"{key} needs a class, such as {key}: {{class_path: ...}}, got {value.replace('None', 'null')}."
    types = dict.fromkeys(re.findall(r"Expected an? <class '(\w+)'>", text))
    if (found := UNKNOWN_CLASS.search(text)) and not set(types) - {"NoneType"}:
        key, name = found.groups()
        if NUMBER.fullmatch(name):
            return f"{key} must be a finite number, got {name}."
        hint = suggest(name, classes=True)
        if f"'{name}'" in hint:
            return f"'{name}' is not what {key} needs: it is a class of another kind."
        return f"no class '{name}' for {key}{hint}; a class of your own needs its full import path."
    if (found := WRONG_TYPE.search(text)) and set(types) - {"NoneType"}:
        if NUMBER.fullmatch(found[2]):
            return f"{found[1]} must be a finite number, got {found[2]}."
        return f"{found[1]} must be of type {' or '.join(types).replace('NoneType', 'null')}, got {found[2]}."
    if found := NO_UNION.search(text):
        return f"{found[1]} has no such form: {found[2]}; `-c YAML --print_config` shows values of every key."
    text = KEY.sub(r"\1:", text)
    return text if len(text) < 500 else f"{text[:250]} ... {text[-230:]}"


def _accepted(message: str, key: str) -> str | None:
    """Return what a class takes, or one of its arguments that is a group, where a message complains of another key."""
    try:
        if found := CLASS_WITH_KEY.search(message):
            name, of = found[1].rpartition(".")[2], _class_of(found[1])
            if found[2] is not None:
                name, of = found[2], get_type_hints(vars(of)["__init__"])[found[2]]
        elif found := re.search(r"Given value: (\{.*\})", message):
            name, of = _class_without(ast.literal_eval(found[1]), key)
        else:
            return None
        taken = [
            name for name, p in inspect.signature(of).parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
    except Exception:  # whatever a class of somebody else does
        return None
    return f"{name} takes {', '.join(taken)}" if taken else f"{name} takes no arguments"


def _class_of(path: str) -> type:
    """Return the class that a configuration names, by its full path or by its short name."""
    module, _, name = path.rpartition(".")
    if module:
        return getattr(importlib.import_module(module), name)
    packages = [m for key, m in sys.modules.items() if key.startswith("lit_bg.") and hasattr(m, "__path__")]
    return next(vars(m)[name] for m in packages if inspect.isclass(vars(m).get(name)))


def _class_without(value: Any, key: str) -> tuple[str, type]:
    """Return the class in a configuration that is given a key and does not take it."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict) and key in (item.get("init_args") or {}):
            of = _class_of(item["class_path"])
            if key not in inspect.signature(of).parameters:
                return of.__name__, of
        stack += item.values() if isinstance(item, dict) else item if isinstance(item, list) else []
    raise LookupError(key)


def reason_of(error: Exception) -> Exception:
    """Return what a class says where jsonargparse wraps it into the list of all that it has tried."""
    found = REASON.search(" ".join(str(error).split()))
    return error if found is None else ValueError(found[1])


def _problem_of_import(message: str) -> str | None:
    """Return what keeps a class that an error of jsonargparse speaks of from being used, where that is its import or itself."""
    for path in dict.fromkeys(CLASS_IN_MESSAGE.findall(message)):
        module, _, name = path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name, None)
        except Exception as error:  # whatever a module raises while it is imported
            missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
            if missing is not None and f"{module}.".startswith(f"{missing}."):
                return f"there is no module '{missing}' for the class '{path}': install it, or run where Python finds it."
            return f"'{module}' of the class '{path}' cannot be imported ({type(error).__name__}: {error})."
        if found is None:
            close = difflib.get_close_matches(name, vars(sys.modules[module]), 1, 0.7)
            hint = f", did you mean '{module}.{close[0]}'?" if close else ""
            return f"the module '{module}' has no class '{name}'{hint or ': look at its spelling.'}"
        if inspect.isclass(found) and (missing := getattr(found, "__abstractmethods__", None)):
            return f"{name} does not define {', '.join(sorted(missing))}, so it cannot be used."
    return None
