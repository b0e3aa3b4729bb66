"""What is trained: the networks, their data, and what the project wants to reach.

A workload is data that every system reads in its own terms, so a new one is an entry of
`WORKLOADS`; a new kind of layer is a class of `networks` and a row in each system.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.networks import (
    Array,
    BatchNorm,
    Beside,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Enlarge,
    Flatten,
    GlobalAverage,
    Layer,
    MaxPool,
    Relu,
    Residual,
    Shape,
    Widen,
    result_of,
    walk,
)
from benchmarks.samples import (
    make_maps,
    make_pixels,
    make_rows,
    make_text,
    make_words,
)
from benchmarks.sequence_layers import (
    Block,
    Embedding,
    Gru,
    LayerNorm,
    Lstm,
)

LEARNING_RATE = 0.001
BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-7
WEIGHT_DECAY = 0.004
GLOBAL_CLIPNORM = 1.0
COSINE_EPOCHS = 10
VARIANCE_EPSILON = 1e-3
QUICK_FITS = 5
QUICK_STEPS = 2
BORDER = 4  # pixels by which a picture grows before a window is cut out of it


@dataclass(frozen=True)
class Target:
    """How many times as fast as a peer we must be.

    Attributes:
        peers: whom it is measured against; the fastest of them where there are several.
        at_least: the ratio that must be reached.
    """

    peers: tuple[str, ...]
    at_least: float


FLOAT32 = "chainrule-float32"
FASTEST = ("jax", "torch", "torch-compile", "keras", "sklearn")


@dataclass(frozen=True)
class Workload:
    """One network and how it is trained.

    Attributes:
        name: its name on the command line.
        summary: what it is, in words.
        shape: of a sample, channels last.
        layers: the network; the loss is applied to what the last one gives, unscaled.
        scheduled: whether training is that of AdamW with `WEIGHT_DECAY` of all weights,
            gradients clipped to `GLOBAL_CLIPNORM` together, and a learning rate that
            falls along a cosine for `COSINE_EPOCHS`; otherwise Adam.
        loss: `classes` (softmax cross-entropy; of every pixel or step where the network
            gives maps or sequences), `binary` (sigmoid cross-entropy) or `squared`
            (mean squared error).
        rows: samples of an epoch.
        batch_size: samples of a step.
        epochs: epochs of a measured run, or of each fit.
        fits: how many networks a run makes and trains one after the other; 0 trains the
            same one from run to run.
        few_fits: systems that get fewer fits because one of theirs takes seconds.
        few_steps: systems that take so many steps in a run because one of theirs takes
            long; their time is that of a whole run at the same pace.
        targets: what is to be reached.
        share_of_limit: the share of the measured arithmetic limit to be reached.
        left_out: systems that sit this out, and why.
        smallest_memory: whether training must need less memory than in every peer.
        augmented: whether, in training, half of the pictures are mirrored, and each is
            a window of the picture with `BORDER` zeros on all sides.
        infers: whether the network only answers, batch after batch, and does not train.
        generates: whether the network makes texts, token after token, each behind the
            first of a sample and as long as it can see.
        policy: the types of floats, as Keras names such policies; of ours alone.
        beside: whom ours is measured beside, if nobody else.
    """

    name: str
    summary: str
    shape: Shape
    layers: tuple[Layer, ...]
    loss: str
    rows: int
    batch_size: int
    epochs: int = 1
    fits: int = 0
    few_fits: tuple[tuple[str, int], ...] = ()
    targets: tuple[Target, ...] = ()
    share_of_limit: float | None = None
    smallest_memory: bool = False
    scheduled: bool = False
    few_steps: tuple[tuple[str, int], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    augmented: bool = False
    infers: bool = False
    generates: bool = False
    policy: str | None = None
    beside: tuple[str, ...] = ()

    @property
    def cosine_steps(self) -> int:
        """The steps until a scheduled learning rate is 0."""
        return -(-self.rows // self.batch_size) * COSINE_EPOCHS

    @property
    def outputs(self) -> int:
        """Width of the last layer."""
        return result_of(self.layers, self.shape)[-1]

    @property
    def words(self) -> int:
        """How many different words its inputs have; 0 where they are numbers."""
        first = self.layers[0]
        return first.words if isinstance(first, Embedding) else 0

    @property
    def padded(self) -> bool:
        """Whether its inputs differ in length, and zeros fill them up."""
        return isinstance(self.layers[0], Embedding) and self.layers[0].mask_zero

    @property
    def made(self) -> int:
        """How many tokens are made of each text: all but the first."""
        return self.shape[0] - 1

    @property
    def samples(self) -> int:
        """Samples of one run, or of one fit."""
        return self.rows * self.epochs

    @property
    def steps(self) -> int:
        """Steps of one run, or of one fit; tokens where some are made."""
        if self.generates:
            return self.rows * self.made
        return -(-self.rows // self.batch_size) * self.epochs

    def flops(self) -> float:
        """Floating-point operations of one run's matrix products and convolutions.

        Forward, the gradient of the weights and the gradient of the inputs take two for
        every multiply-add; the first layer's inputs need no gradient, unless they are
        vectors of words.
        """
        places = list(walk(self.layers, self.shape))
        total = sum(layer.multiply_adds(shape) for layer, shape in places)
        if not self.infers:
            first, shape = next(x for x in places if x[0].multiply_adds(x[1]))
            spared = 0 if self.words else first.inputs_multiply_adds(shape)
            total = 3 * total - spared
        return 2.0 * total * self.samples

    def fits_for(self, system: str) -> int:
        """How many fits of a sweep this system makes."""
        return dict(self.few_fits).get(system, self.fits)

    def rows_for(self, system: str) -> int:
        """On how many of the rows this system trains in a run."""
        steps = dict(self.few_steps).get(system)
        return self.rows if steps is None else min(self.rows, steps * self.batch_size)

    def with_rows(self, rows: int) -> Workload:
        """The same with fewer samples."""
        return replace(self, rows=rows)

    def quick(self) -> Workload:
        """A tenth of the work: enough to see that everything runs."""
        few = {"fits": min(self.fits, QUICK_FITS), "few_fits": (("keras", 2),)}
        if self.fits:
            return replace(self, **few)  # type: ignore[arg-type]
        return replace(
            self,
            rows=max(self.batch_size, self.rows // 10),
            few_steps=tuple((name, QUICK_STEPS) for name, _ in self.few_steps),
        )


def _mlp(*units: int) -> tuple[Layer, ...]:
    *hidden, last = units
    return (*(Dense(width, "relu") for width in hidden), Dense(last))


_NORMALIZED: tuple[Layer, ...] = (Dense(128), BatchNorm(), Relu(), Dropout(0.2))

DENSE: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "mlp",
            "784-128-10, relu, ten classes, batch 32, 60,000 samples",
            shape=(784,),
            layers=_mlp(128, 10),
            loss="classes",
            rows=60_000,
            batch_size=32,
            targets=(
                Target(("jax",), 1.5),
                Target(("torch",), 5.0),
                Target(("sklearn",), 5.0),
                Target(("keras",), 15.0),
            ),
        ),
        Workload(
            "mlp_wide",
            "784-1024-1024-1024-10, relu, dropout 0.2, batch 128, 20,000 samples",
            shape=(784,),
            layers=(*(Dense(1024, "relu"), Dropout(0.2)) * 3, Dense(10)),
            loss="classes",
            rows=20_000,
            batch_size=128,
            targets=(Target(FASTEST, 1.2),),
            share_of_limit=0.7,
            smallest_memory=True,
        ),
        Workload(
            "tabular",
            "30-64-64-64-1, relu, yes or no, batch 256, 100,000 rows",
            shape=(30,),
            layers=_mlp(64, 64, 64, 1),
            loss="binary",
            rows=100_000,
            batch_size=256,
            epochs=2,
            targets=(Target(FASTEST, 2.0),),
        ),
        Workload(
            "tabular_bn",
            "30-128-128-128-1, each batch norm, relu, dropout 0.2, yes or no, AdamW, "
            "cosine schedule, clipping, batch 256, 100,000 rows",
            shape=(30,),
            layers=(*_NORMALIZED * 3, Dense(1)),
            loss="binary",
            rows=100_000,
            batch_size=256,
            targets=(Target(FASTEST, 2.0),),
            scheduled=True,
        ),
        Workload(
            "tiny",
            "4-24-24-2, relu, two numbers, batch 32, 5 epochs of 32,000 rows",
            shape=(4,),
            layers=_mlp(24, 24, 2),
            loss="squared",
            rows=32_000,
            batch_size=32,
            epochs=5,
            targets=(Target(FASTEST, 3.0),),
        ),
        Workload(
            "sweep",
            "200 fits of 10-32-1, relu, one number, batch 32, 10 epochs of 1,000 rows; "
            "the time is that of one fit, making the model included",
            shape=(10,),
            layers=_mlp(32, 1),
            loss="squared",
            rows=1_000,
            batch_size=32,
            epochs=10,
            fits=200,
            few_fits=(("keras", 10), ("torch-compile", 50)),
            targets=(Target(FASTEST, 3.0),),
        ),
    )
}


def _convolved(filters: int, size: int = 3, strides: int = 1) -> tuple[Layer, ...]:
    """A convolution without bias, normalized."""
    return Conv(filters, size, strides, use_bias=False), BatchNorm(0.9)


def _residual(filters: int, strides: int = 1) -> tuple[Layer, ...]:
    """Two convolutions beside a shortcut without weights (He et al., 2016)."""
    inside = (*_convolved(filters, 3, strides), Relu(), *_convolved(filters))
    shortcut = (Widen(filters),) if strides > 1 else ()
    return Residual(inside, shortcut), Relu()


def _separable(filters: int, strides: int = 1) -> tuple[Layer, ...]:
    """A convolution of each channel, then one of each pixel (Howard et al., 2017)."""
    depthwise = (Depthwise(3, strides), BatchNorm(0.9), Relu())
    return *depthwise, *_convolved(filters, 1), Relu()


def _u(filters: int, depth: int) -> tuple[Layer, ...]:
    """Down to half the size, through the same again, and up (Ronneberger, 2015)."""
    pair = (*_convolved(filters), Relu()) * 2
    if not depth:
        return pair
    below = (MaxPool(), *_u(2 * filters, depth - 1), Enlarge(filters))
    return *pair, Beside(below), *pair


_RESNET20: tuple[Layer, ...] = (
    *_convolved(16),
    Relu(),
    *_residual(16) * 3,
    *(*_residual(32, 2), *_residual(32) * 2),
    *(*_residual(64, 2), *_residual(64) * 2),
    GlobalAverage(),
    Dense(10),
)

PICTURES: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "cnn",
            "28x28x1, convolutions 3x3 to 32 and 64 channels, each with pooling, "
            "dropout 0.5, ten classes, batch 128, 6,400 pictures",
            shape=(28, 28, 1),
            layers=(
                Conv(32, 3, padding="valid", activation="relu"),
                MaxPool(),
                Conv(64, 3, padding="valid", activation="relu"),
                MaxPool(),
                Flatten(),
                Dropout(0.5),
                Dense(10),
            ),
            loss="classes",
            rows=6_400,
            batch_size=128,
            few_steps=(("jax", 3),),
            targets=(Target(FASTEST, 1.5),),
        ),
        Workload(
            "resnet20",
            "ResNet-20 on 32x32x3, mirrored and cropped at random, ten classes, "
            "batch 64, 1,280 pictures",
            shape=(32, 32, 3),
            layers=_RESNET20,
            loss="classes",
            rows=1_280,
            batch_size=64,
            few_steps=(("jax", 1),),
            targets=(Target(FASTEST, 1.3),),
            smallest_memory=True,
            augmented=True,
        ),
        Workload(
            "mobile",
            "depthwise-separable convolutions, 32 to 512 channels, on 96x96x3, ten "
            "classes, batch 32, 512 pictures",
            shape=(96, 96, 3),
            layers=(
                *_convolved(32, 3, 2),
                Relu(),
                *_separable(64),
                *(*_separable(128, 2), *_separable(128)),
                *(*_separable(256, 2), *_separable(256)),
                *(*_separable(512, 2), *_separable(512)),
                GlobalAverage(),
                Dense(10),
            ),
            loss="classes",
            rows=512,
            batch_size=32,
            left_out=(("jax", "a step takes about a minute"),),
            targets=(Target(FASTEST, 1.5),),
        ),
        Workload(
            "unet",
            "U-Net of depth 3 on 64x64x3, 16 to 128 channels, four classes a pixel, "
            "batch 8, 160 pictures",
            shape=(64, 64, 3),
            layers=(*_u(16, 3), Conv(4, 1)),
            loss="classes",
            rows=160,
            batch_size=8,
            few_steps=(("jax", 1),),
            targets=(Target(FASTEST, 1.2),),
        ),
        Workload(
            "conv1d",
            "1,000 steps of 16 channels, kernels of 9 to 32, 64 and 64 channels, "
            "pooling between, ten classes, batch 32, 1,280 series",
            shape=(1_000, 16),
            layers=(
                Conv(32, 9, activation="relu"),
                MaxPool(),
                Conv(64, 9, activation="relu"),
                MaxPool(),
                Conv(64, 9, activation="relu"),
                GlobalAverage(),
                Dense(10),
            ),
            loss="classes",
            rows=1_280,
            batch_size=32,
            few_steps=(("jax", 1),),
            targets=(Target(FASTEST, 1.5),),
        ),
        *(
            Workload(
                f"resnet20_infer_{batch_size}",
                f"ResNet-20 on 32x32x3 answers, batch {batch_size}, {rows} pictures",
                shape=(32, 32, 3),
                layers=_RESNET20,
                loss="classes",
                rows=rows,
                batch_size=batch_size,
                targets=(Target((*FASTEST, "onnxruntime"), 1.0),),
                infers=True,
            )
            for batch_size, rows in ((1, 256), (64, 1_280))
        ),
    )
}


def _gpt(steps: int) -> tuple[Layer, ...]:
    """A small GPT-2 (Radford et al., 2019) over characters, as nanoGPT has it."""
    blocks = (Block(heads=4, hidden=512),) * 4
    return (Embedding(65, 128, places=steps), *blocks, LayerNorm(), Dense(65))


SEQUENCES: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "lstm",
            "100 steps of 32 numbers, LSTM of 128 units, ten classes, batch 32, 1,280 "
            "sequences",
            shape=(100, 32),
            layers=(Lstm(128), Dense(10)),
            loss="classes",
            rows=1_280,
            batch_size=32,
            few_steps=(("keras", 10), ("jax", 10)),
            targets=(Target(FASTEST, 1.5),),
        ),
        Workload(
            "gru_bidir",
            "64 of 10,000 words, embedding of 128, two layers of GRU, each of 128 "
            "units both ways, two classes, batch 64, 640 texts",
            shape=(64,),
            layers=(
                Embedding(10_000, 128),
                Gru(128, both_ways=True, sequences=True),
                Gru(128, both_ways=True),
                Dense(2),
            ),
            loss="classes",
            rows=640,
            batch_size=64,
            few_steps=(("keras", 3),),
            targets=(Target(FASTEST, 1.5),),
        ),
        Workload(
            "gpt",
            "GPT over 65 characters: 4 layers, 4 heads, 128 wide, 64 characters, batch "
            "12, 240 texts",
            shape=(64,),
            layers=_gpt(64),
            loss="classes",
            rows=240,
            batch_size=12,
            targets=(Target(FASTEST, 1.5),),
        ),
        *(
            Workload(
                "gpt_long" + suffix,
                f"the same network on {steps:,} characters, batch 1, {rows} texts",
                shape=(steps,),
                layers=_gpt(steps),
                loss="classes",
                rows=rows,
                batch_size=1,
                targets=(Target(FASTEST, 1.5),) if not suffix else (),
                beside=("torch",) if suffix else (),
            )
            for suffix, steps, rows in (
                ("", 1_024, 10),
                ("_512", 512, 4),
                ("_2048", 2_048, 4),
            )
        ),
        Workload(
            "gpt_bf16",
            "the network of gpt in mixed bfloat16, batch 12, 240 texts",
            shape=(64,),
            layers=_gpt(64),
            loss="classes",
            rows=240,
            batch_size=12,
            targets=(Target((FLOAT32,), 1.3),),
            policy="mixed_bfloat16",
            beside=(FLOAT32,),
        ),
        Workload(
            "generate",
            "the network of gpt makes texts, one token after the other, each drawn by "
            "its chance: 63 behind the first, 16 texts; a step is a token",
            shape=(64,),
            layers=_gpt(64),
            loss="classes",
            rows=16,
            batch_size=1,
            targets=(Target(("torch",), 5.0),),
            infers=True,
            generates=True,
            beside=("torch",),
        ),
        Workload(
            "encoder",
            "texts of 2 to 128 of 10,000 words, padded, embedding of 128, two encoder "
            "blocks of 4 heads, mean, two classes, batch 32, 256 texts",
            shape=(128,),
            layers=(
                Embedding(10_000, 128, mask_zero=True, places=128),
                *(Block(4, 512, "relu", causal=False, normalize_first=False),) * 2,
                GlobalAverage(),
                Dense(2),
            ),
            loss="classes",
            rows=256,
            batch_size=32,
            targets=(Target(FASTEST, 1.3),),
        ),
    )
}

WORKLOADS = DENSE | PICTURES | SEQUENCES


def make_data(workload: Workload) -> tuple[Array, Array]:
    """Inputs and targets, the same each time.

    Example:
        >>> x, y = make_data(WORKLOADS["sweep"])
        >>> x.shape, y.shape, x.dtype.name
        ((1000, 10), (1000, 1), 'float32')
    """
    rows, shape, outputs = workload.rows, workload.shape, workload.outputs
    if workload.words:
        if len(result_of(workload.layers, shape)) == 2:
            return make_text(rows, shape[0], workload.words)
        return make_words(rows, shape[0], workload.words, outputs, workload.padded)
    if len(shape) == 1:
        return make_rows(rows, shape[0], outputs, workload.loss)
    if isinstance(workload.layers[-1], Conv):
        return make_pixels(rows, shape, outputs)
    return make_maps(rows, shape, outputs)


def epoch_orders(workload: Workload, seed: int) -> Array:
    """For each epoch of a run an order of the rows."""
    random = np.random.default_rng(seed)
    orders = [random.permutation(workload.rows) for _ in range(workload.epochs)]
    return np.stack(orders)
