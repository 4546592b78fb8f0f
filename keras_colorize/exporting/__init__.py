"""Generators as files for other runtimes: tensors in, tensors out."""
