"""Labelled data: tables, CoNLL and SQuAD files → examples → batches. Never imports JAX."""
