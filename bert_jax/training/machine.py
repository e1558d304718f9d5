"""Machines to compile for: the devices at hand, or a TPU or GPU machine that is absent.

XLA compiles whole programs for absent machines; what it says of their memory is exact, as it is the
same compiler that the machine would run. TPUs need the `libtpu` package alone, GPUs JAX's CUDA
plugin and NVIDIA's libraries, but no driver.
"""

import os
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils, topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bert_jax.errors import ConfigError

GPUS_PER_NODE = 8
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Machine(NamedTuple):
    """Devices to compile for."""

    name: str
    """Its topology, such as "v5e:2x4"; for the devices at hand, their kind."""
    devices: tuple[jax.Device, ...]
    memory: int | None
    """Bytes of a device that programs may use; None if unknown."""
    is_absent: bool = False
    """True if programs can be compiled for it, but not run."""

    def __str__(self) -> str:
        memory = f", {self.memory / 1e9:.2f} GB each" if self.memory else ""
        return f"{len(self.devices)} x {self.devices[0].device_kind}{memory}"


class Gpu(NamedTuple):
    """Properties of a GPU that its compiler asks for, from NVIDIA's data sheets."""

    description: str
    capability: tuple[int, int]
    cores: int
    fpus_per_core: int
    memory: int
    """Bytes."""
    bandwidth: int
    """Bytes per second."""
    clock: float
    """GHz."""
    l2_cache: int
    shared_memory_per_core: int
    shared_memory_per_block: int
    """Bytes that a block may have on request."""


H100 = Gpu(
    description="NVIDIA H100 80GB HBM3",
    capability=(9, 0),
    cores=132,
    fpus_per_core=128,
    memory=84_929_347_584,
    bandwidth=3_352_320_000_000,
    clock=1.98,
    l2_cache=52_428_800,
    shared_memory_per_core=233_472,
    shared_memory_per_block=232_448,
)
H200 = H100._replace(description="NVIDIA H200", memory=150_109_880_320, bandwidth=4_814_000_000_000)
A100 = Gpu(
    description="NVIDIA A100-SXM4-80GB",
    capability=(8, 0),
    cores=108,
    fpus_per_core=64,
    memory=84_974_239_744,
    bandwidth=2_039_000_000_000,
    clock=1.41,
    l2_cache=41_943_040,
    shared_memory_per_core=167_936,
    shared_memory_per_block=166_912,
)
GPUS = {"h100": H100, "h200": H200, "a100": A100}


def choose_machine(topology: str | None) -> Machine:
    """Return the machine of `--topology`, or the devices at hand."""
    return absent_machine(topology) if topology else machine_at_hand()


def machine_at_hand() -> Machine:
    """Return the devices of this job, with the memory that programs may use.

    All processes of the job call it together, and get the least memory of them all.
    """
    devices = jax.devices()
    local = jax.local_devices()[0]
    stats = local.memory_stats() or {}
    memory = stats.get("bytes_limit")
    if memory is None and local.platform == "cpu":
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = total // jax.local_device_count()
    if memory is not None and jax.process_count() > 1:
        memory = int(np.min(multihost_utils.process_allgather(np.float64(memory))))
    return Machine(devices[0].device_kind, tuple(devices), memory)


def absent_machine(topology: str) -> Machine:
    """Return a machine that is not here, to compile for.

    Call it before anything asks for a device: it sets what the compilers read when they start.

    Args:
        topology: "KIND:SHAPE" of a TPU slice, as libtpu names it ("v5e:2x4", "v4:2x2x1"), or
            "KIND:COUNT" of GPUs ("h100:1", "h200:8", "a100:16"), 8 to a node.

    Raises:
        ConfigError: no such topology, or the compiler for it is not installed.
    """
    kind, _, shape = topology.lower().partition(":")
    if kind in GPUS and shape.isdecimal() and int(shape) > 0:
        return _gpu_machine(topology, GPUS[kind], int(shape))
    if re.fullmatch(r"v\d+[a-z]*:\d+(x\d+)+", topology.lower()):
        return _tpu_machine(topology.lower())
    raise ConfigError(
        f"--topology {topology!r} is not a machine",
        "KIND:SHAPE of a TPU slice, such as v5e:2x4 or v4:2x2x1, or KIND:COUNT of GPUs, such as"
        f" {', '.join(f'{name}:8' for name in GPUS)}",
        "pass one of these",
    )


