"""Addresses in object stores: which are known, and where their copies are."""

import importlib
import sys
from pathlib import Path

import pytest

from bert_jax.errors import ConfigError
from bert_jax.remote.addresses import WRITTEN, address, as_path, cache_folder, local_path


@pytest.mark.parametrize("name", ["runs", "/a/b", "a:b", "tfds:glue/sst2", "c:/x", "./gs:/x", "-"])
def test_a_path_is_a_path(name):
    assert as_path(name) == local_path(name) == Path(name)
    assert address(as_path(name)) == str(Path(name))


def test_a_copy_leads_back_to_its_address(monkeypatch, tmp_path):
    monkeypatch.setenv("BERT_JAX_CACHE", str(tmp_path))
    assert as_path("memory://bucket//runs/x/") == tmp_path / "read/memory/bucket/runs/x"
    run = as_path("memory://bucket/runs", WRITTEN) / "x"
    assert run == tmp_path / "written/memory/bucket/runs/x"
    assert address(run) == address(as_path(address(run))) == "memory://bucket/runs/x"
    assert address(tmp_path / "read") == str(tmp_path / "read")


def test_the_cache_is_in_the_home_unless_a_variable_says_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("BERT_JAX_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "bert_jax"


@pytest.mark.parametrize("name", ["xyz://b/x", "file:///tmp/x", "simplecache::gs://b/x", "xyz:/b"])
def test_an_unknown_scheme_is_refused(name):
    with pytest.raises(ConfigError, match="unknown scheme"):
        as_path(name)


@pytest.mark.parametrize(
    "name", [Path("memory://b/x"), "memory://", "memory://b/../x", "memory:/b"]
)
def test_what_is_no_whole_address_is_refused(name):
    with pytest.raises(ConfigError, match="is no address"):
        as_path(name)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    classes = importlib.import_module("fsspec.registry")._registry
    monkeypatch.delitem(classes, "gs", raising=False)  # of another test
    with pytest.raises(ConfigError, match=r'pip install "bert_jax\[gcs\]"'):
        as_path("gs://bucket/x")


def test_an_address_is_refused_where_only_paths_are_possible():
    for name in ("gs://b/x", "xyz://b", "gs:/b/x"):
        with pytest.raises(ConfigError, match="a path of this machine"):
            local_path(name)
