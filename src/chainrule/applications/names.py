"""What PyTorch's users call the layers of networks that are built here."""

from __future__ import annotations

import re

# Of a block: theirs and ours.
PARTS = {
    "conv1": "conv1",
    "bn1": "bn1",
    "conv2": "conv2",
    "bn2": "bn2",
    "downsample.0": "shortcut_conv",
    "downsample.1": "shortcut_bn",
    "shortcut.0": "shortcut_conv",
    "shortcut.1": "shortcut_bn",
}
ALONE = {
    "conv1": "stem_conv",
    "bn1": "stem_bn",
    "fc": "predictions",
    "linear": "predictions",
}


def torch_names(name: str) -> str | None:
    """Our name of a layer of a residual network, from torchvision's.

    The usual ones for CIFAR-10 have the same, but for the last layer (`linear`) and
    shortcuts (`shortcut.0`). A wrapper's `module.` in front is left out.

    Args:
        name: of the layer in PyTorch, without `.weight`.

    Returns:
        The name of the layer in `ResNet18`, `ResNet20`, `ResNet32`; None where there
        is no such layer.

    Example:
        >>> torch_names("layer2.0.downsample.0"), torch_names("module.fc")
        ('stage2_block1_shortcut_conv', 'predictions')
    """
    name = name.removeprefix("module.")
    inside = re.fullmatch(r"layer(\d+)\.(\d+)\.(.+)", name)
    if inside is None:
        return ALONE.get(name)
    part = PARTS.get(inside[3])
    if part is None:
        return None
    return f"stage{inside[1]}_block{int(inside[2]) + 1}_{part}"
