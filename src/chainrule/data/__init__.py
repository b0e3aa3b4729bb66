"""Tables, pictures, annotated pictures, sequences, and streams of data from files."""

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
