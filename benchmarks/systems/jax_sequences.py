"""Layers of sequences in JAX: `lax.scan` over the steps, attention by `jax.nn`."""

from __future__ import annotations

from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from benchmarks.sequence_layers import (
    NORM_EPSILON,
    Block,
    Embedding,
    Gru,
    LayerNorm,
    Lstm,
    Recurrent,
)

KINDS = (Embedding, LayerNorm, Recurrent, Block)
ACTIVATIONS: dict[str, Any] = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "relu": jax.nn.relu,
}


def sequence(layer: Any, weights: Any, x: Any, counts: Any) -> Any:
    """What a layer gives; `counts` says which steps are no padding, where some are."""
    match layer:
        case Embedding():
            vectors = weights["table"][x]
            return vectors + weights["places_table"] if layer.places else vectors
        case LayerNorm():
            return normalized(x, weights["scale"], weights["bias"])
        case Block():
            return block(layer, weights, x, counts)
    return recurrent(layer, weights, x)


def normalized(x: Any, scale: Any, bias: Any) -> Any:
    """Layer normalization."""
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + NORM_EPSILON) * scale + bias


def mean_of_steps(x: Any, counts: Any) -> Any:
    """The mean over all steps that are no padding."""
    if counts is None:
        return x.mean(range(1, x.ndim - 1))
    chosen = counts[..., None].astype(x.dtype)
    return (x * chosen).sum(1) / jnp.maximum(chosen.sum(1), 1)


def _lstm(rows: Any, state: Any, weights: dict[str, Any]) -> Any:
    h, c = state
    i, f, g, o = jnp.split(rows + h @ weights["recurrent"], 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru(rows: Any, state: Any, weights: dict[str, Any]) -> Any:
    (h,) = state
    inner = h @ weights["recurrent"] + weights["recurrent_bias"]
    (xz, xr, xh), (hz, hr, hh) = (jnp.split(part, 3, -1) for part in (rows, inner))
    z, r = jax.nn.sigmoid(xz + hz), jax.nn.sigmoid(xr + hr)
    return (z * h + (1 - z) * jnp.tanh(xh + r * hh),)


def recurrent(layer: Any, weights: Any, x: Any) -> Any:
    """One direction, or both side by side; the products with the inputs are one."""
    cell, states = {Lstm: (_lstm, 2), Gru: (_gru, 1)}[type(layer)]
    steps = jnp.swapaxes(x, 0, 1)
    found = []
    for way in layer.ways:
        own = {k.removeprefix(way): w for k, w in weights.items() if k.startswith(way)}
        rows = steps @ own["kernel"] + own["bias"]
        zeros = (jnp.zeros((x.shape[0], layer.units), x.dtype),) * states

        def step(state: Any, row: Any, own: Any = own) -> Any:
            state = cell(row, state, own)
            return state, state[0] if layer.sequences else None

        last, outputs = lax.scan(step, zeros, rows, reverse=way == "backward_")
        found.append(jnp.swapaxes(outputs, 0, 1) if layer.sequences else last[0])
    return jnp.concatenate(found, axis=-1)


def attention(layer: Block, weights: Any, x: Any, counts: Any) -> Any:
    """Self-attention with queries, keys and values by one product."""
    samples, steps, width = x.shape
    together = x @ weights["qkv"] + weights["qkv_bias"]
    heads = together.reshape(samples, steps, 3, layer.heads, width // layer.heads)
    mask = None if counts is None else counts[:, None, None, :]
    mixed = jax.nn.dot_product_attention(
        *(heads[:, :, i] for i in range(3)), mask=mask, is_causal=layer.causal
    )
    return mixed.reshape(x.shape) @ weights["out"] + weights["out_bias"]


def block(layer: Block, weights: Any, x: Any, counts: Any) -> Any:
    """Attention and a dense layer, each with a shortcut and a normalization."""

    def dense(x: Any) -> Any:
        act = ACTIVATIONS[layer.activation]
        inner = act(x @ weights["up"] + weights["up_bias"])
        return inner @ weights["down"] + weights["down_bias"]

    def attend(x: Any) -> Any:
        return attention(layer, weights, x, counts)

    for name, part in (("attention", attend), ("dense", dense)):
        norm = weights[f"{name}_scale"], weights[f"{name}_norm_bias"]
        if layer.normalize_first:
            x = x + part(normalized(x, *norm))
        else:
            x = normalized(x + part(x), *norm)
    return x
