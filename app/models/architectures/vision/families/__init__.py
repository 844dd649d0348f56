"""One file per family of models that see."""
