"""Layers, with JAX only: attention, embeddings, Transformer blocks."""
