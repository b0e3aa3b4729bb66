"""What kernels are made of: elementary functions, random bits, loop nests."""
