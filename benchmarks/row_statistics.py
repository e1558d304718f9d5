"""Statistics of prepared rows, and of the masks that training draws on them.

python benchmarks/row_statistics.py data/corpus --length 512
"""

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from bert_jax.config import MaskingConfig
from bert_jax.corpus.prepared import PreparedData
from bert_jax.nn.layout import row_layout
from bert_jax.tasks.masking import MaskingRules, mask_rows


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the statistics."""

    data: Annotated[str, tyro.conf.Positional]
    """Folder that prepare.py wrote."""
    length: int = 128
    """Row length T in tokens."""
    num_rows: int = 8192
    """Rows to read and mask."""


def main(options: Options) -> None:
    """Print one line for each figure, with the original BERT's target."""
    data = PreparedData(options.data)
    rows, tokenizer = data.rows(options.length), data.tokenizer
    batch = rows[np.linspace(0, len(rows) - 1, min(options.num_rows, len(rows))).astype(int)]

    # --- Pairs ------------------------------------------------------------------------------------
    is_pair = batch["lengths"][..., 0] > 0
    pair_lengths = batch["lengths"].sum(axis=-1)[is_pair]
    quantiles = np.quantile(pair_lengths, [0.01, 0.05, 0.1, 0.25, 0.5]).astype(int)
    print(f"rows read               {len(batch['row']):,} of {len(rows):,}, T = {options.length}")
    print(f"fill                    {pair_lengths.sum() / batch['tokens'].size:.2%}")
    print(f"pairs in a row          {is_pair.sum() / len(is_pair):.3f}")
    print(
        f"pair length             mean {pair_lengths.mean():.1f}; 1, 5, 10, 25, 50 %: {quantiles}"
    )
    print(f"shorter than T          {(pair_lengths < options.length).mean():.2%}")
    if data.nsp:
        share = batch["is_random_next"][is_pair].mean()
        print(f"random next             {share:.2%}  (more than 50 %)")

    # --- Masks, as training draws them ----------------------------------------------------------
    rules = MaskingRules(
        MaskingConfig(),
        tokenizer.vocab_size,
        tokenizer.cls_id,
        tokenizer.sep_id,
        tokenizer.mask_id,
    )
    layout = row_layout(jnp.asarray(batch["lengths"]), options.length)
    epoch_and_row = (np.zeros(len(batch["row"]), np.int32), batch["row"])
    masked = jax.jit(mask_rows, static_argnums=4)(
        jax.random.key(0), batch["tokens"], layout, epoch_and_row, rules
    )
    predicted = np.asarray(masked.weights) > 0
    kind = np.asarray(masked.kind)[predicted]
    print(f"masked of all tokens    {predicted.sum() / pair_lengths.sum():.3%}  (15 %)")
    for number, (name, target) in enumerate({"[MASK]": 80, "random": 10, "kept": 10}.items()):
        print(f"  of these {name:7}        {(kind == number).mean():.3%}  ({target} %)")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
