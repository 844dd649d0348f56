"""The encodings in vectorised torch, for every device; `app.encodings.kernels` explains them."""
