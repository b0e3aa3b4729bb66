"""Tables, pictures, annotated pictures, sequences, and streams of data from files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.data.annotations import (
        AnnotatedPicture,
        Annotations,
        Problem,
        read_annotations,
        to_coco,
        to_coco_results,
    )
    from chainrule.data.buckets import BucketedBatches, Epochs
    from chainrule.data.dataset import Dataset, read_csv, read_parquet
    from chainrule.data.packing import Packed, pack_sequences, segment_mask
    from chainrule.data.pictures import load_picture
    from chainrule.data.records import Records, read_records
    from chainrule.data.sequences import pad_sequences
    from chainrule.data.tables import Table, read_table
    from chainrule.data.text_files import read_lines, read_text

__all__ = [
    "AnnotatedPicture",
    "Annotations",
    "BucketedBatches",
    "Dataset",
    "Epochs",
    "Packed",
    "Problem",
    "Records",
    "Table",
    "load_picture",
    "pack_sequences",
    "pad_sequences",
    "read_annotations",
    "read_csv",
    "read_lines",
    "read_parquet",
    "read_records",
    "read_table",
    "read_text",
    "segment_mask",
    "to_coco",
    "to_coco_results",
]

# Imported at first use: most networks read no files.
_PLACES = {
    "AnnotatedPicture": "annotations",
    "Annotations": "annotations",
    "BucketedBatches": "buckets",
    "Dataset": "dataset",
    "Epochs": "buckets",
    "Packed": "packing",
    "Problem": "annotations",
    "Records": "records",
    "Table": "tables",
    "load_picture": "pictures",
    "pack_sequences": "packing",
    "pad_sequences": "sequences",
    "read_annotations": "annotations",
    "read_csv": "dataset",
    "read_lines": "text_files",
    "read_parquet": "dataset",
    "read_records": "records",
    "read_table": "tables",
    "read_text": "text_files",
    "segment_mask": "packing",
    "to_coco": "annotations",
    "to_coco_results": "annotations",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'chainrule.data' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
