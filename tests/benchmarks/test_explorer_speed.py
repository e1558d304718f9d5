"""The benchmark of the explorer types a sentence into each view."""

import explorer_speed


def test_every_view_of_a_pretrained_model_is_timed(capsys):
    times = explorer_speed.main("demo", words=2, rounds=1)
    lines = capsys.readouterr().out.splitlines()
    assert "fill" in times
    num_characters = len(explorer_speed.make_sentence(2, 0))
    for name, measured in times.items():
        assert len(measured.later) == num_characters - 1
        assert any(line.startswith(f"{name}: median ") for line in lines)


def test_the_vocabulary_is_full_and_covers_the_sentence():
    tokenizer = explorer_speed.make_model("demo", 0).tokenizer
    assert tokenizer.vocab_size == len({*tokenizer.vocab}) == explorer_speed.VOCAB_SIZE
    assert tokenizer.unk_id not in tokenizer.encode(explorer_speed.make_sentence(12, 0))
