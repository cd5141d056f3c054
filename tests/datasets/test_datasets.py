import gzip
import hashlib
import io
import logging
import os
import struct
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import datasets
from bench.datasets import DataError
from bench.defended import Defended
from bench.measuring import passes
from bench.training import fit as training

SPLITS = (("train", 40), ("t10k", 12))


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    """Real digits as the four IDX files of the MNIST family."""
    digits = datasets.digits(tmp_path)
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for split, count in SPLITS:
        images = (digits.x_train[:count, 0] * 255).astype(np.uint8)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(
            idx_bytes(digits.y_train[:count].astype(np.uint8))
        )
    return folder


def load_idx(folder: Path, **options: object) -> datasets.Dataset:
    return datasets.load(datasets.idx, folder.parent.parent, {"folder": "MNIST/raw", **options}, None)


def test_digits_are_the_real_ones_split_without_overlap() -> None:
    data = datasets.load(datasets.digits, Path(), {}, None)
    assert data.x_train.shape == (1297, 1, 8, 8)
    assert data.x_test.shape == (500, 1, 8, 8)
    assert data.x_train.dtype == np.float32
    assert data.x_train.min() == 0
    assert data.x_train.max() == 1
    assert data.classes == 10
    # 1,797 images are all different, so none may be on both sides
    assert len({image.tobytes() for image in (*data.x_train, *data.x_test)}) == 1797
    assert set(np.unique(data.y_test)) == set(range(10))


def test_idx_reads_plain_and_gzip_alike(idx_folder: Path) -> None:
    plain = load_idx(idx_folder)
    for path in list(idx_folder.iterdir()):
        (idx_folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    zipped = load_idx(idx_folder)
    assert zipped.fingerprint == plain.fingerprint
    assert np.array_equal(zipped.x_train, plain.x_train)
    assert plain.x_train.shape == (40, 1, 8, 8)
    assert datasets.unit(plain.x_train).max() == 1


def test_fingerprint_sees_one_changed_pixel_and_another_split(idx_folder: Path) -> None:
    before = load_idx(idx_folder)
    part = datasets.load(datasets.idx, idx_folder.parent.parent, {"folder": "MNIST/raw"}, 20)
    assert len(part.x_train) == 20
    assert part.fingerprint != before.fingerprint
    path = idx_folder / "train-images-idx3-ubyte"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert load_idx(idx_folder).fingerprint != before.fingerprint


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def test_damaged_idx_files_are_refused_by_name(idx_folder: Path) -> None:
    images, labels = idx_folder / "train-images-idx3-ubyte", idx_folder / "t10k-labels-idx1-ubyte"
    whole = images.read_bytes()
    cases = [
        (images, truncate(whole), "truncated"),
        (images, b"", "not an IDX file of images"),
        (images, labels.read_bytes(), "not an IDX file of images"),
        (labels, whole, "not an IDX file of labels"),
        (labels, idx_bytes(np.full(12, 11, np.uint8)), "label 11 found"),
        (labels, idx_bytes(np.zeros(11, np.uint8)), "11 labels for 12 images"),
    ]
    for path, content, words in cases:
        before = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(DataError, match=words) as refused:
            load_idx(idx_folder)
        assert path.name in str(refused.value)
        assert "\n" not in str(refused.value)
        path.write_bytes(before)
    assert load_idx(idx_folder).classes == 10


def test_damaged_gzip_file_is_refused(idx_folder: Path) -> None:
    path = idx_folder / "train-images-idx3-ubyte"
    zipped = bytearray(gzip.compress(path.read_bytes()))
    path.unlink()
    target = idx_folder / "train-images-idx3-ubyte.gz"
    for damaged in (
        zipped[:-20],
        zipped[:100] + bytes([zipped[100] ^ 255]) + zipped[101:],
        b"not gzip at all",
    ):
        target.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged gzip file") as refused:
            load_idx(idx_folder)
        assert target.name in str(refused.value)


def test_checksum_is_of_the_content_whatever_the_compression(idx_folder: Path) -> None:
    path = idx_folder / "train-images-idx3-ubyte"
    content = path.read_bytes()
    sums = {path.name: hashlib.sha256(content).hexdigest()}
    path.unlink()
    for level in (1, 9):
        (idx_folder / f"{path.name}.gz").write_bytes(gzip.compress(content, level))
        assert len(load_idx(idx_folder, sha256=sums).x_train) == 40
    changed = content[:-1] + bytes([content[-1] ^ 1])
    (idx_folder / f"{path.name}.gz").write_bytes(gzip.compress(changed))
    with pytest.raises(DataError, match="content differs"):
        load_idx(idx_folder, sha256=sums)


def test_missing_file_is_fetched_from_its_address(
    idx_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import functools
    import http.server
    import threading

    served = tmp_path_factory.mktemp("served")
    for path in list(idx_folder.iterdir()):
        (served / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    before = load_idx(idx_folder)
    for path in list(idx_folder.iterdir()):
        path.unlink()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        # the first address doesn't have it, so that the second is asked
        fetched = load_idx(idx_folder, urls=[f"{address}nothing/", address])
        with pytest.raises(DataError, match="did not serve it"):
            datasets.load(
                datasets.idx, idx_folder, {"folder": "elsewhere", "urls": [f"{address}nothing/"]}, None
            )
        wrong = {"train-images-idx3-ubyte": "0" * 64}
        with pytest.raises(DataError, match="is not the published file"):
            datasets.load(
                datasets.idx,
                idx_folder,
                {"folder": "other", "urls": [address], "download_sha256": wrong},
                None,
            )
        server.shutdown()
    assert fetched.fingerprint == before.fingerprint
    assert not list((idx_folder / "other").iterdir())
    # and now it is there, readable for whom the umask says
    umask = os.umask(0)
    os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in idx_folder.glob("*.gz")} == {0o666 & ~umask}
    assert load_idx(idx_folder).fingerprint == before.fingerprint


def test_missing_file_without_an_address_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="BENCH_DATA_DIR") as refused:
        load_idx(tmp_path / "MNIST" / "raw")
    assert "train-images-idx3-ubyte" in str(refused.value)


def cifar_file(path: Path, seed: int, count: int = 20) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, (count, 1), dtype=np.uint8)
    pixels = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    path.write_bytes(np.concatenate([labels, pixels], 1).tobytes())


