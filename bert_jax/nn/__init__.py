"""Layers: attention, embeddings, Transformer blocks."""
