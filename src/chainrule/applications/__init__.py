"""Networks to start from: builders of known structures, and new heads for old ones."""

from chainrule.applications.gpt import GPT
from chainrule.applications.heads import with_new_head
from chainrule.applications.lenet import LeNet5
from chainrule.applications.mobilenet import MobileNetSmall
from chainrule.applications.names import torch_names
from chainrule.applications.resnet import ResNet18, ResNet20, ResNet32
from chainrule.applications.unet import UNet

__all__ = [
    "GPT",
    "LeNet5",
    "MobileNetSmall",
    "ResNet18",
    "ResNet20",
    "ResNet32",
    "UNet",
    "torch_names",
    "with_new_head",
]