def test_cifar10_binary_layout(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for i, name in enumerate(datasets.CIFAR10_FILES):
        cifar_file(folder / f"{name}.bin", i)
    data = datasets.load(datasets.cifar10, tmp_path, {"images_per_file": 20}, None)
    assert data.x_train.shape == (100, 3, 32, 32)
    assert data.x_test.shape == (20, 3, 32, 32)
    first = (folder / "data_batch_1.bin").read_bytes()
    assert data.y_train[0] == first[0]
    # red, green and blue planes, row by row
    assert data.x_train[0, 1, 2, 3] == first[1 + 1024 + 2 * 32 + 3]
    assert data.x_test[0].tobytes() == (folder / "test_batch.bin").read_bytes()[1:3073]

    target = folder / "data_batch_3.bin"
    whole = target.read_bytes()
    for damaged, words in ((whole[:-1], "truncated"), (b"\x0a" + whole[1:], "label 10 found")):
        target.write_bytes(damaged)
        with pytest.raises(DataError, match=words) as refused:
            datasets.load(datasets.cifar10, tmp_path, {"images_per_file": 20}, None)
        assert "data_batch_3.bin" in str(refused.value)
    target.unlink()
    with pytest.raises(DataError, match="data_batch_3.bin: missing"):
        datasets.load(datasets.cifar10, tmp_path, {"images_per_file": 20}, None)


def test_a_loader_of_ones_own_is_checked() -> None:
    good = datasets.digits(Path())
    own = datasets.load(lambda data_dir: good, Path(), {}, 10)
    assert len(own.x_train) == 10
    for broken, words in (
        (
            good._replace(x_train=good.x_train * 2),
            "x_train: expected uint8 in 0 to 255, or floats in .* from 0 to 2",
        ),
        (
            good._replace(x_test=good.x_test * np.float32("nan")),
            "x_test: .* found 32000 values that are not finite",
        ),
        (good._replace(y_test=good.y_test[:-1]), "500 test images but 499 test labels"),
        (good._replace(y_train=good.y_train / 1), "y_train: expected classes"),
        (
            good._replace(x_train=good.x_train[:, 0]),
            "x_train: expected images of shape .n, channels, height, width",
        ),
        (good._replace(x_test=good.x_test[..., :4]), "train images are"),
    ):
        with pytest.raises(DataError, match=words):
            datasets.load(lambda data_dir, broken=broken: broken, Path(), {}, None)
    with pytest.raises(DataError, match="train_size: expected 1 to 1297"):
        datasets.load(lambda data_dir: good, Path(), {}, 5000)


GOOD = datasets.digits(Path())
GREY = GOOD._replace(
    x_train=(GOOD.x_train * 255).astype(np.uint8), x_test=(GOOD.x_test * 255).astype(np.uint8)
)
Images = Callable[[np.ndarray], object]


def load_own(returned: object, train_size: int | None = None, **labels: str) -> datasets.Dataset:
    return datasets.load(lambda data_dir: returned, Path(), {}, train_size, **labels)  # type: ignore[arg-type, return-value]


def on_images(change: Images) -> tuple[object, ...]:
    return change(GOOD.x_train), GOOD.y_train, change(GOOD.x_test), GOOD.y_test


def on_grey(change: Images) -> tuple[object, ...]:
    return change(GREY.x_train), GREY.y_train, change(GREY.x_test), GREY.y_test


def on_labels(change: Images) -> tuple[object, ...]:
    return GOOD.x_train, change(GOOD.y_train), GOOD.x_test, change(GOOD.y_test)


def refused(returned: object, train_size: int | None = None, **labels: str) -> str:
    with pytest.raises(DataError) as error:
        load_own(returned, train_size, **labels)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: (x > 0.5).astype(np.uint8), "found uint8 from 0 to 1, which would be divided by 255"),
        (lambda x: x / 255, "float32 from 0 to 0.00392156886, which looks like divided by 255 twice"),
        (lambda x: x * 0, "expected uint8 in 0 to 255, or floats in [0, 1], found float32 from 0 to 0"),
        (lambda x: x * 0 + 1, "every value is 1"),
        (lambda x: x * 255, "expected uint8 in 0 to 255, or floats in [0, 1], found float32 from 0 to 255"),
        (lambda x: (x * 255).astype(np.int64), "found int64 from 0 to 255"),
        (lambda x: (x - 0.5) / 0.5, "found float32 from -1 to 1"),
        (lambda x: x.astype(np.float64) * 1.00001, "found float64 from 0 to 1.00001"),
        (lambda x: np.where(x == x[0, 0, 0, 2], np.inf, x), "not finite, the others from 0 to 1"),
        (lambda x: x.transpose(0, 2, 3, 1), "expected (n, channels, height, width): transpose(0, 3, 1, 2)"),
        (lambda x: np.repeat(x.transpose(0, 2, 3, 1), 3, 3), "expected (n, channels, height, width)"),
        (lambda x: np.repeat(x.transpose(0, 2, 3, 1), 4, 3), "expected (n, channels, height, width)"),
        (lambda x: x[:, 0], "expected images of shape (n, channels, height, width)"),
        (lambda x: x > 0.5, "found bool of true and false"),
        (lambda x: x.astype(str), "not of numbers"),
        (lambda x: np.ma.masked_less(x, 0.1), "a masked array"),
        (lambda x: [[1.0], [1.0, 2.0]], "not an array"),
    ],
)  # fmt: skip
def test_images_of_another_scale_or_order_are_refused_with_what_was_found(change: Images, words: str) -> None:
    assert words in refused(on_images(change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y + 1, "found 10 classes, from 1 to 10: class 0 never occurs"),
        (lambda y: np.where(y == 5, 50, y), "from 0 to 50: class 5, 10, 11, 12, 13, ... never occurs"),
        (lambda y: np.where(y == 5, 2**40, y), "class 5, 10, 11, 12, 13, ... never occurs"),
        (lambda y: y * 0, "expected at least two classes"),
        (lambda y: y - 1, "found 10 classes, from -1 to 8"),
        (lambda y: np.where(y > 4, 1, -1), "found 2 classes, from -1 to 1"),
        (lambda y: np.eye(10, dtype=np.int64)[y], "if one-hot, use labels.argmax(1)"),
        (lambda y: y[:, None], "got shape (1297, 1): use labels[:, 0]"),
        (lambda y: y.astype(np.float32), "expected classes as integers from 0, got float32 from 0 to 9"),
        (lambda y: y > 4, "got bool of true and false"),
    ],
)  # fmt: skip
def test_labels_that_are_not_classes_from_0_are_refused(change: Images, words: str) -> None:
    assert words in refused(on_labels(change))


