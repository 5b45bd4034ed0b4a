"""The generalised Born models of Amber, which OpenMM's files write as expressions."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from lit_bg.forces.base import Force, System
from lit_bg.forces.born import Born, Neck
from lit_bg.forces.custom import columns, parameter_names, tables
from lit_bg.forces.custom_gb import CustomGB

# What OpenMM writes (openmm/app/internal/customgbforces.py and data/implicit), without blanks; # is a number.
OVERLAP = (
    "select(step(r+sr2-or1),0.5*(1/L-1/U+0.25*(r-sr2^2/r)*(1/(U^2)-1/(L^2))+0.5*log(L/U)/r),0);"
    "U=r+sr2;L=max(or1,D);D=abs(r-sr2)"
)
NECKS = (
    "Ivdw+neckScale*Ineck;Ineck=step(radius1+radius2+neckCut-r)*getm0(radindex1,radindex2)/(1+100*(r-getd0(radindex1,radindex2))^2"
    f"+0.3*1000000*(r-getd0(radindex1,radindex2))^6);Ivdw={OVERLAP};radius1=or1+offset;radius2=or2+offset;neckScale=#;neckCut=#;"
    "offset=#"
)
HCT = "1/(1/or-I)"
SATURATING = "1/(1/or-tanh({})/radius);psi=I*or;radius=or+offset;offset=#"
Coefficient = str | float  # a number, the parameter of atoms of that name, or (#) the next number of the text
POLYNOMIALS: dict[str, tuple[Coefficient, Coefficient, Coefficient]] = {  # with alpha, beta and gamma
    "#*psi+#*psi^3": ("#", 0.0, "#"),
    "psi-#*psi^2+#*psi^3": (1.0, "#", "#"),
    "#*psi-#*psi^2+#*psi^3": ("#", "#", "#"),
    "alpha*psi-beta*psi^2+gamma*psi^3": ("alpha", "beta", "gamma"),
}
CONSTANT, DIELECTRICS = "#*(1/soluteDielectric-1/solventDielectric)", "solventDielectric=#;soluteDielectric=#;kappa=0;offset=#"
OF_ATOMS = f"-0.5*{CONSTANT}*charge^2/B;{DIELECTRICS}"
OF_SURFACE = f"#*(radius+0.14)^2*(radius/B)^6;radius=or+offset;{DIELECTRICS}"
OF_PAIRS = f"-{CONSTANT}*charge1*charge2/f;f=sqrt(r^2+B1*B2*exp(-r^2/(4*B1*B2)));{DIELECTRICS}"
OF_PAIRS_CUT = f"-{CONSTANT}*charge1*charge2*(1/f-#);f=sqrt(r^2+B1*B2*exp(-r^2/(4*B1*B2)));{DIELECTRICS}"
NUMBER = r"(\d+\.?\d*(?:e[+-]?\d+)?)"


def custom_gb(force: Any, system: System) -> Force:
    """Return the closed form of a CustomGBForce that is HCT, OBC1, OBC2, GBn or GBn2 to the letter, else a `CustomGB`."""
    return read_model(force, system) or CustomGB(force, system)


def read_model(force: Any, system: System) -> Born | None:
    """Return a CustomGBForce as `Born`, or None if its text, but for blanks and numbers, is that of no known model.

    With salt (kappa) it is another one, which has no closed form here.
    """
    values = [force.getComputedValueParameters(k) for k in range(force.getNumComputedValues())]
    terms = [force.getEnergyTermParameters(k) for k in range(force.getNumEnergyTerms())]
    single, pair = force.SingleParticle, force.ParticlePairNoExclusions
    if [(name, kind) for name, _, kind in values] != [("I", pair), ("B", single)] or force.getNumGlobalParameters():
        return None
    if [kind for _, kind in terms] not in ([single, pair], [single, single, pair]):
        return None
    integral, radii = values[0][1], values[1][1]
    necks, atoms, cut = match(NECKS, integral), match(OF_ATOMS, terms[0][0]), match(OF_PAIRS_CUT, terms[-1][0])
    pairs = match(OF_PAIRS, terms[-1][0]) if cut is None else [cut[0], *cut[2:]]
    surface = match(OF_SURFACE, terms[1][0]) if len(terms) == 3 else [0.0, 1.0, 1.0, 0.0]
    if atoms is None or pairs is None or surface is None or atoms[:3] != pairs[:3]:
        return None
    no_cutoff = force.getNonbondedMethod() == force.NoCutoff
    if (necks is None and match(OVERLAP, integral) is None) or (no_cutoff and cut is not None):
        return None
    rows = [force.getParticleParameters(m) for m in range(system.n)]
    named = {name: column[:, 0] for name, column in columns(parameter_names(force, "Particle"), rows).items()}  # type: ignore[index]
    read = _read_radii(radii, named)
    if read is None:
        return None
    radius, coefficients, saturates = read
    strength, solvent, solute, _ = atoms
    probed = named["or"] + surface[-1]
    return Born(
        named["charge"],
        reduced=named["or"],
        scaled=named["sr"],
        radius=radius,
        coefficients=coefficients,
        constant=-strength * (1 / solute - 1 / solvent),
        surface=surface[0] * (probed + 0.14) ** 2 * probed**6,
        cutoff=None if no_cutoff else force.getCutoffDistance()._value,
        shift=0.0 if cut is None else cut[1],
        saturates=saturates,
        neck=None if necks is None else _read_necks(force, named, *necks),
    )


def match(template: str, text: str) -> list[float] | None:
    """Return the numbers of a text that follows the template, else None.

    >>> match("#*psi+#*psi^3", "0.8*psi + 2.909125*psi^3")
    [0.8, 2.909125]
    """
    pattern = re.escape(template).replace(r"\#", NUMBER) + r"(?:;cutoff=[\d.e+-]+)?"
    found = re.fullmatch(pattern, re.sub(r"\s", "", text))
    return None if found is None else [float(number) for number in found.groups()]


def _read_radii(text: str, named: dict[str, Tensor]) -> tuple[Tensor, Tensor, bool] | None:
    """Return rho, (N,), alpha, beta and gamma, (3, N), and whether there is a tangent, of the expression of Born radii."""
    reduced = named["or"]
    if match(HCT, text) is not None:  # psi / o = I
        return reduced, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)[:, None] * torch.ones_like(reduced), False
    for polynomial, known in POLYNOMIALS.items():
        numbers = match(SATURATING.format(polynomial), text)
        if numbers is not None:
            *given, offset = numbers
            read = [given.pop(0) if c == "#" else named[c] if isinstance(c, str) else c for c in known]
            return reduced + offset, torch.stack([torch.as_tensor(c, dtype=torch.float64) + 0 * reduced for c in read]), True
    return None


def _read_necks(force: Any, named: dict[str, Tensor], scale: float, cut: float, offset: float) -> Neck:
    found, radius, index = tables(force), named["or"] + offset, named["radindex"]
    pairs = index[:, None].expand(len(index), -1), index[None].expand(len(index), -1)
    return Neck(radius[:, None] + radius + cut, scale * found["getm0"](*pairs), found["getd0"](*pairs))
