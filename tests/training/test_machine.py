import re

import jax
import pytest

from bert_jax.errors import ConfigError
from bert_jax.nn.execution import device_platform
from bert_jax.training.machine import absent_machine, machine_at_hand, parse_refusal

GIB = 1 << 30


def test_the_devices_at_hand_share_the_memory_of_the_host():
    machine = machine_at_hand()
    assert (machine.name, len(machine.devices)) == ("cpu", 8)
    assert machine.memory is not None
    assert 1 * GIB / 8 < machine.memory < 100_000 * GIB


@pytest.mark.parametrize(
    ("message", "sizes"),
    [
        (
            "Ran out of memory on HBM, the total memory required for HLO temporaries (18.63G)"
            " exceeds available HBM (15.75G).",
            (18.63, 15.75),
        ),
        (
            "Ran out of memory in memory space hbm. Used 34.50G of 15.75G hbm. Exceeded hbm"
            " capacity by 18.75G.",
            (34.5, 15.75),
        ),
        ("Ran out of memory somewhere else", None),
    ],
)
def test_a_refusal_says_what_is_needed_and_what_there_is(message, sizes):
    expected = sizes and (*(int(size * GIB) for size in sizes), "Used" in message)
    assert parse_refusal(message) == expected


@pytest.mark.parametrize(
    ("topology", "said"),
    [
        ("v5e", "is not a machine"),
        ("v5e:1", "is not a machine"),
        ("h100:0", "is not a machine"),
        ("potato:8", "is not a machine"),
        ("h100:12", "12 GPUs do not fill nodes of 8"),
    ],
)
def test_what_is_no_machine_is_refused_by_name(topology, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        absent_machine(topology)


def test_a_slice_that_the_compiler_does_not_know_is_refused():
    pytest.importorskip("libtpu", reason="libtpu, of the [tpu] extra, compiles for TPUs")
    with pytest.raises(ConfigError, match=r"cannot compile for v9:2x4: .*v9"):
        absent_machine("v9:2x4")


@pytest.mark.parametrize(
    ("topology", "num_devices", "kind", "memory"),
    [
        ("v5e:2x4", 8, "TPU v5 lite", 15.75),
        ("v5e:1x1", 1, "TPU v5 lite", 15.75),
        ("v4:2x2x1", 4, "TPU v4", 30.75),
        ("v6e:4x4", 16, "TPU v6 lite", 31.25),
    ],
)
def test_slices_have_their_devices_and_memory(topology, num_devices, kind, memory):
    pytest.importorskip("libtpu", reason="libtpu, of the [tpu] extra, compiles for TPUs")
    machine = absent_machine(topology)
    assert device_platform(machine.devices[0]) == "tpu"
    assert [device.device_kind for device in machine.devices] == [kind] * num_devices
    assert machine.memory == pytest.approx(memory * GIB, rel=0.001)  # differs between versions
    assert jax.default_backend() == "cpu"