def test_test_labels_must_be_classes_of_the_training_labels() -> None:
    nine = np.flatnonzero(GOOD.y_train < 9)
    words = refused((GOOD.x_train[nine], GOOD.y_train[nine], GOOD.x_test, GOOD.y_test))
    assert words == "y_test: expected classes of the training labels, 0 to 8, found class 9"


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, "returned NoneType; a loader returns (x_train, y_train, x_test, y_test)"),
        (GOOD[:3], "returned tuple of 3 (ndarray, ndarray, ndarray)"),
        ((GOOD[:2], GOOD[2:]), "returned tuple of 2 (tuple, tuple)"),
        ((GOOD.x_train, GOOD.x_test, GOOD.y_train, GOOD.y_test), "y_train, x_test, y_test), arrays or tensors, in this order"),
        ((*GOOD[:2], GOOD.x_test[:0], GOOD.y_test[:0]), "x_test: expected images"),
        (dict(zip("abcd", GOOD, strict=True)), "returned dict"),
    ],
)  # fmt: skip
def test_what_is_not_four_arrays_is_refused_with_what_a_loader_returns(returned: object, words: str) -> None:
    assert words in refused(returned)


@pytest.mark.parametrize(
    "change",
    [
        torch.from_numpy,
        lambda x: torch.from_numpy(x).double().requires_grad_(),
        lambda x: torch.from_numpy(x).bfloat16(),  # 17 grey levels are exact in all of these
        lambda x: x.tolist(),
        lambda x: x.astype(np.float16),
        lambda x: x.astype(np.float64),
        lambda x: x.astype(">f4"),
        lambda x: x[:, :, :, ::-1].copy()[:, :, :, ::-1],
        lambda x: np.asfortranarray(x),
    ],
)
def test_tensors_lists_and_other_layouts_are_the_same_images(change: Images) -> None:
    data = load_own(on_images(change))
    for got, expected in ((data.x_train, GOOD.x_train), (data.x_test, GOOD.x_test)):
        assert got.dtype == np.float32
        assert torch.equal(torch.from_numpy(got), torch.from_numpy(expected))


