"""The formulas of losses and optimizers, as plain text."""

from __future__ import annotations

from typing import Any

# Of one sample: y are its labels, p the predictions.
LOSSES = {
    "mean_squared_error": "mean((y - p)^2)",
    "mean_absolute_error": "mean(|y - p|)",
    "huber": "mean(e^2 / 2 where |e| < delta, else delta |e| - delta^2 / 2), e = y - p",
    "binary_crossentropy": "mean(-y log(p) - (1 - y) log(1 - p))",
    "categorical_crossentropy": "-sum(y log(p))",
    "sparse_categorical_crossentropy": "-log(p[y])",
}


def loss_formula(name: str, reduction: str | None, from_logits: bool = False) -> str:
    """How a loss is computed; empty for one that is not known here.

    Args:
        name: the loss, as `compile` names it.
        reduction: how the losses of the samples become one.
        from_logits: whether the loss turns outputs into probabilities itself.

    Example:
        >>> loss_formula("mean_squared_error", "sum_over_batch_size")
        'L = mean((y - p)^2)'
        >>> loss_formula("sparse_categorical_crossentropy", "sum")
        'L = sum over samples of -log(p[y])'
    """
    core = LOSSES.get(name)
    if core is None:
        return ""
    if reduction == "sum":
        formula = f"L = sum over samples of {core}"
    elif core.startswith("mean("):
        formula = f"L = {core}"
    else:
        formula = f"L = mean over samples of {core}"
    if from_logits:
        binary = name == "binary_crossentropy"
        formula += f", p = {'sigmoid' if binary else 'softmax'}(output)"
    return formula


# dL/dp, where n counts the predictions and the loss is the mean over samples.
DERIVATIVES = {
    "mean_squared_error": "2 (p - y) / {n}",
    "mean_absolute_error": "sign(p - y) / {n}",
    "binary_crossentropy": "(p - y) / (p (1 - p)) / {n}",
}


def loss_derivative(
    name: str, reduction: str | None, from_logits: bool, count: int
) -> str:
    """The derivative of the loss by the predictions; empty where not known here.

    Args:
        name: the loss, as `compile` names it.
        reduction: how the losses of the samples become one.
        from_logits: whether the loss turns outputs into probabilities itself.
        count: how many predictions there are, samples times outputs.

    Example:
        >>> loss_derivative("mean_squared_error", "sum_over_batch_size", False, 6)
        '2 (p - y) / 6'
    """
    if from_logits or reduction not in ("sum_over_batch_size", "mean"):
        return ""
    return DERIVATIVES.get(name, "").format(n=count)


def optimizer_formula(name: str, config: dict[str, Any]) -> list[str]:
    """The update of a weight W with gradient g, line by line.

    Args:
        name: the class of the optimizer.
        config: its arguments.

    Example:
        >>> optimizer_formula("SGD", {"momentum": 0.0})
        ['W := W - lr * g']
    """
    makers = {"SGD": _sgd, "RMSprop": _rmsprop, "Adam": _adam, "AdamW": _adamw}
    maker = makers.get(name)
    return maker(config) if maker else ["W := W + (what the optimizer makes of g)"]


def _sgd(config: dict[str, Any]) -> list[str]:
    momentum = config.get("momentum") or 0.0
    if not momentum:
        return ["W := W - lr * g"]
    velocity = f"m := {momentum:g} m - lr * g"
    step = f"{momentum:g} m - lr * g" if config.get("nesterov") else "m"
    return [velocity, f"W := W + {step}"]


def _rmsprop(config: dict[str, Any]) -> list[str]:
    rho, epsilon = config["rho"], config["epsilon"]
    lines = [f"v := {rho:g} v + {1 - rho:g} g^2"]
    variance = "v"
    if config.get("centered"):
        lines.append(f"a := {rho:g} a + {1 - rho:g} g")
        variance = "v - a^2"
    step = f"lr * g / sqrt({variance} + {epsilon:g})"
    momentum = config.get("momentum") or 0.0
    if not momentum:
        return [*lines, f"W := W - {step}"]
    return [*lines, f"m := {momentum:g} m + {step}", "W := W - m"]


def _adam(config: dict[str, Any]) -> list[str]:
    first, second = config["beta_1"], config["beta_2"]
    largest = config.get("amsgrad")
    lines = [
        f"m := {first:g} m + {1 - first:g} g",
        f"v := {second:g} v + {1 - second:g} g^2",
        *(["u := max(u, v)"] if largest else []),
        f"c = sqrt(1 - {second:g}^t) / (1 - {first:g}^t)   in step t",
    ]
    root = f"sqrt({'u' if largest else 'v'})"
    return [*lines, f"W := W - lr * c * m / ({root} + {config['epsilon']:g})"]


def _adamw(config: dict[str, Any]) -> list[str]:
    decay = config.get("weight_decay") or 0.0
    return [f"W := W - lr * {decay:g} W", *_adam(config)]
