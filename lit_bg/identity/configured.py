"""Objects that know the configuration they were built from."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

from lit_bg.identity.canonical import canonical, class_name

BUILT, ARGUMENTS = "_built_from", "_built_with"  # in the dictionary of the object, so that copies know it too


class Configured:
    """Base of classes whose objects know which arguments they were built from, as a configuration names them.

    A subclass does nothing for it: its arguments are noted when the constructor is called, in the spelling of `canonical`, with
    defaults filled in. Two objects are one target if `compare` finds no difference between what `identify` returns for them.
    """

    incidental: ClassVar[tuple[str, ...]] = ()
    """Arguments that do not tell one target from another, in addition to those that the parents name"""
    reads_later = (
        False  # whether files that the arguments name are read after the constructor, so that their content counts then
    )

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if cls.__init__ is object.__init__ and (args or kwargs):
            raise TypeError(f"{cls.__name__}() takes no arguments")
        self = super().__new__(cls)
        if cls.reads_later:
            vars(self)[ARGUMENTS] = args, kwargs
        elif (node := _read_node(cls, args, kwargs)) is not None:
            vars(self)[BUILT] = node
        return self

    @classmethod
    def spell(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments in the one spelling that counts, where there are several for one thing; by default as given.

        Args:
            arguments: by name, without those that are `incidental`; keywords of any name (`**options`) among them.
        """
        return arguments

    def _configuration_node(self) -> dict[str, Any]:
        held = vars(self)
        node = _read_node(type(self), *held[ARGUMENTS]) if ARGUMENTS in held else held.get(BUILT)
        if node is None:
            raise TypeError(
                f"{type(self).__name__} does not know what it was built from: its __new__ must end with "
                "super().__new__(cls, *args, **kwargs), with the arguments of its constructor."
            )
        return node


def identify(target: Configured) -> dict[str, Any]:
    """Return what tells a target from others: the node of a configuration that builds it, in one spelling.

    It holds the class, the package that the class is from, and the arguments; without those that are incidental, such as kT,
    which is compared by itself. It is plain data, as JSON holds them.

    Raises:
        TypeError: the class has a `__new__` that does not call that of its parent with the arguments.

    >>> from lit_bg.energies import DoubleWell
    >>> identify(DoubleWell(dim=3, kT=2.0))["parameters"]
    {'dim': 3, 'a4': 1.0, 'a2': 6.0, 'a1': 1.0, 'k': 1.0}
    """
    return target._configuration_node()


def _read_node(cls: type[Configured], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Return the node of a call of the constructor; None where the constructor will refuse the call."""
    try:
        arguments, names, rest = _bind(cls, args, kwargs)
    except TypeError:  # the constructor says it better; or this is a copy, for which nothing was given
        return None
    left_out = {name for base in cls.__mro__ for name in vars(base).get("incidental", ())}
    arguments = {name: value for name, value in arguments.items() if name not in left_out}
    try:
        spelt = {name: canonical(value) for name, value in cls.spell(arguments).items()}
    except Exception as error:  # most probably the constructor will refuse them, and say it better
        spelt = {name: {"unknown": f"{type(error).__name__}, {error}"} for name in arguments}
    parameters = {name: value for name, value in spelt.items() if name in names}
    others = {name: spelt[name] for name in sorted(spelt.keys() - names)}
    parameters |= {rest: others} if rest else others
    return {"class": class_name(cls), "package": cls.__module__.partition(".")[0], "parameters": parameters}


def _bind(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], set[str], str]:
    """Return the arguments of the constructor by name with all defaults, the names in its signature, and that of `**options`.

    Defaults of keywords that go on to the constructor of a parent are the parent's.

    Raises:
        TypeError: they do not fit.
    """
    if cls.__init__ is object.__init__:  # type: ignore[misc]
        return {}, set(), ""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    bound = signature.bind(None, *args, **kwargs)
    bound.apply_defaults()
    named = list(signature.parameters.values())[1:]
    arguments: dict[str, Any] = {}
    for parameter in named:
        value = bound.arguments[parameter.name]
        arguments |= value if parameter.kind is parameter.VAR_KEYWORD else {parameter.name: value}
    rest = next((p.name for p in named if p.kind is p.VAR_KEYWORD), "")
    if rest:
        arguments = _defaults_of_parents(cls) | arguments
    return arguments, {p.name for p in named} - {rest}, rest


def _defaults_of_parents(cls: type) -> dict[str, Any]:
    """Return what the constructors behind that of a class take if nothing is given, as far as keywords reach."""
    found: dict[str, Any] = {}
    inits = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base) and issubclass(base, Configured)]
    for init in inits[1:]:
        parameters = list(inspect.signature(init).parameters.values())[1:]
        found = {p.name: p.default for p in parameters if p.default is not p.empty} | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found