@pytest.mark.parametrize(
    "change", [torch.from_numpy, list, lambda y: y.astype(">i8"), lambda y: y.astype(np.uint8)]
)
def test_integer_labels_of_any_kind_are_the_same_classes(change: Images) -> None:
    data = load_own(on_labels(change))
    assert np.array_equal(data.y_train, GOOD.y_train)
    assert data.y_train.dtype == np.int64


def test_floats_over_1_by_rounding_alone_are_clipped() -> None:
    data = load_own(on_images(lambda x: x.astype(np.float64) * (1 + 1e-7)))
    assert data.x_train.max() == 1
    np.testing.assert_allclose(data.x_train, GOOD.x_train, rtol=2e-7)


def test_images_are_a_copy_so_that_nobody_changes_the_loaders_own() -> None:
    for given in (GOOD, GREY):
        data = load_own(given)
        assert not np.shares_memory(data.x_train, given.x_train)
        assert not np.shares_memory(data.x_test, given.x_test)


def test_the_fingerprint_of_digits_is_what_it_always_was() -> None:
    found = [datasets.load(datasets.digits, Path(), {}, size).fingerprint for size in (None, 256)]
    # of the first release; results are kept under keys that these are part of
    assert found == [
        "5cf3df7d478c090519ad16c2184d9d17de33f59fa7222e49d09caa7da7a2a576",
        "43c8443eea19f1c6192616fb264b638147df863a87d66e95e8e23aecfe1b8918",
    ]


def test_grey_levels_become_numbers_a_batch_at_a_time_the_same_for_arrays_and_tensors() -> None:
    levels = np.arange(256, dtype=np.uint8)
    expected = np.array([level / 255 for level in range(256)]).astype(np.float32)
    for found in (datasets.unit(levels), datasets.unit(torch.from_numpy(levels)).numpy()):
        assert found.dtype == np.float32
        assert np.array_equal(found, expected)
    assert levels.dtype == np.uint8
    # what is in [0, 1] already is
    assert datasets.unit(expected) is expected
    tensor = torch.from_numpy(expected)
    assert datasets.unit(tensor) is tensor

    data, floats = load_own(GREY), load_own(on_grey(lambda x: x / np.float32(255)))
    assert data.x_train.dtype == data.x_test.dtype == np.uint8
    assert data.x_test.nbytes == GREY.x_test.nbytes
    assert np.array_equal(datasets.unit(data.x_train), floats.x_train)
    # halves of two kinds could not stand in one batch
    mixed = load_own((GREY.x_train, GOOD.y_train, GOOD.x_test, GOOD.y_test))
    assert np.array_equal(mixed.x_train, floats.x_train)
    assert mixed.x_train.dtype == mixed.x_test.dtype == np.float32


