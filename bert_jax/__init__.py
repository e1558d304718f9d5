"""bert_jax: pretrain BERT and the Transformer family in JAX, from raw text to a usable model.

One alphabet of axes is used in annotations, einsums and suffixes everywhere:

    B batch · T length (queries) · S length (keys) · D model width · H heads · K head width
    F feed-forward · V vocabulary · L layers · P predicted positions in a row
    J pairs (sequences) in a row · N, M memory slots and width
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bert_jax.pretrained import Model as Model
    from bert_jax.pretrained import load as load
    from bert_jax.translator import Translator as Translator
    from bert_jax.translator import load_translator as load_translator


def __getattr__(name: str) -> Any:
    """Imports what loads models when it is asked for: the data side runs without JAX."""
    if name in ("load", "Model"):
        from bert_jax import pretrained

        return getattr(pretrained, name)
    if name in ("load_translator", "Translator"):
        from bert_jax import translator

        return getattr(translator, name)
    raise AttributeError(f"module 'bert_jax' has no attribute {name!r}")
