"""More or fewer rows for the word embeddings of a trained model."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bert_jax.models.functional import Params


def add_rows(params: Params, size: int, pieces: Mapping[int, Sequence[int]]) -> Params:
    """Return parameters whose word embeddings, and bias of the masked-LM head, have `size` rows.

    A new token starts as the mean of the rows of its pieces, and so does its logit.

    Args:
        params: parameters with "bert", and "mlm" if there is a head; they stay as they are.
        size: number of rows; at least as many as there are.
        pieces: ids of the new tokens, each with the ids of its pieces; all rows that `params` lacks
            are among them, and rows that were padding may be.
    """

    def extend(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x)
        longer = np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])
        for index, ids in pieces.items():
            longer[index] = x[list(ids)].mean(axis=0)
        return longer

    return _change_rows(params, extend)


def keep_rows(params: Params, size: int) -> Params:
    """Return parameters with the first `size` rows of word embeddings and masked-LM bias.

    Args:
        params: parameters with "bert", and "mlm" if there is a head; they stay as they are.
        size: number of rows; at most as many as there are.
    """
    return _change_rows(params, lambda x: np.asarray(x)[:size])


def _change_rows(params: Params, change: Callable[[np.ndarray], np.ndarray]) -> Params:
    """Return parameters whose arrays with a row for each token are changed."""
    embeddings = params["bert"]["embeddings"]
    embeddings = {**embeddings, "word": change(embeddings["word"])}
    new = {**params, "bert": {**params["bert"], "embeddings": embeddings}}
    if "bias" in params.get("mlm", {}):
        new["mlm"] = {**params["mlm"], "bias": change(params["mlm"]["bias"])}
    return new
