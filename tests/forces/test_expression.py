"""Expressions against OpenMM's Reference platform, and what OpenMM does not have: batches, dtypes, second derivatives."""

import copy
import math
import random

import openmm
import pytest
import torch

from lit_bg.forces.expressions import Expression
from lit_bg.forces.tabulated import from_openmm

A, B = 0.83, -1.37  # a parameter and a global of every expression below
TABLES = {
    "f": openmm.Continuous1DFunction([0.2, 1.1, -0.4, 0.7, 0.1, 0.9], -2.5, 2.5),
    "g": openmm.Discrete2DFunction(3, 2, [1.0, -2.0, 3.5, 0.25, 7.0, -1.5]),
}
FUNCTIONS = {name: from_openmm(table) for name, table in TABLES.items()}


def in_openmm(texts, x, tables=TABLES):
    """Energies (t, n) and their gradients (t, n, 3) of expressions in x, y, z, a and b at n positions."""
    system = openmm.System()
    system.addParticle(1.0)
    for group, text in enumerate(texts):
        force = openmm.CustomCompoundBondForce(1, text + ";x=x1;y=y1;z=z1")
        force.addPerBondParameter("a")
        force.addGlobalParameter("b", B)
        for name, table in tables.items():
            force.addTabulatedFunction(name, copy.copy(table))
        force.addBond([0], [A])
        force.setForceGroup(group)
        system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    energies = torch.empty(len(texts), len(x), dtype=torch.float64)
    gradients = torch.empty(len(texts), len(x), 3, dtype=torch.float64)
    for n, row in enumerate(x.tolist()):
        context.setPositions([row])
        for group in range(len(texts)):
            state = context.getState(energy=True, forces=True, groups={group})
            energies[group, n] = state.getPotentialEnergy()._value
            gradients[group, n] = -torch.tensor(state.getForces()._value[0], dtype=torch.float64)
    return energies, gradients


def in_torch(text, x):
    bound = Expression.parse(text, FUNCTIONS).bind({"a": torch.full((1, 1), A, dtype=torch.float64), "b": B}, ["x", "y", "z"])
    x = x.clone().requires_grad_()
    energy = bound(dict(zip("xyz", x.T[:, None], strict=True)))
    assert energy.shape == (1, len(x))
    if not energy.requires_grad:
        return energy[0], torch.zeros_like(x)
    return energy[0].detach(), torch.autograd.grad(energy.sum(), x)[0]


def positions(n=5, seed=0):
    return torch.empty(n, 3, dtype=torch.float64).uniform_(-1.6, 1.6, generator=torch.Generator().manual_seed(seed))


def agree(texts, x):
    for text, expected, slope in zip(texts, *in_openmm(texts, x), strict=True):
        energy, gradient = in_torch(text, x)
        assert expected.isfinite().all(), text
        torch.testing.assert_close(energy, expected, rtol=1e-9, atol=1e-9, msg=lambda m, t=text: f"{t}: {m}")
        torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-8, msg=lambda m, t=text: f"gradient of {t}: {m}")


@pytest.mark.parametrize(
    "text",
    [
        "-x^2", "2^-x^2", "2^3^0.5*x", "-2^2+x", "2--x", "2*-x^2", "-x*y", "x-y-z", "x/(2+y)/3*z",
        "x^-2*y", "(-x)^3", "x*-y^2*-z",
        ".5*x+5.*y-1e-1*z+2.5E+1", "x\n +\t y ", "(((x)))", "x^0+0^0", "abs(x)^abs(y)^z",
        "abs(x)^1.7", "(2+x)^0.5/(2+x)^-0.5",
        "x^2+x^3+x^4+x^5+x^6+x^7+x^12", "x^-1+x^-3", "2^x", "a^2*x+b^2*y", "abs(b)^x", "x^(2*3)",
        "square(x)+cube(y)+recip(3+z)",
        "sqrt(3+x)+exp(y)+log(3+z)", "sin(x)*cos(y)", "sec(x)+csc(3+y/2)", "tan(x/2)+cot(3+y/2)",
        "asin(x/2)*acos(y/2)", "atan(x)",
        "atan2(x,y)", "sinh(x)+cosh(y)*tanh(z)", "erf(x)+erfc(y)", "step(x)*y+delta(x)*z",
        "step(0)*x+delta(0)*y", "min(x,y)*max(y,z)",
        "abs(x)+floor(3*y)*x+ceil(3*z)*x", "select(x,y,z)", "select(step(x),y^2,z)",
        "select(0,x,y)+select(-0.5,x,y)", "select(b,x,y)",
        "select(step(x)*step(y),x*y,select(step(z),z,1))", "u*v; u=x+y; v=u*u; u=z",
        "u; u=u+y; u=x", "u;v=w;u=v+x;v=y;w=3;;",
        "x+y; unused=q+1", "f(x)+f(2*y)+f(a)", "g(1,0)*x+g(2,y-y+1)", "3.5", "a*b",
        "4*e*((s/r)^12-(s/r)^6); r=sqrt(x*x+y*y+z*z); s=0.5*(a+1); e=sqrt(a*b^2)",
    ],
)  # fmt: skip
def test_value_and_gradient_are_those_of_openmm(text):
    agree([text], positions())


