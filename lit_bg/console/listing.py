"""lit-bg list KIND: the classes that an experiment can name, with a line each."""

from __future__ import annotations

import sys

from lit_bg.config.command_line import complain
from lit_bg.console.near import find_near
from lit_bg.console.schema import KnownClass, read_schema

KINDS = {
    "energies": "lit_bg.energies.Energy",
    "generators": "lit_bg.generators.Generator",
    "losses": "lit_bg.losses.Loss",
    "kernels": "lit_bg.kernels.Kernel",
    "samplers": "lit_bg.samplers.Sampler",
    "simulators": "lit_bg.simulators.Simulator",
    "fields": "lit_bg.nets.VectorField",
    "bases": "lit_bg.bases.BaseDensity",
    "coordinates": "lit_bg.transforms.Chart",
    "topologies": "lit_bg.molecules.topologies.Topology",
    "interpolants": "lit_bg.interpolants.Interpolant",
    "pairings": "lit_bg.losses.pairings.Pairing",
    "solvers": "lit_bg.solvers.Solver",
    "sources": "lit_bg.data.Source",
    "callbacks": "lightning.Callback",
}
HELP = f"""\
lit-bg list KIND

Lists the classes of a kind, with a line each; a YAML names them by class_path.

  {", ".join(KINDS)}

Arguments of a class: lit-bg fit --model.energy.help=DoubleWell. Classes of your own: docs/extending.md."""


def main(args: list[str] | None = None) -> None:
    """Run the command line; without arguments print its help."""
    args = sys.argv[1:] if args is None else args
    if not args or "-h" in args or "--help" in args:
        print(HELP)
        return
    if len(args) > 1 or args[0] not in KINDS:
        near = find_near(args[0], list(KINDS))
        hint = f", did you mean {near[0]}?" if near and args[0] not in KINDS else ":"
        complain(f"`lit-bg list` takes one kind, got '{' '.join(args)}'{hint} there are {', '.join(KINDS)}.")
    found = list_classes(args[0])
    width = max(len(known.name) for known in found)
    for known in found:
        print(f"{known.name:<{width}}  {known.doc}")


def list_classes(kind: str) -> list[KnownClass]:
    """Return the classes of a kind that are exported by their package and can be built.

    >>> [known.name for known in list_classes("pairings")]
    ['EquivariantOT', 'Independent', 'MinibatchOT']
    """
    package = "lit_bg.callbacks" if kind == "callbacks" else KINDS[kind].rpartition(".")[0]
    found = read_schema().of_kind((KINDS[kind],))
    return [known for known in found if known.path == f"{package}.{known.name}" and not known.abstract]
