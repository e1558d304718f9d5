import pytest

from bert_jax.corpus.bundles import BundleOptions
from bert_jax.corpus.tally import Tally
from bert_jax.errors import DataError
from bert_jax.reading.cleaning import Findings

OPTIONS = BundleOptions(1 << 20, eval_share=0.1, seed=0)


def test_a_corpus_without_rows_is_refused():
    with pytest.raises(DataError, match="corpus is empty"):
        Tally(10).check_splits(OPTIONS, Findings())
    findings = Findings()
    findings.add("document alone in its split (train; left out)", "x")
    with pytest.raises(DataError, match="single document"):
        Tally(10).check_splits(OPTIONS, findings)