TEMPLATES = [
    "{}+{}", "{} - {}", "{}*{}", "({})*({})", "-{}", "({})", "({}-{})", "{}/(1.5+square({}))",
    "({})^2", "({})^3", "{}^2*{}",
    "-{}^2", "(1.2+square({}))^-3", "(1.2+square({}))^0.5", "(1.2+abs({}))^sin({})", "2^-sin({})^2", "sqrt(0.3+square({}))",
    "exp(-square({}))", "log(0.5+abs({}))", "sin({})", "cos({})", "sec(0.3*sin({}))",
    "csc(1.5+0.5*sin({}))", "tan(sin({}))",
    "cot(1.3+0.5*sin({}))", "asin(0.9*sin({}))", "acos(0.9*cos({}))", "atan({})",
    "atan2({},1.2+square({}))", "sinh(sin({}))",
    "cosh(sin({}))", "tanh({})", "erf({})", "erfc({})", "step({})", "delta({})", "square({})",
    "cube({})", "recip(1.1+square({}))",
    "min({},{})", "max({},{})", "abs({})", "floor({})", "ceil({})", "select({},{},{})",
    "select(step({}),{},{})", "f(sin({}))",
    "g({},{})", "0.5*(u+{})",
]  # fmt: skip


def random_tree(rng, depth, leaves):
    if depth == 0 or rng.random() < 0.1:
        return rng.choice([*leaves, f"{rng.uniform(0.1, 2):.3f}"])
    template = rng.choice(TEMPLATES if "u" in leaves else TEMPLATES[:-1])
    return template.format(*(random_tree(rng, depth - 1, leaves) for _ in range(template.count("{}"))))


@pytest.mark.parametrize("seed", range(10))
def test_random_expressions_agree_with_openmm(seed):
    rng = random.Random(seed)
    agree([f"{random_tree(rng, 4, 'xyzabu')}; u = {random_tree(rng, 2, 'xyzab')}" for _ in range(20)], positions(3, seed))


def test_pairs_with_parameters_of_particles_and_a_table_of_types():
    text = "scale*eps(t1,t2)*exp(-r/sigma)/r + q1*q2*f(r); sigma=0.5*(s1+s2)"
    eps = openmm.Discrete2DFunction(2, 2, [1.0, 2.0, 2.0, 3.5])
    f = openmm.Continuous1DFunction([3.0, 1.0, 0.5, 0.1, 0.0], 0.0, 4.0)
    particles = torch.tensor([[0.3, 0.5, 0], [0.4, -0.7, 1], [0.2, 0.9, 1], [0.35, 0.2, 0]], dtype=torch.float64)  # s, q, t
    system, force = openmm.System(), openmm.CustomNonbondedForce(text)
    for name in "sqt":
        force.addPerParticleParameter(name)
    force.addGlobalParameter("scale", 1.7)
    for row in particles.tolist():
        system.addParticle(1.0)
        force.addParticle(row)
    tables = {"eps": from_openmm(eps), "f": from_openmm(f)}
    force.addTabulatedFunction("eps", eps)
    force.addTabulatedFunction("f", f)
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))

    i, j = torch.triu_indices(4, 4, 1)
    constants = {f"{n}{end}": particles[k, c, None] for c, n in enumerate("sqt") for end, k in ((1, i), (2, j))}
    bound = Expression.parse(text, tables).bind({**constants, "scale": 1.7}, ["r"])
    x = (2 * torch.rand(7, 4, 3, dtype=torch.float64)).requires_grad_()
    r = (x[:, i] - x[:, j]).norm(dim=-1).T
    energy = bound({"r": r}).sum(0)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    for b in range(7):
        context.setPositions(x[b].tolist())
        state = context.getState(energy=True, forces=True)
        assert energy[b].item() == pytest.approx(state.getPotentialEnergy()._value, rel=1e-10)
        torch.testing.assert_close(
            -gradient[b], torch.tensor(state.getForces()._value, dtype=torch.float64), rtol=1e-8, atol=1e-9
        )


