"""The benchmark of inference times both sides, on one device and on all."""

import inference_devices


def test_each_side_is_timed_for_a_few_and_for_many_texts(capsys):
    inference_devices.main(layers=1, width=64, batches=2, rounds=1)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split(",")[0].strip() for line in lines] == [
        "4 rows",
        "4 rows",
        "8 rows",
        "8 rows",
    ]
    assert all("ms (fastest" in line for line in lines)
