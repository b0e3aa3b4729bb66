"""Data sets: real data by name, as NumPy arrays.

`digits` comes with scikit-learn and needs no network; `mnist`, `fashion_mnist` and
`cifar10` are looked for on this machine and downloaded when they are not there.
"""

from chainrule.datasets import cifar10, digits, fashion_mnist, mnist

__all__ = ["cifar10", "digits", "fashion_mnist", "mnist"]
