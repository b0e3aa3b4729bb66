"""Tables and streams of data: CSV, Parquet, pandas, Arrow."""

from chainrule.data.tables import Table, read_table

__all__ = ["Table", "read_table"]
