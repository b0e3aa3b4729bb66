"""Tables, pictures, annotated pictures, and streams of data from files."""

from chainrule.data.annotations import (
    AnnotatedPicture,
    Annotations,
    Problem,
    read_annotations,
    to_coco,
    to_coco_results,
)
from chainrule.data.dataset import Dataset, read_csv, read_parquet
from chainrule.data.pictures import load_picture
from chainrule.data.tables import Table, read_table

__all__ = [
    "AnnotatedPicture",
    "Annotations",
    "Dataset",
    "Problem",
    "Table",
    "load_picture",
    "read_annotations",
    "read_csv",
    "read_parquet",
    "read_table",
    "to_coco",
    "to_coco_results",
]
