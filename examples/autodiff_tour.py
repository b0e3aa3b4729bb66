"""Derivatives of any function of tensors: a tour.

python examples/autodiff_tour.py
"""

import chainrule as cr


def energy(x):
    """Rosenbrock's valley, whose minimum is at (1, 1)."""
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


x = cr.asarray([-1.0, 2.0])

print("value    ", energy(x).item())
print("gradient ", cr.grad(energy)(x).tolist())
print("Hessian  ", cr.hessian(energy)(x).tolist())

direction = cr.asarray([1.0, 0.0])
print("Hessian times (1, 0) ", cr.hvp(energy, [x], [direction])[0].tolist())
value, slope = cr.jvp(energy, [x], [direction])
print("slope along (1, 0)   ", slope.item())

# The gradients at several points at once, without a loop.
points = cr.asarray([[-1.0, 2.0], [0.0, 0.0], [1.0, 1.0]])
print("gradients", cr.vmap(cr.grad(energy))(points).tolist())

# Newton's method needs both derivatives; `jit` traces it once and compiles it.


@cr.jit
def newton(x):
    """A step to the minimum of the parabola that touches the energy at x."""
    (a, b), (c, d) = cr.hessian(energy)(x)
    inverse = cr.stack([cr.stack([d, -b]), cr.stack([-c, a])]) / (a * d - b * c)
    return x - inverse @ cr.grad(energy)(x)


for step in range(6):
    print(f"Newton {step}  x = {x.tolist()}  energy = {energy(x).item():.3g}")
    x = newton(x)

# Or as one writes a program: a tape that is walked backward.
slope = cr.asarray(0.0, requires_grad=True)
for _ in range(100):
    loss = cr.mean(
        (slope * cr.asarray([1.0, 2.0, 3.0]) - cr.asarray([2.0, 4.0, 6.0])) ** 2
    )
    loss.backward()
    slope = cr.asarray(slope.item() - 0.05 * slope.grad.item(), requires_grad=True)
print("slope of the line through the points:", round(slope.item(), 4))

# A derivative of your own: the gradient passes a step function as if it were a line.


@cr.custom_vjp
def binary(x):
    """1 where x is positive, 0 elsewhere."""
    return cr.astype(x > 0, x.dtype)


binary.defvjp(lambda x: (cr.astype(x > 0, x.dtype), None), lambda saved, g: (g,))
print("straight-through:", cr.grad(lambda x: cr.sum(binary(x) * 3))(points[0]).tolist())
