"""Angles and placement, and rotations."""

import math

import torch

from lit_bg.molecules.geometry import angle, arms, dihedral, distance, place, random_rotations, wrap
from lit_bg.rng import stream


def test_placement_inverts_measurement():
    x = torch.randn(50, 4, 3, generator=stream(0, "place"), dtype=torch.float64)
    r = distance(x, torch.tensor([[0, 1]]))[:, 0]
    theta, phi = angle(x, torch.tensor([[0, 1, 2]]))[:, 0], dihedral(x, torch.tensor([[0, 1, 2, 3]]))[:, 0]
    i, j, k, l = (y.T for y in x.unbind(1))  # noqa: E741
    torch.testing.assert_close(place(j, k, l, arms(r, theta, phi)), i)


def test_measures_are_those_of_vectors():
    x = torch.randn(20, 4, 3, generator=stream(0, "measure"), dtype=torch.float64)
    i, j, k, l = x.unbind(1)  # noqa: E741
    torch.testing.assert_close(distance(x, torch.tensor([[0, 2]]))[:, 0], (i - k).norm(dim=-1))
    u, v = i - j, k - j
    torch.testing.assert_close(
        angle(x, torch.tensor([[0, 1, 2]]))[:, 0].cos(), (u * v).sum(-1) / u.norm(dim=-1) / v.norm(dim=-1)
    )
    n, m = torch.linalg.cross(u, v), torch.linalg.cross(k - j, l - k)
    cosine = -(n * m).sum(-1) / n.norm(dim=-1) / m.norm(dim=-1)
    phi = dihedral(x, torch.tensor([[0, 1, 2, 3]]))[:, 0]
    torch.testing.assert_close(phi.cos(), cosine)
    assert torch.equal(phi.sign(), (-(n * (l - k)).sum(-1)).sign())


def test_atoms_on_one_spot_have_finite_gradients():
    x = torch.zeros(1, 4, 3, requires_grad=True)
    atoms = torch.tensor([[0, 1, 2, 3]])
    (distance(x, atoms[:, :2]) + angle(x, atoms[:, :3]) + dihedral(x, atoms)).sum().backward()
    assert x.grad.isfinite().all()


def test_wrapping_keeps_what_is_in_range_to_the_last_bit():
    phi = (2 * torch.rand(1000, generator=stream(0, "wrap")) - 1) * 3.1415
    assert torch.equal(wrap(phi), phi)
    torch.testing.assert_close(wrap(phi + 4 * math.pi), phi, rtol=0, atol=4e-6)
    assert wrap(torch.tensor(math.pi, dtype=torch.float64)) == -math.pi


def test_random_rotations_are_uniform_and_proper():
    q = random_rotations(20_000, stream(0, "rotations"), torch.float64)
    torch.testing.assert_close(q @ q.mT, torch.eye(3, dtype=q.dtype).expand_as(q))
    torch.testing.assert_close(torch.det(q), torch.ones(len(q), dtype=q.dtype))
    # Haar: every entry has mean 0 and variance 1/3, the trace mean 0 and variance 1
    assert (q.mean(0).abs() < 4 * math.sqrt(1 / 3 / len(q))).all()
    trace = q.diagonal(dim1=1, dim2=2).sum(-1)
    assert abs(trace.mean()) < 4 / math.sqrt(len(q))
    assert abs(trace.square().mean() - 1) < 4 * (trace.square().std() / math.sqrt(len(q)))