def test_symbolic_calls_become_variables_and_functions_take_expressions():
    text = "k*(distance(p1, p2) - 0.3)^2 + distance(p1,p2)*angle(p1,p2,p3) + pointdistance(x1,y1,z1,2*x2,0,0.1); k=3"
    system, force = openmm.System(), openmm.CustomCompoundBondForce(3, text)
    for _ in range(3):
        system.addParticle(1.0)
    force.addBond([0, 1, 2], [])
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    x = torch.rand(3, 3, dtype=torch.float64)
    context.setPositions(x.tolist())

    def pointdistance(x1, y1, z1, x2, y2, z2):
        return ((x1 - x2) ** 2 + (y1 - y2) ** 2 + (z1 - z2) ** 2).sqrt()

    expression = Expression.parse(text, {"pointdistance": pointdistance}, {"distance": 2, "angle": 3})
    assert expression.calls == {
        "distance(p1,p2)": ("distance", ("p1", "p2")),
        "angle(p1,p2,p3)": ("angle", ("p1", "p2", "p3")),
    }
    assert expression.variables == {*expression.calls, "x1", "y1", "z1", "x2"}
    u, v = x[0] - x[1], x[2] - x[1]
    values = {f"{c}{p + 1}": x[p, d] for p in range(2) for d, c in enumerate("xyz")}
    values |= {"distance(p1,p2)": u.norm(), "angle(p1,p2,p3)": torch.acos(u @ v / u.norm() / v.norm())}
    assert expression(values).item() == pytest.approx(context.getState(energy=True).getPotentialEnergy()._value, rel=1e-12)


class Counted:
    """A function of one argument that counts its calls."""

    arity = 1
    calls = 0

    def __call__(self, x):
        self.calls += 1
        return x * x


def test_constants_are_evaluated_once_and_equal_subexpressions_once_per_call():
    constant, varying = Counted(), Counted()
    functions = {"c": constant, "v": varying}
    text = "c(s1*s2+1)*v(r/2) + u*c(s1*s2+1)/v(r/2); u=v(r/2)"
    bound = Expression.parse(text, functions).bind({"s1": torch.rand(4, 1), "s2": torch.rand(4, 1)}, ["r"])
    for n in range(1, 4):
        bound({"r": torch.rand(4, 5)})
        assert (constant.calls, varying.calls) == (1, n)
    assert [b.shape for b in bound.buffers()] == [(4, 1)]
    assert bound.state_dict() == {}


def test_deeply_nested_definitions_stay_linear():
    depth = 60  # as a tree it had 2^60 leaves
    text = "u0;" + ";".join(f"u{i}=0.5*(u{i + 1}+u{i + 1})" for i in range(depth)) + f";u{depth}=x"
    bound = Expression.parse(text).bind({}, ["x"])
    torch.testing.assert_close(bound({"x": torch.arange(3.0)}), torch.arange(3.0))


def test_a_long_sum_needs_no_deep_recursion():
    text = "select(step(x),sqrt(x),0)" + "".join(f"+step(x-{i})" for i in range(1100))
    assert Expression.parse(text)({"x": torch.tensor(9.0)}).item() == pytest.approx(3 + 10)


def test_quotients_are_products_with_reciprocals_of_single_factors():
    bound = Expression.parse("x/(y*z^2) + 1/y + x/3 + x/s + 1/sqrt(x*y) + 2/z^-0.5").bind(
        {"s": torch.tensor([0.3], dtype=torch.float64)}, ["x", "y", "z"]
    )
    operations = [getattr(node, "operation", None) for node in bound.nodes]
    assert "/" not in operations
    assert operations.count("recip") == 2  # of y and of z
    assert operations.count("1/sqrt") == 1
    x, y, z = (0.5 + torch.rand(3, 20, dtype=torch.float64)).requires_grad_()
    plain = x / (y * z**2) + 1 / y + x / 3 + x / 0.3 + 1 / (x * y).sqrt() + 2 * z.sqrt()
    value = bound({"x": x, "y": y, "z": z})
    torch.testing.assert_close(value, plain)
    for a, b in zip(torch.autograd.grad(value.sum(), (x, y, z)), torch.autograd.grad(plain.sum(), (x, y, z)), strict=True):
        torch.testing.assert_close(a, b)


