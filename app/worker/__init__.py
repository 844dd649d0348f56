"""The conversion, and the process that runs it."""
