"""The names under which layers are known."""

from __future__ import annotations

from chainrule import layers


def test_layers_have_the_other_names_that_keras_has() -> None:
    for d in (1, 2, 3):
        for short, long in (
            (f"MaxPool{d}D", f"MaxPooling{d}D"),
            (f"AvgPool{d}D", f"AveragePooling{d}D"),
            (f"GlobalMaxPool{d}D", f"GlobalMaxPooling{d}D"),
            (f"GlobalAvgPool{d}D", f"GlobalAveragePooling{d}D"),
            (f"Convolution{d}D", f"Conv{d}D"),
            (f"Convolution{d}DTranspose", f"Conv{d}DTranspose"),
        ):
            assert getattr(layers, short) is getattr(layers, long)
            assert short in layers.__all__
    assert layers.SeparableConvolution2D is layers.SeparableConv2D
    assert layers.SeparableConvolution1D is layers.SeparableConv1D
    assert layers.GroupQueryAttention is layers.GroupedQueryAttention
