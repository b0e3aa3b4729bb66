"""Tables and streams of data (CSV, Parquet, pandas, Arrow); annotated pictures."""

from chainrule.data.annotations import (
    AnnotatedPicture,
    Annotations,
    Problem,
    read_annotations,
    to_coco,
    to_coco_results,
)
from chainrule.data.dataset import Dataset, read_csv, read_parquet
from chainrule.data.tables import Table, read_table

__all__ = [
    "AnnotatedPicture",
    "Annotations",
    "Dataset",
    "Problem",
    "Table",
    "read_annotations",
    "read_csv",
    "read_parquet",
    "read_table",
    "to_coco",
    "to_coco_results",
]
