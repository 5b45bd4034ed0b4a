"""Stereogenic atoms of a molecule, by the symmetry of its bond graph and the arrangement of neighbours in space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lit_bg.molecules.structure import Structure

REACH = 8  # bonds up to which an atom counts what is around it: rings of up to sixteen atoms differ from their like

Hands = Mapping[int, int]  # by atom: +1 or -1, the sense in which its neighbours follow each other in the order of the bonds


class BondedComponent:
    """Holds atoms that hang together by bonds, and finds which of them could take each other's place.

    The class of an atom is its element and how many atoms lie one, two, ... bonds away, and then again and again its
    class, those of its neighbours, and its hand where the classes of its neighbours all differ. Where a class holds several
    atoms of a ring, one of them is marked in one copy of the molecule and each in turn in another, and the copies compared.

    Attributes:
        atoms: indices into the structure; everything else counts within the component.

    References:
        Morgan, J. Chem. Doc. 5, 107 (1965), doi:10.1021/c160017a018; Wipke, Dyott, J. Am. Chem. Soc. 96, 4834 (1974),
        doi:10.1021/ja00822a021 (hands in the refinement).
    """

    def __init__(self, structure: Structure, atoms: Sequence[int]) -> None:
        self.atoms = tuple(atoms)
        place = {a: i for i, a in enumerate(self.atoms)}
        self.neighbours = [[place[j] for j in structure.neighbours[a]] for a in self.atoms]
        around = [list(structure.bonds_between(a, REACH).values()) for a in self.atoms]
        self._start = _numbered(
            [
                (structure.elements[a], *(near.count(d) for d in range(REACH + 1)))
                for a, near in zip(self.atoms, around, strict=True)
            ]
        )
        self._separate: dict[tuple[int, int, int], bool] = {}

    def find_stereogenic(self, hands: Hands) -> list[int]:
        """Return the atoms with a hand whose opposite would make another molecule, in ascending order.

        Neighbours that look alike and hang on the atom by themselves (hydrogens, the methyls of valine) can change places,
        which undoes the change of hand. Those of a ring cannot without the rest of it: there molecules are compared as a whole.
        """
        classes = self._refine(self._start, hands)
        found = []
        for i in sorted(hands):
            alike = self._alike(i, classes)
            if not alike or (
                not any(self._part(i, a, b) for a, b in alike) and not self.is_same(hands, {**hands, i: -hands[i]})
            ):
                found.append(i)
        return found

    def is_achiral(self, hands: Hands) -> bool:
        """Say whether the mirror image is the same molecule with other labels, as that of a meso compound is."""
        return self.is_same(hands, {i: -hand for i, hand in hands.items()})

    def is_same(self, first: Hands, second: Hands) -> bool:
        """Say whether an exchange of labels that keeps the bonds turns one arrangement into the other."""
        n = len(self.atoms)
        return self._match(self._start * 2, {**first, **{n + i: hand for i, hand in second.items()}})

    def _match(self, classes: list[int], hands: Hands) -> bool:
        """Say whether two copies of the component, one after the other, can be laid on each other class by class."""
        n = len(self.atoms)
        classes = self._refine(classes, hands)
        if sorted(classes[:n]) != sorted(classes[n:]):
            return False
        for i in (i for i in hands if i < n):
            alike = self._alike(i, classes)
            if alike and not any(self._part(i, a, b) for a, b in alike):
                a, mark = alike[0][0], max(classes) + 1
                same = (b for b in range(n, 2 * n) if classes[b] == classes[a])
                return any(self._match([mark if j in (a, b) else c for j, c in enumerate(classes)], hands) for b in same)
        return True  # what is still alike can change places without any hand noticing

    def _refine(self, classes: list[int], hands: Hands) -> list[int]:
        """Split classes until the neighbours of equal atoms are equal; of one copy of the component or several."""
        while True:
            finer = _numbered(
                [(c, self._sense(i, classes, hands), self._classes_around(i, classes)) for i, c in enumerate(classes)]
            )
            if max(finer) == max(classes):
                return finer
            classes = finer

    def _near(self, i: int) -> list[int]:
        n = len(self.atoms)
        return [j + i // n * n for j in self.neighbours[i % n]]

    def _classes_around(self, i: int, classes: list[int]) -> tuple[int, ...]:
        return tuple(sorted(classes[j] for j in self._near(i)))

    def _sense(self, i: int, classes: list[int], hands: Hands) -> int:
        """Return the hand in the order of classes, which no label enters; 0 where neighbours are alike or there is none."""
        if i not in hands:
            return 0
        c = [classes[j] for j in self._near(i)]
        if len(set(c)) < len(c):
            return 0
        inversions = sum(c[a] > c[b] for a in range(len(c)) for b in range(a + 1, len(c)))
        return hands[i] * (-1) ** inversions

    def _alike(self, i: int, classes: list[int]) -> list[tuple[int, int]]:
        near = self._near(i)
        return [(a, b) for k, a in enumerate(near) for b in near[k + 1 :] if classes[a] == classes[b]]

    def _part(self, i: int, a: int, b: int) -> bool:
        """Say whether two neighbours of an atom fall apart without it, so that they can change places."""
        n = len(self.atoms)
        key = (i % n, a % n, b % n)
        if key not in self._separate:
            seen, fresh = {key[0], key[1]}, [key[1]]
            while fresh and key[2] not in seen:
                new = set(self.neighbours[fresh.pop()]) - seen
                seen |= new
                fresh += new
            self._separate[key] = key[2] not in seen
        return self._separate[key]


def bonded_components(structure: Structure) -> list[list[int]]:
    """Return the atoms of every molecule of a structure, ascending, in the order of their first atoms."""
    left, found = dict.fromkeys(range(structure.n_atoms)), []
    while left:
        found.append(sorted(structure.bonds_between(next(iter(left)))))
        for a in found[-1]:
            del left[a]
    return found


def _numbered(labels: list[tuple]) -> list[int]:
    """Replace labels by numbers 0, 1, 2, ... in their order, equal ones by equal numbers."""
    number = {label: n for n, label in enumerate(sorted(set(labels)))}
    return [number[label] for label in labels]
