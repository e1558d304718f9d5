"""bert_jax: pretrain BERT and the Transformer family in JAX, from raw text to a usable model.

Axes have the same letters in annotations, einsums and suffixes throughout:

    B batch · T length (queries) · S length (keys) · D model width · H heads · K head width
    F feed-forward · V vocabulary · L layers · P predicted positions in a row
    E width of embeddings (D in BERT) · J sequences (pairs or texts) in a row
    N, M memory slots and width

In lineage, H is also the width of an LSTM.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bert_jax.pretrained import Model as Model
    from bert_jax.pretrained import load as load


def __getattr__(name: str) -> Any:
    """Import `load` and `Model` on first use, so that data preparation runs without JAX."""
    if name in ("load", "Model"):
        from bert_jax import pretrained

        return getattr(pretrained, name)
    raise AttributeError(f"module 'bert_jax' has no attribute {name!r}")