def test_integer_powers_are_products_shared_by_each_other():
    bound = Expression.parse("4*((s/r)^12-(s/r)^6)").bind({"s": 0.3}, ["r"])
    operations = [getattr(node, "operation", None) for node in bound.nodes]
    assert "^" not in operations
    assert operations.count("*") == 1 + 1 + 4  # the prefactor; q = s 1/r; squares of q, q^3, q^6 and one product


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "text", ["k*r", "k", "2", "step(r)", "min(r,0.3)+max(0.2,k)+atan2(r,1)+select(step(r-k),1,2)", "f(r)+f(k)"]
)
def test_dtype_and_shape_follow_the_variables(text, dtype):
    bound = Expression.parse(text, FUNCTIONS).bind({"k": torch.rand(4, 1)}, ["r"])
    r = torch.rand(4, 5, dtype=dtype)
    value = bound({"r": r})
    assert (value.dtype, value.shape) == (dtype, (4, 5))
    torch.testing.assert_close(value, bound({"r": r.double()}).to(dtype))
    torch.testing.assert_close(copy.deepcopy(bound).to(dtype)({"r": r}), value)


@pytest.mark.parametrize(
    ("text", "x", "slope", "curvature"),
    [
        ("select(step(x),sqrt(x),0)", -1.0, 0, 0),
        ("select(step(x-0.5),log(x-0.5),x)", 0.5 - 1e-9, 1, 0),
        ("select(x,1/x,0)", 0.0, 0, 0),
        ("select(x,sin(x)/x,1)", 0.0, 0, 0),
        ("select(step(1-x),3*x,log(1+exp(x)))", -2000.0, 3, 0),
        ("select(step(x-800),x,log(1+exp(x)))", 2000.0, 1, 0),
        ("select(step(x)*step(1-x),acos(x),u); u=2*x", 1.5, 2, 0),
        ("select(step(x),select(step(x-1),sqrt(x-1),x^2),x^1.5)", 0.25, 0.5, 2),
        ("select(step(x),select(step(x-1),sqrt(x-1),sqrt(x)),-x)", -0.25, -1, 0),
        ("select(step(u),u,x); u=1/x", 0.0, -math.inf, math.inf),  # the branch that is taken has no slope
        ("select(step(u-x),x,u); u=sqrt(x)", 0.0, 1, 0),
        ("select(step(-x),x,sqrt(x)) + 2*select(step(-x),x,1/sqrt(x))", 0.0, 3, 0),
        ("x^2+x^3+x^0", 0.0, 0, 2),
        ("abs(x)+max(x,0)+min(x,0)", 0.0, 1, 0),
        ("step(x)*x^2+floor(x)*x", 1.0, 3, 2),
    ],
)  # fmt: skip
def test_the_branch_not_taken_leaves_no_trace(text, x, slope, curvature):
    x = torch.tensor([x, 0.37], dtype=torch.float64, requires_grad=True)  # beside a point of the other branch
    y = Expression.parse(text)({"x": x})
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x) if first.requires_grad else (torch.zeros_like(x),)
    assert first[0].item() == pytest.approx(slope)
    assert second[0].item() == pytest.approx(curvature)
    assert y.isfinite()[1]


