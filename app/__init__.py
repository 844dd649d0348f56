"""Nibble makes a language model fit a person's own computer."""

__version__ = "0.1.0"
