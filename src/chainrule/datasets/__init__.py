"""Data sets: real data by name, as NumPy arrays.

`digits` comes with scikit-learn and needs no network; `mnist` is looked for on this
machine and downloaded when it is not there.
"""

from chainrule.datasets import digits, mnist

__all__ = ["digits", "mnist"]