def test_a_network_can_not_tell_grey_levels_from_the_floats_that_they_stand_for() -> None:
    class Spy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.dtype == torch.float32
            return x.flatten(1)[:, 16:48]

    images = torch.from_numpy(GREY.x_test[:10])
    assert torch.equal(
        passes.logits(Spy(), images, 4),
        torch.from_numpy(GREY.x_test[:10] / np.float32(255)).flatten(1)[:, 16:48],
    )

    plan = training.Plan(
        build=lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)),
        behind=Defended, way=training.Standard(), epochs=1, batch_size=64, learning_rate=1e-2, seed=0, settings={},
    )  # fmt: skip
    both = (load_own(GREY, 128), load_own(on_grey(lambda x: x / np.float32(255)), 128))
    weights = [training.fit(plan, data, torch.device("cpu")).state_dict()["1.weight"] for data in both]
    assert torch.equal(*weights)


def test_labels_of_a_given_networks_outputs_may_have_gaps() -> None:
    gaps = on_labels(lambda y: np.where(y == 5, 281, y))
    assert "never occurs" in refused(gaps)
    data = load_own(gaps, labels="outputs")
    assert data.classes == 282
    assert set(data.y_test) == {*range(10), 281} - {5}
    # what the labels mean is not of the arrays
    assert load_own(GOOD, labels="outputs").fingerprint == load_own(GOOD).fingerprint
    assert load_own(on_labels(lambda y: y * 0), labels="outputs").classes == 1
    assert (
        refused(on_labels(lambda y: y - 1), labels="outputs")
        == "y_train: expected classes from 0, found from -1 to 8"
    )
    assert "integers from 0, got float64" in refused(on_labels(lambda y: y / 1), labels="outputs")


def test_a_training_half_is_asked_for_only_where_a_network_is_trained() -> None:
    alone = (None, None, GREY.x_test, np.maximum(GREY.y_test, 1))
    data = load_own(alone, labels="outputs")
    assert data.x_train.shape == (0, 1, 8, 8)
    assert data.x_train.dtype == np.uint8
    assert len(data.y_train) == 0
    assert np.array_equal(data.x_test, GREY.x_test)
    assert data.classes == 10
    assert refused(alone) == (
        "the training half is missing (x_train, y_train), on which a network is trained; "
        "training=pretrained does without it"
    )
    assert refused(alone, 100, labels="outputs") == "train_size: there is no training half, got 100; use null"
    assert "x_train" in refused((None, *GOOD[1:]), labels="outputs")
    assert "x_test" in refused((None, None, None, None), labels="outputs")
    assert "x_test: expected images" in refused(
        (None, None, GOOD.x_test[:0], GOOD.y_test[:0]), labels="outputs"
    )
    changed = GREY.x_test.copy()
    changed[3, 0, 4, 4] ^= 1
    assert load_own((None, None, changed, alone[3]), labels="outputs").fingerprint != data.fingerprint


def test_dark_images_and_classes_out_of_training_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bench"):
        load_own(GOOD)
        assert not caplog.messages
        load_own(on_images(lambda x: (x * 16).astype(np.uint8)))
        assert caplog.messages == [
            f"{name}: uint8 from 0 to 16, at most 0.0627 of the full range" for name in ("x_train", "x_test")
        ]
        caplog.clear()
        load_own(GOOD, train_size=10)
    assert caplog.messages == ["train_size: none of the first 10 images is of class 0, 3, 4, 7, 8, ..."]


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no\nsuch file"), ValueError("x"), KeyError("x"), SystemExit(3)]
)
def test_an_error_in_a_loader_is_one_line_that_names_both(error: BaseException) -> None:
    def mine(data_dir: Path) -> datasets.Arrays:
        raise error

    with pytest.raises(DataError, match=f"loader .*mine raised {type(error).__name__}: ") as line:
        datasets.load(mine, Path(), {}, None)
    assert "\n" not in str(line.value)


