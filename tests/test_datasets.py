import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from bench import datasets
from bench.datasets import DataError

SPLITS = (("train", 30), ("t10k", 12))


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
    assert plain.x_train.shape == (30, 1, 8, 8)
    assert plain.x_train.max() <= 1


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
    import hashlib

    path = idx_folder / "train-images-idx3-ubyte"
    content = path.read_bytes()
    sums = {path.name: hashlib.sha256(content).hexdigest()}
    path.unlink()
    for level in (1, 9):
        (idx_folder / f"{path.name}.gz").write_bytes(gzip.compress(content, level))
        assert len(load_idx(idx_folder, sha256=sums).x_train) == 30
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
        md5 = {"train-images-idx3-ubyte": "0" * 32}
        with pytest.raises(DataError, match="did not serve it"):
            datasets.load(
                datasets.idx, idx_folder, {"folder": "other", "urls": [address], "download_md5": md5}, None
            )
        server.shutdown()
    assert fetched.fingerprint == before.fingerprint
    # and now it is there
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
    assert data.x_train[0, 1, 2, 3] == np.float32(first[1 + 1024 + 2 * 32 + 3]) / np.float32(255)

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
        (good._replace(x_train=good.x_train * 2), "x_train: expected uint8, or floats in"),
        (good._replace(x_test=good.x_test * np.float32("nan")), "x_test: expected uint8, or floats in"),
        (good._replace(y_test=good.y_test[:-1]), "500 test images but 499 test labels"),
        (good._replace(y_train=good.y_train / 1), "y_train: expected classes"),
        (good._replace(x_train=good.x_train[:, 0]), "x_train: expected a filled array of 4"),
        (good._replace(x_test=good.x_test[..., :4]), "train images are"),
    ):
        with pytest.raises(DataError, match=words):
            datasets.load(lambda data_dir, broken=broken: broken, Path(), {}, None)
    with pytest.raises(DataError, match="train_size: expected 1 to 1297"):
        datasets.load(lambda data_dir: good, Path(), {}, 5000)
