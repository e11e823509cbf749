"""A raw pair -> tensors."""
