"""What Keras keeps in `keras.utils`: labels; sequences; pictures, files and arrays."""

from __future__ import annotations

from chainrule.boxes import draw_boxes
from chainrule.data.labels import to_categorical
from chainrule.data.picture_folder import image_dataset_from_directory
from chainrule.data.picture_images import (
    array_to_img,
    img_to_array,
    load_img,
    save_img,
)
from chainrule.data.sequences import pad_sequences

__all__ = [
    "array_to_img",
    "draw_boxes",
    "image_dataset_from_directory",
    "img_to_array",
    "load_img",
    "pad_sequences",
    "save_img",
    "to_categorical",
]
