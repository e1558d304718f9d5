"""Vocabularies, and exact WordPiece tokenization. Never imports JAX."""
