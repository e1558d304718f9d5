import pytest

from bert_jax.corpus.cleaning import Findings
from bert_jax.corpus.tally import Tally
from bert_jax.errors import DataError


def test_a_corpus_without_rows_is_refused():
    with pytest.raises(DataError, match="corpus is empty"):
        Tally(10).check_splits(0.1, Findings())
    findings = Findings()
    findings.add("document alone in its split (train; left out)", "x")
    with pytest.raises(DataError, match="single document"):
        Tally(10).check_splits(0.1, findings)
