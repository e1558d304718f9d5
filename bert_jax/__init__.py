"""bert_jax: pretrain BERT and the Transformer family in JAX, from raw text to a usable model.

One alphabet of axes is used in annotations, einsums and suffixes everywhere:

    B batch · T length (queries) · S length (keys) · D model width · H heads · K head width
    F feed-forward · V vocabulary · L layers · P predicted positions in a row
    J pairs (sequences) in a row · N, M memory slots and width
"""
