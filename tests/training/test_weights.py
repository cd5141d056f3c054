"""Strangers' files of weights: which are read, how they are matched with a network, what is said of the others."""

import argparse
import io
import logging
import os
import pickle
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.training import weightfiles, weights
from bench.training.weightfiles import WeightsError


class Net(nn.Module):
    """Two layers with batch normalisation between them; a whole one may be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(1)
    return Net()


def fresh() -> Net:
    torch.manual_seed(2)
    return Net()


def same(one: nn.Module, other: nn.Module) -> bool:
    x = torch.rand(5, 4)
    return torch.equal(one.eval()(x), other.eval()(x))


def said(call: Callable[[], object]) -> str:
    with pytest.raises(WeightsError) as caught:
        call()
    (line,) = str(caught.value).splitlines()
    return line


def test_every_container_of_a_state_dict_gives_the_same_tensors_and_the_same_hash(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = net.state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "zip.pt")
    torch.save(state, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    for name in weightfiles.KNOWN:
        torch.save(
            {"epoch": 3, "acc": torch.tensor(0.5), name: state, "optimizer": {"state": {0: state}}},
            tmp_path / f"{name}.bin",
        )
    torch.save({**state, "epoch": 3}, tmp_path / "flat.pt")
    # saved where there was a GPU
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(state, tmp_path / "cuda.pt")
        torch.save(state, tmp_path / "cuda.pth", _use_new_zipfile_serialization=False)
    for path in tmp_path.iterdir():
        found = fresh()
        weights.load_into(found, weightfiles.read(path))
        assert same(found, net), path.name


def test_key_picks_where_several_look_alike(net: Net, tmp_path: Path) -> None:
    path, old = tmp_path / "a.pt", fresh().state_dict()
    torch.save({"model": old, "ema": {"v.1": {"shadow": net.state_dict()}}}, path)
    line = said(lambda: weightfiles.read(path))
    assert (
        line == f"{path}: its dict doesn't say which tensors are meant; say it by key: model, ema.v.1.shadow"
    )
    found = fresh()
    weights.load_into(found, weightfiles.read(path, "ema.v.1.shadow"))
    assert same(found, net)
    assert said(lambda: weightfiles.read(path, "emma")) == (
        f"{path}: no tensors at key emma; allowed: model, ema.v.1.shadow"
    )
    # a single one under a name that nobody has agreed on
    torch.save({"ema": old}, path)
    assert said(lambda: weightfiles.read(path)).endswith("say it by key: ema")
    # of a file of tensors there is nothing to pick
    torch.save(old, path)
    assert "allowed: none" in said(lambda: weightfiles.read(path, "model"))


@pytest.mark.parametrize(
    ("kind", "legacy"),
    [(k, False) for k in ("module", "namespace", "scalar", "optimizer", "script", "pickle", "arrays")]
    + [("module", True), ("namespace", True), ("protocol", False)],
)
def test_a_file_of_other_objects_is_said_with_a_command_that_extracts_its_tensors(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, legacy: bool
) -> None:
    path = tmp_path / "their weights' file.pt"
    adam = torch.optim.Adam(net.parameters())
    net(torch.rand(5, 4)).sum().backward()
    adam.step()
    state = net.state_dict()
    held = {
        "module": nn.Sequential(nn.Linear(4, 3)),
        "namespace": {"state_dict": state, "args": argparse.Namespace(lr=0.1)},
        "scalar": {"state_dict": state, "acc": np.float64(0.9)},
        "optimizer": {"state_dict": state, "optimizer": adam},
        "script": None,
        "protocol": state,
        "pickle": {"state_dict": state},
        "arrays": {"state_dict": {n: t.numpy() for n, t in state.items()}, "args": argparse.Namespace()},
    }[kind]
    if kind == "script":
        torch.jit.script(net).save(path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(held))
    else:
        torch.save(
            held,
            path,
            _use_new_zipfile_serialization=not legacy,
            pickle_protocol=4 if kind == "protocol" else 2,
        )
    line = said(lambda: weightfiles.read(path))
    assert line.startswith(f"{path}: holds other objects than tensors (")
    _, _, command = line.partition(", by: ")
    if kind == "arrays":
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(command, shell=True, check=True, env=environment, executable="/bin/bash")
    else:
        # without the second that it takes to import PyTorch
        _, _, source, *arguments = shlex.split(command)
        monkeypatch.setattr(sys, "argv", ["-c", *arguments])
        exec(source, {})
    found = weightfiles.read(tmp_path / "their weights' file.tensors.pt")
    expected = nn.Sequential(held[0]).state_dict() if kind == "module" else state
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[n], expected[n]) for n in expected)


def test_whatever_is_no_file_of_weights_is_said_in_one_line(net: Net, tmp_path: Path) -> None:
    def of(name: str, content: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        return said(lambda: weightfiles.read(path)).removeprefix(f"{path}: ")

    buffer, old, archive = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(net.state_dict(), buffer)
    torch.save(net.state_dict(), old, _use_new_zipfile_serialization=False)
    save_file(net.state_dict(), tmp_path / "whole.safetensors")
    tensors = (tmp_path / "whole.safetensors").read_bytes()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("model.pt", buffer.getvalue())
    cut = "cut short; fetch it again"
    assert of("a.pt", buffer.getvalue()[:-10]) == cut
    assert of("a.pt", buffer.getvalue()[:3]) == cut
    assert of("a.pt", old.getvalue()[:-10]) == cut
    assert of("a.pt", old.getvalue()[:10]) == cut
    assert of("a.safetensors", tensors[:-3]) == cut
    assert of("a.safetensors", tensors[:20]) == cut
    assert of("a.safetensors", tensors[:9] + b"}" + tensors[10:]).startswith("damaged; fetch it again (")
    assert of("a.pt", old.getvalue()[:120] + b"\xff" * 30 + old.getvalue()[150:]).startswith(
        "damaged; fetch it again ("
    )
    assert of("a.pt", b"") == "empty; fetch it again"
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"
    assert of("a.pt", lfs) == "a pointer of Git LFS, not the file; fetch it by: git lfs pull"
    assert (
        of("a.pt", b"\n<!DOCTYPE html><html>") == "a web page, not weights; fetch the file that it speaks of"
    )
    assert of("a.pt", b"Not found\n") == "text, not weights (Not found)"
    assert of("a.json", b'{"weights": "a.pt", "x": 1}') == 'text, not weights ({"weights": "a.pt", "x": 1})'
    assert of("a.pt", archive.getvalue()).startswith("a zip archive, not torch.save's")
    assert of("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(99)).startswith(
        "neither safetensors nor written by torch.save"
    )
    for value, words in (
        ([1], "holds list, expected"),
        ({"a": torch.eye(2).to_sparse()}, "a is sparse, quantized or empty"),
        ({"epoch": 1}, "holds no tensors by name"),
        ({}, "holds no"),
    ):
        torch.save(value, tmp_path / "b.pt")
        assert words in said(lambda: weightfiles.read(tmp_path / "b.pt"))
    assert said(lambda: weightfiles.read(tmp_path / "c.pt")) == f"{tmp_path / 'c.pt'}: no such file"
    assert said(lambda: weightfiles.read(tmp_path)).startswith(
        f"{tmp_path}: a folder; name a file in it: a.pt, "
    )
    os.mkfifo(tmp_path / "pipe")
    assert said(lambda: weightfiles.read(tmp_path / "pipe")).endswith("not a file")


@pytest.mark.parametrize("wrap", ["module.{}", "_orig_mod.{}", "module._orig_mod.{}", "{}.module.{}"])
def test_wrappers_in_names_are_passed_over_both_ways(net: Net, wrap: str) -> None:
    parts = {name: name.split(".", 1) for name in net.state_dict()}
    state = {
        wrap.format(*(parts[n] if wrap.startswith("{}.") else [n])): t for n, t in net.state_dict().items()
    }
    found = fresh()
    weights.load_into(found, state)
    assert same(found, net)
    wrapped = nn.DataParallel(fresh())
    weights.load_into(wrapped, state)
    assert same(wrapped.module, net)
    # a network may have a module of that name itself
    inner = nn.ModuleDict({"module": fresh()})
    weights.load_into(inner, net.state_dict())
    assert same(inner["module"], net)


def test_prefix_takes_what_begins_with_it_and_says_how_much_is_left_out(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    state = {f"backbone.{n}": t for n, t in net.state_dict().items()} | {"extra.weight": torch.ones(1)}
    line = said(lambda: weights.load_into(fresh(), state, name="r.pt"))
    assert line == (
        "r.pt: Net finds no tensor for 8 (body.0.weight, body.0.bias, body.1.weight, ...) and has no place for 10 "
        "(backbone.body.0.weight, backbone.body.0.bias, backbone.body.1.weight, ...); it would fit with "
        "prefix: backbone."
    )
    for prefix in ("backbone.", "backbone"):
        found = fresh()
        with caplog.at_level(logging.WARNING, "bench"):
            weights.load_into(found, state, prefix, "r.pt")
        assert same(found, net)
    assert caplog.messages[0] == "r.pt: 1 tensors without prefix backbone. left out"
    assert said(lambda: weights.load_into(fresh(), state, "back_bone", "r.pt")) == (
        "r.pt: no name begins with prefix back_bone; allowed: backbone., extra."
    )
    # and where it is the network that has more in front
    line = said(lambda: weights.load_into(nn.ModuleDict({"net": fresh()}), net.state_dict()))
    assert line.endswith("it would fit with weights: {net: FILE}")


def test_names_too_many_or_too_few_and_other_shapes_kinds_and_values_are_named(net: Net) -> None:
    def of(**changes: torch.Tensor | None) -> str:
        state: dict[str, torch.Tensor | None] = dict(net.state_dict())
        state |= {n.replace("_", "."): t for n, t in changes.items()}
        kept = {n: t for n, t in state.items() if t is not None}
        return said(lambda: weights.load_into(fresh(), kept, name="r.pt"))

    assert of(head_bias=None) == "r.pt: Net finds no tensor for 1 (head.bias)"
    assert of(aux_bias=torch.ones(2)) == "r.pt: Net has no place for 1 (aux.bias)"
    assert of(module_head_bias=torch.ones(2)) == "r.pt: Net has no place for 1 (module.head.bias)"
    assert of(head_bias=torch.ones(10)) == "r.pt: head.bias is of shape (10,), the network's of (2,)"
    assert of(head_bias=torch.ones(10), head_weight=torch.ones(10, 3)) == (
        "r.pt: head.weight is of shape (10, 3), the network's of (2, 3) (and 1 more)"
    )
    assert of(head_bias=torch.ones(2).int()).startswith(
        "r.pt: head.bias is of torch.int32, the network's of torch.float32"
    )
    assert of(head_bias=torch.tensor([1, torch.nan])) == "r.pt: head.bias is not finite; name another file"
    # a float of 64 bits may be more than one of 32 holds
    assert of(head_bias=torch.tensor([1, 1e300], dtype=torch.float64)).startswith(
        "r.pt: head.bias is not finite"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_converted_to_the_networks(
    net: Net, dtype: torch.dtype, tmp_path: Path
) -> None:
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in net.state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    found = fresh()
    weights.load_into(found, weightfiles.read(tmp_path / "a.pt"))
    assert found.head.weight.dtype == torch.float32
    assert torch.equal(found.head.weight, net.head.weight.to(dtype).float())


def test_what_may_be_missing_infinite_or_without_size(net: Net) -> None:
    state = net.state_dict()
    del state["body.1.num_batches_tracked"]
    found = fresh()
    weights.load_into(found, state)
    assert same(found, net)
    # one tensor under two names, of which safetensors keeps one
    tied = fresh()
    tied.again = tied.head
    weights.load_into(tied, net.state_dict())
    assert torch.equal(tied.again.weight, net.head.weight)
    # a mask that holds infinities from the start
    masked = fresh()
    masked.register_buffer("mask", torch.full((2,), -torch.inf))
    weights.load_into(masked, {**net.state_dict(), "mask": torch.tensor([0.0, -torch.inf])})
    assert masked.mask.tolist() == [0.0, -torch.inf]
    lazy = nn.Sequential(nn.LazyLinear(3))
    weights.load_into(lazy, nn.Sequential(net.body[0]).state_dict())
    x = torch.rand(2, 4)
    assert torch.equal(lazy(x), net.body[0](x))


def test_several_files_go_into_a_submodule_each(net: Net, tmp_path: Path) -> None:
    several = nn.ModuleDict({"nets": nn.ModuleList([fresh(), fresh()])})
    files = {f"nets.{i}": tmp_path / f"{i}.pt" for i in range(2)}
    torch.save({"model": net.state_dict()}, files["nets.0"])
    torch.save(fresh().state_dict(), files["nets.1"])
    weights.load_several(several, files)
    assert same(several["nets"][0], net)
    assert same(several["nets"][1], fresh())
    assert said(lambda: weights.load_several(several, {**files, "net.0": tmp_path / "a.pt"})).startswith(
        "weights: ModuleDict has no submodule net.0; allowed: nets.0"
    )
    assert said(lambda: weights.load_several(several, {"nets.0": files["nets.0"]})) == (
        "weights: no file for nets.1.body.0, nets.1.body.1, nets.1.head of ModuleDict; name one for each"
    )
    assert said(lambda: weights.load_several(several, {**files, "nets": tmp_path / "a.pt"})).startswith(
        "weights: nets.0 is inside nets"
    )
    torch.save({"head.bias": torch.ones(2)}, files["nets.1"])
    assert said(lambda: weights.load_several(several, files)).startswith(
        f"{files['nets.1']}: Net finds no tensor for "
    )
