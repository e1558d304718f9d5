"""What is compiled of a translation run before its first step, and whether it is what runs."""

from dataclasses import replace

import jax
import pytest

import train_translator
from bert_jax.errors import ConfigError
from bert_jax.lineage.batch_decoding import rows_together
from bert_jax.lineage.bitext_batches import (
    EncodedPair,
    translation_batches,
    translation_eval_batches,
)
from bert_jax.lineage.config import TransformerConfig
from bert_jax.lineage.translation_programs import build_programs, largest_programs
from bert_jax.training.ahead import compile_all
from bert_jax.training.machine import machine_at_hand
from bert_jax.training.parallel import DataParallel

TRANSFORMER = TransformerConfig(
    hidden_size=16, num_encoder_layers=1, num_decoder_layers=1, num_attention_heads=2,
    intermediate_size=32, max_positions=64,
)  # fmt: skip


def read(config, mode="shard_map"):
    """Return a configuration with the size of its vocabulary, its programs, and its pairs."""
    data = train_translator.read_data(config)
    model = replace(config.model, vocab_size=data.vocabulary.size)
    config = replace(config, model=model)
    return config, build_programs(config, DataParallel(mode)), data.encoded


@pytest.mark.parametrize(("model", "mode"), [(None, "shard_map"), (TRANSFORMER, "pmap")])
def test_what_is_compiled_ahead_is_what_runs(model, mode, word_config, backend_compilations):
    config = replace(word_config, model=model or word_config.model)
    config, programs, encoded = read(config, mode)
    ahead = largest_programs(config, programs, encoded)
    assert [program.name.split(",")[0] for program in ahead] == [
        "training step", "evaluation", "greedy search", "search with 2 beams"
    ]  # fmt: skip
    compile_all(ahead, machine_at_hand())
    parallel = programs.parallel
    state = parallel.put_state(programs.init_state(*jax.random.split(jax.random.key(0))))
    batch = next(translation_batches(encoded["train"], programs.batching, 0))
    ((_, held_out),) = translation_eval_batches(encoded["dev"], rows_together(8))
    put = [parallel.put_batch(x) for x in (batch, held_out)]
    before = len(backend_compilations)
    state, _ = programs.train_step(state, put[0])
    programs.eval_step(state.params, put[1])
    for searcher in programs.searchers.values():
        assert len(searcher(state.params, [pair.source for pair in encoded["dev"]])) == 30
    assert len(backend_compilations) == before > 0


def test_a_run_that_does_not_fit_ends_before_its_first_step(word_config, tmp_path, monkeypatch):
    machine = machine_at_hand()._replace(memory=1000)
    monkeypatch.setattr(train_translator, "choose_machine", lambda topology: machine)
    with pytest.raises(ConfigError, match=r"(?s)training step, 32 rows.* smaller --batch-tokens"):
        train_translator.main(replace(word_config, runs_dir=str(tmp_path)))
    assert not (tmp_path / "words" / "metrics.jsonl").exists()


def test_a_search_is_compiled_for_the_longest_of_the_pairs_that_it_translates(word_config):
    config, programs, encoded = read(replace(word_config, eval_pairs=1))
    encoded["dev"] = [EncodedPair([5] * length, [6]) for length in (10, 20, 30)]
    encoded["test"] = [EncodedPair([5] * length, [6]) for length in (12, 14)]

    def rows(search):
        ahead = largest_programs(replace(config, search=search), programs, encoded)
        return [program.name for program in ahead if "search" in program.name]

    assert rows(config.search) == [
        "greedy search, 64 rows of 10 tokens", "search with 2 beams, 64 rows of 14 tokens"
    ]  # fmt: skip
    assert rows(programs.greedy) == ["greedy search, 64 rows of 14 tokens"]  # one program does both
