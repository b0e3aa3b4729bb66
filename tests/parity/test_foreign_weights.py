"""Models of PyTorch and Keras, made on the spot, and ours with their weights."""

import numpy as np
import pytest

import chainrule
from chainrule import applications
from tests.tolerances import PARITY, assert_close

torch = pytest.importorskip("torch")
with pytest.MonkeyPatch.context() as patched:
    patched.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")

from torch import nn  # noqa: E402

# Keras hands weights to NumPy in a way that NumPy 2 warns of
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
RNG = np.random.default_rng(0)


class Block(nn.Module):
    """As torchvision writes it; `option_a` as those for CIFAR-10 do."""

    def __init__(self, inputs, outputs, strides, option_a):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, strides, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.widened = (outputs - inputs) // 2 if strides > 1 and option_a else 0
        self.downsample = None
        if strides > 1 and not option_a:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, strides, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            x = self.downsample(x)
        if self.widened:
            sides = (0, 0, 0, 0, self.widened, self.widened)
            x = nn.functional.pad(x[:, :, ::2, ::2], sides)
        return self.relu(y + x)


class Residual(nn.Module):
    def __init__(self, widths, blocks, option_a, classes):
        super().__init__()
        first = widths[0]
        large = not option_a
        taps = (7, 2, 3) if large else (3, 1, 1)
        self.conv1 = nn.Conv2d(3, first, *taps, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self.stages = []
        for number, (inputs, outputs) in enumerate(
            zip((first, *widths), widths, strict=False), start=1
        ):
            strides = [1 if number == 1 else 2] + [1] * (blocks - 1)
            channels = [inputs] + [outputs] * (blocks - 1)
            pairs = zip(channels, strides, strict=True)
            made = [Block(c, outputs, s, option_a) for c, s in pairs]
            setattr(self, f"layer{number}", nn.Sequential(*made))
            self.stages.append(f"layer{number}")
        setattr(self, "linear" if option_a else "fc", nn.Linear(outputs, classes))
        self.last = "linear" if option_a else "fc"

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return getattr(self, self.last)(x.mean((2, 3)))


def shaken(module):
    """Every number drawn anew, the statistics too."""
    generator = torch.Generator().manual_seed(0)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            drawn = torch.rand(tensor.shape, generator=generator) - 0.5
            scale = 1.0 if tensor.ndim < 2 else (3 / tensor[0].numel()) ** 0.5
            tensor.copy_(1 + 0.2 * drawn if tensor.ndim < 2 else scale * 2 * drawn)
    return module.eval()


def both(module, model, shape):
    x = RNG.normal(size=(2, *shape)).astype(np.float32)
    with torch.no_grad():
        theirs = module(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).numpy()
    return model(x).numpy(), np.moveaxis(theirs, 1, -1)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("kind", ["ResNet18", "ResNet20"])
def test_residual_networks(kind, named, tmp_path):
    from safetensors.torch import save_file  # noqa: PLC0415 - beside torch alone

    small = kind == "ResNet20"
    widths = (16, 32, 64) if small else (64, 128, 256, 512)
    module = shaken(Residual(widths, 3 if small else 2, small, 10))
    path = tmp_path / "weights.safetensors"
    save_file(module.state_dict(), path)
    builder, shape = getattr(applications, kind), (32, 32, 3) if small else (64, 64, 3)
    options = {"input_shape": shape, "classes": 10, "classifier_activation": None}
    if named:
        model = builder(**options, weights=path)
    else:
        model = builder(**options)
        report = model.load_weights(module.state_dict(), layout="torch")
        assert report.complete
    assert_close(*both(module, model, shape), PARITY)


def test_a_plain_network_of_pytorch_by_order():
    module = shaken(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, groups=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.Conv2d(8, 12, 1, groups=4),
            nn.ReLU(),
            nn.ConvTranspose2d(12, 6, 2, 2),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(6 * 8 * 10, 16),
            nn.LayerNorm(16),
            nn.PReLU(16),
            nn.Linear(16, 5),
        )
    )
    layers = chainrule.layers
    model = chainrule.Sequential(
        [
            layers.Input((10, 12, 3)),
            layers.Conv2D(8, 3),
            layers.BatchNormalization(epsilon=1e-5),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.Conv2D(12, 1, groups=4),
            layers.ReLU(),
            layers.Conv2DTranspose(6, 2, strides=2),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(16),
            layers.LayerNormalization(epsilon=1e-5),
            layers.PReLU(),
            layers.Dense(5),
        ]
    )
    assert model.load_weights(module.state_dict(), layout="torch").complete
    assert_close(*both(module, model, (10, 12, 3)), PARITY)


def network(library, names):
    """Equal layers, of different names, one model inside another."""
    layers = library.layers

    def named(kind, *arguments, **options):
        return kind(*arguments, **options, name=next(names, None))

    inner = library.Sequential(
        [
            layers.Input((3, 3, 8)),
            named(layers.SeparableConv2D, 8, 3, padding="same"),
            named(layers.DepthwiseConv2D, 3, depth_multiplier=2),
        ]
    )
    x = library.Input((10, 10, 3))
    y = named(layers.Conv2D, 8, 3, activation="relu", strides=2)(x)
    y = named(layers.BatchNormalization)(y)
    y = named(layers.Conv2DTranspose, 8, 2)(y)
    y = layers.MaxPooling2D(2, padding="same")(y)
    y = layers.Dropout(0.3)(inner(y))
    y = layers.Flatten()(y)
    y = named(layers.Dense, 16, activation="tanh")(y)
    y = named(layers.Dense, 16, activation="tanh")(y)
    y = named(layers.LayerNormalization)(y)
    return library.Model(x, named(layers.Dense, 4)(y))


@pytest.fixture(params=["same names", "other names"])
def pair(request):
    def names(first):
        return iter([f"{first}{number}" for number in range(20)])

    theirs = network(keras, names("part"))
    other = names("part") if request.param == "same names" else iter([])
    for variable in theirs.weights:
        drawn = RNG.uniform(-0.5, 0.5, variable.shape).astype(np.float32)
        variable.assign(drawn if len(variable.shape) > 1 else 1 + 0.2 * drawn)
    return theirs, network(chainrule.keras, other)


@pytest.mark.parametrize("kind", ["file", "arrays"])
def test_models_of_keras(pair, kind, tmp_path):
    theirs, ours = pair
    if kind == "file":
        pytest.importorskip("h5py")
        theirs.save_weights(tmp_path / "model.weights.h5")
        report = ours.load_weights(tmp_path / "model.weights.h5")
    else:
        arrays = {v.path: np.asarray(v.value.detach()) for v in theirs.weights}
        report = ours.load_weights(arrays, layout="keras")
    assert report.complete
    x = RNG.normal(size=(3, 10, 10, 3)).astype(np.float32)
    expected = theirs(x, training=False).detach().numpy()
    assert_close(ours(x).numpy(), expected, PARITY)
