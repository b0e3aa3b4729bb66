"""Tables and streams of data: CSV, Parquet, pandas, Arrow."""

from chainrule.data.dataset import Dataset, read_csv, read_parquet
from chainrule.data.tables import Table, read_table

__all__ = ["Dataset", "Table", "read_csv", "read_parquet", "read_table"]
