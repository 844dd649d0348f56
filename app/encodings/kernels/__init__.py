"""Fast CPU kernels of the encodings, compiled by numba."""