def _tpu_machine(topology: str) -> Machine:
    """Return a TPU slice; its memory is what the compiler says when it is exceeded."""
    settings = {
        "TPU_SKIP_MDS_QUERY": "1",  # ask no metadata server what machine this is
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # several processes may compile at once
        "TPU_STDERR_LOG_LEVEL": "3",
        "TPU_MIN_LOG_LEVEL": "3",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_HOST_BOUNDS": "1,1,1",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    kind, shape = topology.split(":")
    options: dict[str, Any] = {}
    if kind == "v4":
        options["chip_config_name"] = "megacore"  # two cores are one device, as JAX shows them
    bounds = [min(2, int(size)) for size in shape.split("x")[:2]]
    if 1 in bounds:  # a part of a host
        options["chips_per_host_bounds"] = (*bounds, 1)
    try:
        devices = topologies.get_topology_desc(topology, platform="tpu", **options).devices
    except Exception as error:
        raise _no_compiler(topology, "libtpu", 'pip install "jax[tpu]"', error) from None
    return Machine(topology, tuple(devices), _tpu_memory(devices[0]), is_absent=True)


def _tpu_memory(device: jax.Device) -> int | None:
    """Return the bytes of a TPU that programs may use, by asking for too many."""
    sharding = NamedSharding(Mesh(np.array([device]), ("data",)), PartitionSpec())
    too_large = jax.ShapeDtypeStruct((1 << 40,), jnp.float32, sharding=sharding)
    try:
        jax.jit(lambda x: x + 1).lower(too_large).compile()
    except jax.errors.JaxRuntimeError as error:
        if refusal := parse_refusal(str(error)):
            return refusal.available
    return None


class Refusal(NamedTuple):
    """Why a compiler refused a program."""

    needed: int
    """Bytes."""
    available: int
    """Bytes."""
    has_arguments: bool
    """True if what is needed includes the program's arguments."""


def parse_refusal(message: str) -> Refusal | None:
    """Read how much memory a program needs, if the compiler's message says that it is too much."""
    size = r"([\d.]+)([KMGT]?)B?"
    patterns = {
        rf"\({size}\) exceeds available HBM \({size}\)": False,
        rf"Used {size} of {size} hbm": True,
    }
    for pattern, has_arguments in patterns.items():
        if match := re.search(pattern, message):
            needed, unit, available, other_unit = match.groups()
            return Refusal(
                int(float(needed) * UNITS[unit]),
                int(float(available) * UNITS[other_unit]),
                has_arguments,
            )
    return None


def _gpu_machine(topology: str, gpu: Gpu, count: int) -> Machine:
    nodes = -(-count // GPUS_PER_NODE)
    if count > GPUS_PER_NODE and count % GPUS_PER_NODE:
        raise ConfigError(
            f"--topology {topology!r}: {count} GPUs do not fill nodes of {GPUS_PER_NODE}",
            f"up to {GPUS_PER_NODE}, or a multiple of it",
            "pass another number",
        )
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")  # there is no driver to check
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_gpu_autotune_level" not in flags:  # kernels cannot be timed on an absent device
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_autotune_level=0".strip()
    shape = f"1x{nodes}x{count // nodes}"
    try:
        devices = topologies.get_topology_desc(
            "", platform="cuda", target_config=_target_config(gpu), topology=shape
        ).devices
    except Exception as error:
        install = 'pip install "jax[cuda12]"'
        raise _no_compiler(topology, "JAX's CUDA plugin", install, error) from None
    share = float(os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.75"))
    return Machine(topology, tuple(devices), int(gpu.memory * share), is_absent=True)


def _target_config(gpu: Gpu) -> str:
    """Return XLA's GpuTargetConfigProto of a GPU, as text."""
    major, minor = gpu.capability
    return f"""
        gpu_device_info {{
            threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
            shared_memory_per_block: 49152 shared_memory_per_core: {gpu.shared_memory_per_core}
            shared_memory_per_block_optin: {gpu.shared_memory_per_block}
            core_count: {gpu.cores} fpus_per_core: {gpu.fpus_per_core}
            block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
            memory_bandwidth: {gpu.bandwidth} l2_cache_size: {gpu.l2_cache}
            clock_rate_ghz: {gpu.clock} device_memory_size: {gpu.memory}
            cuda_compute_capability {{ major: {major} minor: {minor} }}
            registers_per_core_limit: 65536 registers_per_block_limit: 65536
        }}
        platform_name: "CUDA"
        dnn_version_info {{ major: 9 minor: 10 }}
        runtime_version {{ major: 12 minor: 9 patch: 0 }}
        device_description_str: "{gpu.description}"
    """


def _no_compiler(topology: str, package: str, install: str, error: Exception) -> ConfigError:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return ConfigError(
        f"cannot compile for {topology}: {reason}",
        f"a topology that {package} knows, and {package} installed",
        f"check the name; install it with {install}",
    )