def test_gzip_bomb_is_refused_in_the_memory_of_what_it_promises(idx_folder: Path) -> None:
    promised = idx_bytes(np.zeros((40, 8, 8), np.uint8))[:16]
    absurd = struct.pack(">4B3I", 0, 0, 8, 3, 60000, 60000, 60000)
    target = idx_folder / "train-images-idx3-ubyte.gz"
    (idx_folder / "train-images-idx3-ubyte").unlink()
    zeros = io.BytesIO()
    with gzip.GzipFile(fileobj=zeros, mode="wb") as file:
        for _ in range(200):
            file.write(bytes(2**20))
    rest = zeros.getvalue()
    assert len(rest) < 2**18
    for header, words in ((promised, "holds more than the 2560 bytes"), (absurd, "holds less than")):
        target.write_bytes(gzip.compress(header) + rest)  # gzip files may be joined
        tracemalloc.start()
        with pytest.raises(DataError, match=words):
            load_idx(idx_folder)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * 2**20


def test_plain_file_that_promises_more_than_it_holds_is_not_made_room_for(idx_folder: Path) -> None:
    target = idx_folder / "train-images-idx3-ubyte"
    target.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, 60000, 60000, 60000) + target.read_bytes()[16:])
    with pytest.raises(DataError, match="holds less than the 216000000000000 bytes"):
        load_idx(idx_folder)
    target.write_bytes(idx_bytes(np.zeros((0, 8, 8), np.uint8)))
    with pytest.raises(DataError, match="holds no images"):
        load_idx(idx_folder)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    import functools
    import http.server
    import threading

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz"
        server.shutdown()


def cifar_archive(path: Path, count: int = 20) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for i, name in enumerate(datasets.CIFAR10_FILES):
            cifar_file(path.parent / "part", i, count)
            tar.add(path.parent / "part", f"cifar-10-batches-bin/{name}.bin")
        tar.add(path.parent / "part", "../outside")
    (path.parent / "part").unlink()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_cifar10_archive_is_put_in_place_whole_and_checked_or_not_at_all(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    archive = tmp_path_factory.mktemp("served") / "cifar-10-binary.tar.gz"
    sha256 = cifar_archive(archive)
    with served(archive.parent) as url:
        options = {"images_per_file": 20, "url": url}
        for other, words in (
            ({"download_sha256": "0" * 64}, "is not the published file"),
            ({"images_per_file": 21}, "data_batch_1.bin holds 61460 bytes, expected 64533"),
        ):
            with pytest.raises(DataError, match=words):
                datasets.load(datasets.cifar10, tmp_path, {**options, **other}, None)
            assert not list(tmp_path.iterdir())
        data = datasets.load(datasets.cifar10, tmp_path, {**options, "download_sha256": sha256}, None)
    assert data.x_train.shape == (100, 3, 32, 32)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-batches-bin"]
    assert len(list((tmp_path / "cifar-10-batches-bin").iterdir())) == 6


def test_archive_that_is_cut_off_or_something_else_is_one_line(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    archive = tmp_path_factory.mktemp("served") / "cifar-10-binary.tar.gz"
    cifar_archive(archive)
    whole = archive.read_bytes()
    with served(archive.parent) as url:
        for content in (whole[: len(whole) // 2], b"<html>gone</html>", gzip.compress(b"no tar")):
            archive.write_bytes(content)
            with pytest.raises(DataError, match="not CIFAR-10's binary version") as error:
                datasets.load(datasets.cifar10, tmp_path, {"images_per_file": 20, "url": url}, None)
            assert "\n" not in str(error.value)
            assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("draw", [np.random.random, lambda: np.random.default_rng().random()])
def test_a_loader_that_draws_without_a_seed_is_noticed(draw: Callable[[], float]) -> None:
    def mine(data_dir: Path) -> datasets.Arrays:
        x_train = GOOD.x_train.copy()
        x_train[0, 0, 0, 0] = draw()
        return GOOD._replace(x_train=x_train)

    with pytest.raises(DataError, match="mine gives other data each time: let it seed what it draws"):
        datasets.load(mine, Path(), {}, None)