def test_the_gradient_of_born_radii_is_finite_and_right():
    text = (
        "select(step(r+sr2-or1), 0.5*(1/L-1/U+0.25*(r-sr2^2/r)*(1/(U^2)-1/(L^2))+0.5*log(L/U)/r), 0);"
        "U=r+sr2;L=max(or1, D);D=abs(r-sr2)"
    )
    parameters = {"sr2": torch.tensor([[0.12], [0.15]]), "or1": torch.tensor([[0.14], [0.4]])}
    bound = Expression.parse(text).bind(parameters, ["r"])
    r = torch.tensor([[0.05, 0.3, 0.2], [0.1, 0.2, 0.5]], dtype=torch.float64, requires_grad=True)
    taken = r + parameters["sr2"] - parameters["or1"] >= 0
    assert taken.tolist() == [[True, True, True], [False, False, True]]
    assert torch.autograd.gradcheck(lambda r: bound({"r": r}), r)
    assert torch.autograd.gradgradcheck(lambda r: bound({"r": r}), r)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_is_eager(backend):
    text = "select(step(r-0.2), 0.5*log(r-0.2)*f(r) + q1*q2/r^6 + k*max(r, s)^2.5, 3*r) + g(t, r); s=0.5*(s1+s2)"
    constants = {name: torch.rand(4, 1) for name in ("q1", "q2", "s1", "s2")} | {
        "k": 2.5,
        "t": torch.tensor([[0], [1], [2], [1]]),
    }
    bound = Expression.parse(text, FUNCTIONS).bind(constants, ["r"])
    compiled = torch.compile(bound, fullgraph=True, dynamic=False, backend=backend)
    r = torch.linspace(0.1, 3.0, 24).view(4, 6).requires_grad_()
    value, expected = compiled({"r": r}), bound({"r": r})
    torch.testing.assert_close(value, expected)
    (slope,) = torch.autograd.grad(value.sum(), r)
    assert slope.abs().max() > 0.1  # a compiled gradient that is lost is zero, without a warning
    torch.testing.assert_close(slope, torch.autograd.grad(expected.sum(), r)[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "position 0 .* empty"),
        ("  ;x=1", "empty or breaks off"),
        ("x+", "breaks off"),
        ("+x", r"'\+' at position 0"),
        ("x*+y", r"'\+' at position 2"),
        ("(x+y", r"'\(' at position 0 is not closed: add"),
        ("sin((x+y)", r"'\(' at position 3 is not closed"),
        ("x+y)", r"'\)' at position 3 closes no parenthesis"),
        ("(x y)", "is not closed before 'y' at position 3"),
        ("2x", "'x' at position 1"),
        ("sin (x)", "no space between"),
        ("sinn(x)", "'sinn' at position 0 .* did you mean 'sin'"),
        ("eval(x)", "'eval' at position 0 is no known function"),
        ("sqrt(x,y)", "'sqrt' at position 0 takes 1 argument, got 2"),
        ("min(x)", "takes 2 arguments, got 1"),
        ("sqrt()", "'\\)' at position 5"),
        ("x; y", "'y' at position 2 is no definition"),
        ("x; =3", "is no definition"),
        ("x=3", "'x=3' at position 0 is no variable"),
        ("distance(p1,2)", "'distance' at position 0 takes names"),
        ("distance(p1)", "takes 2 arguments, got 1"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused_in_one_sentence(text, message):
    with pytest.raises(ValueError, match=message) as error:
        Expression.parse(text, symbols={"distance": 2})
    assert repr(text) in str(error.value)
    with pytest.raises(openmm.OpenMMException):  # OpenMM refuses it too
        in_openmm([text], positions(1), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2*sigma1*r", "'sigma1' at position 2 is unknown; did you mean 'sigma'"),
        ("r*theta", "'theta' at position 2 is unknown; known are r, sigma"),
        ("u; u=u+r", "'u' at position 0 is unknown; it is defined, but .* itself"),
        ("r+v; v=3*u; u=v", "'v' at position 2 is unknown; it is defined"),
        ("r+u; w=1; u=w", "'w' .* to the right"),
    ],
)
def test_unknown_variables_are_refused_when_bound(text, message):
    with pytest.raises(ValueError, match=message):
        Expression.parse(text).bind({"sigma": 0.3}, ["r"])


@pytest.mark.parametrize("n", [1000, 20_000])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: "(" * n + "x" + ")" * n,
        lambda n: "-" * n + "x",
        lambda n: "^".join(["x"] * n),
        lambda n: "sin(" * n + "x" + ")" * n,
        lambda n: "(1+" * n + "x" + ")" * n,
        lambda n: "(" * n,
        lambda n: "x; a = " + "max(" * n,
    ],
    ids=["brackets", "signs", "powers", "calls", "sums", "open", "definition"],
)
def test_nesting_without_end_is_told_in_a_sentence(make, n):
    with pytest.raises(ValueError, match="is nested more than 100 levels deep: give parts of it names") as error:
        Expression.parse(make(n))
    assert len(str(error.value)) < 600


def test_what_a_person_nests_is_read_and_long_sums_too():
    x = torch.tensor(0.5, dtype=torch.float64)
    assert Expression.parse("(" * 40 + "x" + ")" * 40)({"x": x}) == x
    assert Expression.parse("+".join(["x"] * 5000))({"x": x}) == 2500
