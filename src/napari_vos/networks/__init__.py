"""Pure network modules: tensors in, tensors out."""
