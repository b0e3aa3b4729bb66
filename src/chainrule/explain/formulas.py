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
    if name == "LossScaleOptimizer":
        inner = config["inner_optimizer"]
        lines = optimizer_formula(inner["class_name"], inner["config"])
        return ["g := g / s, of a loss s times as large; no step if not finite", *lines]
    maker = _UPDATES.get(name)
    if maker is None:
        return ["W := W + (what the optimizer makes of g)"]
    decay = config.get("weight_decay") or 0.0
    shrink = [f"W := W - lr * {decay:g} W"] if decay else []
    return [*_gradient(config), *shrink, *maker(config), *_average(config)]


def _gradient(config: dict[str, Any]) -> list[str]:
    """What happens to gradients before the update."""
    lines = []
    every = config.get("gradient_accumulation_steps")
    if every:
        lines.append(f"g := mean of the last {every} gradients, every {every} steps")
    if config.get("clipvalue"):
        lines.append(f"g := g, each number within {config['clipvalue']:g}")
    if config.get("clipnorm"):
        lines.append(f"g := g min(1, {config['clipnorm']:g} / |g|)")
    if config.get("global_clipnorm"):
        limit = config["global_clipnorm"]
        lines.append(f"g := g min(1, {limit:g} / |all gradients|)")
    return lines


def _average(config: dict[str, Any]) -> list[str]:
    """What happens to weights after the update."""
    if not config.get("use_ema"):
        return []
    keep = config["ema_momentum"]
    return [f"E := {keep:g} E + {1 - keep:g} W   (W := E at the end of training)"]


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


def _adamax(config: dict[str, Any]) -> list[str]:
    first, second = config["beta_1"], config["beta_2"]
    return [
        f"m := {first:g} m + {1 - first:g} g",
        f"u := max({second:g} u, |g|)",
        f"c = 1 / (1 - {first:g}^t)   in step t",
        f"W := W - lr * c * m / (u + {config['epsilon']:g})",
    ]


def _nadam(config: dict[str, Any]) -> list[str]:
    first, second = config["beta_1"], config["beta_2"]
    return [
        f"m := {first:g} m + {1 - first:g} g",
        f"v := {second:g} v + {1 - second:g} g^2",
        f"u(t) = {first:g} (1 - 0.96^t / 2), U(t) = u(1) ... u(t)   in step t",
        "h = u(t+1) m / (1 - U(t+1)) + (1 - u(t)) g / (1 - U(t))",
        f"W := W - lr * h / (sqrt(v / (1 - {second:g}^t)) + {config['epsilon']:g})",
    ]


def _adagrad(config: dict[str, Any]) -> list[str]:
    return ["s := s + g^2", f"W := W - lr * g / sqrt(s + {config['epsilon']:g})"]


def _adadelta(config: dict[str, Any]) -> list[str]:
    rho, epsilon = config["rho"], config["epsilon"]
    return [
        f"s := {rho:g} s + {1 - rho:g} g^2",
        f"step = g sqrt(d + {epsilon:g}) / sqrt(s + {epsilon:g})",
        f"d := {rho:g} d + {1 - rho:g} step^2",
        "W := W - lr * step",
    ]


def _adafactor(config: dict[str, Any]) -> list[str]:
    return [
        f"q = t^{config['beta_2_decay']:g}   in step t",
        f"r := (1 - q) r + q mean over columns of (g^2 + {config['epsilon_1']:g})",
        f"c := (1 - q) c + q mean over rows of (g^2 + {config['epsilon_1']:g})",
        "u = g / sqrt(r c / mean(r))   (vectors keep the mean of g^2 whole)",
        f"a = max({config['epsilon_2']:g}, rms(W)) min(lr, 1 / sqrt(t))",
        f"W := W - a u / max(1, rms(u) / {config['clip_threshold']:g})",
    ]


def _ftrl(config: dict[str, Any]) -> list[str]:
    power = -config["learning_rate_power"]
    l1, l2 = config["l1_regularization_strength"], config["l2_regularization_strength"]
    shrinkage = 2 * config["l2_shrinkage_regularization_strength"]
    pull = f"g + {shrinkage:g} W" if shrinkage else "g"
    ridge = f" + {2 * l2:g}" if l2 else ""
    ridge += f" + {config['beta']:g} / lr" if config["beta"] else ""
    return [
        "n' = n + g^2",
        f"z := z + {pull} - (n'^{power:g} - n^{power:g}) / lr * W,  n := n'",
        f"W := (z limited to {l1:g} - z) / (n^{power:g} / lr{ridge})",
    ]


def _lion(config: dict[str, Any]) -> list[str]:
    first, second = config["beta_1"], config["beta_2"]
    return [
        f"W := W - lr * sign({first:g} m + {1 - first:g} g)",
        f"m := {second:g} m + {1 - second:g} g",
    ]


def _lamb(config: dict[str, Any]) -> list[str]:
    first, second = config["beta_1"], config["beta_2"]
    return [
        f"m := {first:g} m + {1 - first:g} g",
        f"v := {second:g} v + {1 - second:g} g^2",
        f"u = m / (1 - {first:g}^t) / (sqrt(v / (1 - {second:g}^t)) + "
        f"{config['epsilon']:g})   in step t",
        "W := W - lr * |W| / |u| * u",
    ]


def _muon(config: dict[str, Any]) -> list[str]:
    keep = config["momentum"]
    ahead = f"g + {keep:g} m" if config["nesterov"] else "m"
    rate = config["rms_rate"]
    size = "" if rate is None else f" * {rate:g} sqrt(larger side of W)"
    return [
        f"m := {keep:g} m + g",
        f"x = {ahead}, scaled to norm 1, then {config['ns_steps']} times:",
        f"  a = x x',  x := {config['muon_a']:g} x + "
        f"({config['muon_b']:g} a + {config['muon_c']:g} a a) x",
        f"W := W - lr{size} * x   (matrices; the rest by AdamW)",
    ]


def _lbfgs(config: dict[str, Any]) -> list[str]:
    return [
        f"d = -H g, H from the last {config['history_size']} steps and changes of g",
        f"W := base + distance * d, the distance by {config['line_search']} search",
    ]


_UPDATES = {
    "SGD": _sgd,
    "RMSprop": _rmsprop,
    "Adam": _adam,
    "AdamW": _adam,
    "Adamax": _adamax,
    "Nadam": _nadam,
    "Adagrad": _adagrad,
    "Adadelta": _adadelta,
    "Adafactor": _adafactor,
    "Ftrl": _ftrl,
    "Lion": _lion,
    "Lamb": _lamb,
    "Muon": _muon,
    "LBFGS": _lbfgs,
}
