"""The compiler: a graph becomes kernels, LLVM code and one native program."""
