"""CUHK03, MSMT17, Partial REID and Partial-iLIDS in their real layouts: small archives, and ones of the published size.

Names are made up; images are random (small archives) or hard links to a tiny one (archives of full size).
"""

import os
import pathlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import h5py
import numpy as np
import scipy.io
from PIL import Image

from tests import dataset_fixtures

# Fewer than any file system allows: ext4 has 65,000.
LINKS_A_FILE = 30_000

CUHK_KINDS = ("labeled", "detected")
# Pair and person -> images; people count from 1 in each pair. The person (1, 2) has a single image, (3, 2) is the last of
# its pair, and of (1, 3) the detector found one image less: labeled and detected differ.
SMALL_CUHK = {
    "labeled": {
        (1, 1): [1, 2, 6, 7, 8],
        (1, 2): [10],
        (1, 3): [1, 5, 6],
        (2, 1): [2, 3, 7, 9],
        (3, 1): [1, 6],
        (3, 2): [4, 5, 9, 10],
        (4, 1): [3],
        (5, 1): [5, 6],
    },
}
SMALL_CUHK["detected"] = {**SMALL_CUHK["labeled"], (1, 3): [1, 6]}
# Everyone else is in train. The queries are the first image from each camera.
SMALL_CUHK_TEST = ((2, 1), (3, 2))
SMALL_CUHK_COUNTS = {
    "labeled": {
        "train images": 14,
        "train identities": 6,
        "train cameras": 2,
        "query images": 4,
        "query identities": 2,
        "query cameras": 2,
        "gallery images": 4,
        "gallery identities": 2,
        "gallery cameras": 2,
    },
}
SMALL_CUHK_COUNTS["detected"] = {**SMALL_CUHK_COUNTS["labeled"], "train images": 13}

Cells = Mapping[tuple[int, int], Sequence[int]]


def cuhk_name(pair: int, person: int, image: int) -> str:
    return f"{pair}_{person:03d}_{1 + (image > 5)}_{image:02d}.png"


def cuhk_pixels(name: str) -> np.ndarray:
    """Return a random image, higher than wide, whose size depends on its name."""
    seed = zlib.crc32(name.encode())
    return np.random.default_rng(seed).integers(0, 256, (12 + seed % 5, 6 + seed % 3, 3), dtype=np.uint8)


def cuhk_protocol(cells: Cells, test: Iterable[tuple[int, int]]) -> dict[str, list]:
    """Return the variables of a protocol file: images sorted by name, identities numbered over all pairs."""
    people = sorted(cells)
    images = [(person, image) for person in people for image in cells[person]]
    in_test = set(test)
    query = {
        (person, min(image for image in cells[person] if (image > 5) == second))
        for person in in_test
        for second in (False, True)
    }
    positions = {"train_idx": [], "query_idx": [], "gallery_idx": []}
    for position, (person, image) in enumerate(images, start=1):
        split = "train" if person not in in_test else "query" if (person, image) in query else "gallery"
        positions[f"{split}_idx"].append(position)
    return {
        "filelist": [cuhk_name(*person, image) for person, image in images],
        "labels": [number for number, person in enumerate(people, start=1) for _ in cells[person]],
        "camId": [1 + (image > 5) for _, image in images],
        **positions,
    }


def write_cuhk_protocol(path: pathlib.Path, variables: Mapping[str, Sequence]) -> None:
    """Write columns of doubles and a column of cells, as MATLAB saves them."""
    columns: dict[str, np.ndarray] = {}
    for key, values in variables.items():
        if key == "filelist":
            columns[key] = np.empty((len(values), 1), dtype=object)
            columns[key][:, 0] = values
        else:
            columns[key] = np.asarray(values, dtype=np.float64)[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, columns, do_compression=True)


def mat5_matrix(kind: int, shape: tuple[int, int], name: bytes, content: bytes) -> bytes:
    """Return a little-endian MATLAB 5 matrix of class `kind` (1 cell, 4 char) that no library would write."""
    padded = name + bytes(-len(name) % 8)
    body = struct.pack("<10I", 6, 8, kind, 0, 5, 8, *shape, 1, len(name)) + padded + content
    return struct.pack("<2I", 14, len(body)) + body


def mat5_file(matrices: Iterable[bytes], *, order: bytes = b"IM") -> bytes:
    """Return a MATLAB 5 file of compressed matrices."""
    compressed = [zlib.compress(matrix, 9) for matrix in matrices]
    elements = b"".join(struct.pack("<2I", 15, len(element)) + element for element in compressed)
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01" + order + elements


def write_cuhk_mat(path: pathlib.Path, kinds: Mapping[str, Cells], pixels: np.ndarray | None = None) -> None:
    """Write a `cuhk-03.mat` as MATLAB v7.3 does.

    Args:
        path: The file.
        kinds: The cells that hold an image, for each kind.
        pixels: One image for all cells, in place of one for each.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        arrays = file.create_group("#refs#")

        def add(value: np.ndarray, **attributes) -> h5py.Reference:
            options = {"chunks": value.shape, "compression": "gzip", "compression_opts": 3} if value.ndim == 3 else {}
            dataset = arrays.create_dataset(f"r{len(arrays)}", data=value, **options)
            dataset.attrs.update(attributes)
            return dataset.ref

        # An empty array is stored as its dimensions.
        empty = add(np.zeros(2, np.uint64), MATLAB_class=np.bytes_("double"), MATLAB_empty=np.uint8(1))
        shared = None if pixels is None else add(pixels.T, MATLAB_class=np.bytes_("uint8"))
        for kind, cells in kinds.items():
            pairs = np.empty((1, 5), dtype=h5py.ref_dtype)
            for pair in range(1, 6):
                number = max(person for other, person in cells if other == pair)
                persons = np.full((10, number), empty, dtype=h5py.ref_dtype)
                for (other, person), images in cells.items():
                    for image in images if other == pair else ():
                        value = cuhk_pixels(cuhk_name(pair, person, image))
                        reference = shared or add(value.T, MATLAB_class=np.bytes_("uint8"))
                        persons[image - 1, person - 1] = reference
                pairs[0, pair - 1] = add(persons, MATLAB_class=np.bytes_("cell"))
            file.create_dataset(kind, data=pairs, dtype=h5py.ref_dtype).attrs["MATLAB_class"] = np.bytes_("cell")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 2015 HDF5 schema 1.00 .")


def write_small_cuhk(parent: pathlib.Path, source: str) -> pathlib.Path:
    """Write a CUHK03 of a few images, from "mat" or "images", with both protocol files; return its folder."""
    root = parent / "cuhk03"
    for kind, cells in SMALL_CUHK.items():
        variables = cuhk_protocol(cells, SMALL_CUHK_TEST)
        write_cuhk_protocol(root / f"cuhk03_new_protocol_config_{kind}.mat", variables)
        if source == "images":
            folder = root / f"images_{kind}"
            folder.mkdir()
            _write_junk(folder)
            for name in variables["filelist"]:
                Image.fromarray(cuhk_pixels(name)).save(folder / name)
    if source == "mat":
        write_cuhk_mat(root / "cuhk03_release" / "cuhk-03.mat", SMALL_CUHK)
    return root


def full_cuhk(kind: str) -> tuple[dict[tuple[int, int], list[int]], list[tuple[int, int]]]:
    """Return cells and test identities with the published counts and the true number of people of each pair."""
    people = [(pair, person) for pair, n in enumerate((843, 440, 77, 58, 49), 1) for person in range(1, n + 1)]
    test, train = people[:700], people[700:]
    # 9 images each and a tenth for some; two of the test images are queries.
    tenth_test = {"labeled": 5_328, "detected": 5_332}[kind] - 700 * 7
    tenth_train = {"labeled": 7_368, "detected": 7_365}[kind] - 767 * 9
    full = {*test[:tenth_test], *train[:tenth_train]}
    return {person: list(range(1, 11 if person in full else 10)) for person in people}, test


def write_full_cuhk(parent: pathlib.Path, kind: str, source: str) -> pathlib.Path:
    """Write one kind of CUHK03 at its published size; all images are the same."""
    root = parent / "cuhk03"
    cells, test = full_cuhk(kind)
    variables = cuhk_protocol(cells, test)
    write_cuhk_protocol(root / f"cuhk03_new_protocol_config_{kind}.mat", variables)
    if source == "mat":
        write_cuhk_mat(root / "cuhk03_release" / "cuhk-03.mat", {kind: cells}, np.zeros((4, 2, 3), np.uint8))
    else:
        _link(parent, root, (f"images_{kind}/{name}" for name in variables["filelist"]), "PNG")
        _write_junk(root / f"images_{kind}")
    return root


NP_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


def cuhk_np_names(cells: Cells, test: Iterable[tuple[int, int]], suffix: str = ".png") -> Iterator[str]:
    """Yield the paths of the images of one kind in CUHK03-NP."""
    variables = cuhk_protocol(cells, test)
    for split, folder in NP_FOLDERS.items():
        for position in variables[f"{split}_idx"]:
            image = int(variables["filelist"][position - 1].split("_")[3].removesuffix(".png"))
            camera, label = variables["camId"][position - 1], variables["labels"][position - 1]
            yield f"{folder}/{label:04d}_c{camera}_{image}{suffix}"


def write_small_cuhk_np(parent: pathlib.Path, suffix: str = ".png") -> pathlib.Path:
    """Write a CUHK03-NP of a few random images, both kinds; return its folder."""
    root = parent / "CUHK03-NP"
    for kind, cells in SMALL_CUHK.items():
        for seed, name in enumerate(cuhk_np_names(cells, SMALL_CUHK_TEST, suffix)):
            path = root / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            image_format = "PNG" if suffix.lower() == ".png" else "JPEG"
            path.write_bytes(dataset_fixtures.encoded(seed, 12, 6, image_format))
        _write_junk(root / kind)
        _write_junk(root / kind / "query")
    return root


def write_full_cuhk_np(parent: pathlib.Path) -> pathlib.Path:
    """Write both kinds of CUHK03-NP at their published size; all images are the same."""
    root = parent / "cuhk03-np"
    for kind in CUHK_KINDS:
        _link(parent, root, (f"{kind}/{name}" for name in cuhk_np_names(*full_cuhk(kind))), "PNG")
        _write_junk(root / kind / "bounding_box_test")
    return root


MSMT_FOLDERS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
# The lines of the lists. Person 0 is a person, in train and (another one) in test; person 5 has a single image, and
# person 7 is in val only.
SMALL_MSMT = {
    "train": [
        "0000/0000_000_01_0303morning_0008_0.jpg 0",
        "0000/0000_001_15_0303morning_0010_0.jpg 0",
        "0005/0005_000_02_0113noon_0480_1_ex.jpg 5",
        "0001/0001_000_03_0114afternoon_0008_2.jpg 1",
    ],
    "val": [
        "0000/0000_002_04_0302morning_0100_0.jpg 0",
        "0007/0007_000_05_0302morning_0100_0.jpg 7",
    ],
    "query": [
        "0000/0000_000_01_0303noon_0008_0.jpg 0",
        "0001/0001_000_06_0303noon_0009_0.jpg 1",
    ],
    "gallery": [
        "0000/0000_001_14_0303noon_0100_0.jpg 0",
        "0001/0001_001_07_0303noon_0101_0.jpg 1",
        "0001/0001_002_06_0303noon_0102_0.jpg 1",
    ],
}
SMALL_MSMT_COUNTS = {
    "train images": 4,
    "val images": 2,
    "train+val images": 6,
    "train+val identities": 4,
    "query images": 2,
    "query identities": 2,
    "query cameras": 2,
    "gallery images": 3,
    "gallery identities": 2,
    "gallery cameras": 3,
    "cameras": 9,
}


def write_msmt_lists(root: pathlib.Path, lists: Mapping[str, Sequence[str]], *, saved_again: bool = False) -> None:
    """Write the lists as the authors did, or as a Windows editor saves them: byte order mark, tabs, CR LF."""
    for split, lines in lists.items():
        text = "".join(f"{line}\n" for line in lines)
        if saved_again:
            text = "\ufeff" + text.replace(" ", "\t").replace("\n", "\r\n")
        (root / f"list_{split}.txt").write_bytes(text.encode())


def write_small_msmt(parent: pathlib.Path, release: str) -> pathlib.Path:
    """Write an MSMT17 of a few random images, "V1" or "V2" (its lists saved again); return its folder."""
    root = parent / f"MSMT17_{release}"
    for seed, path in enumerate(msmt_paths(SMALL_MSMT, release)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(dataset_fixtures.encoded(seed, 32, 16, "JPEG"))
    for folder in MSMT_FOLDERS[release]:
        _write_junk(root / folder)
        _write_junk(root / folder / "0000")
    write_msmt_lists(root, SMALL_MSMT, saved_again=release == "V2")
    return root


# A copy with the folders of Market-1501, without lists. Cameras 1 to 15; person 0 is a person.
RENAMED_MSMT = (
    "bounding_box_train/0000_c1_0000.jpg",
    "bounding_box_train/0000_c15_0001.jpg",
    "bounding_box_train/0007_c2_0002.jpg",
    "query/0000_c1_0000.jpg",
    "query/0001_c6_0001.jpg",
    "bounding_box_test/0000_c14_0002.jpg",
    "bounding_box_test/0001_c7_0003.jpg",
)
RENAMED_MSMT_COUNTS = {
    **SMALL_MSMT_COUNTS,
    "train+val images": 3,
    "train+val identities": 2,
    "gallery images": 2,
    "gallery cameras": 2,
    "cameras": 6,
}


def write_renamed_msmt(root: pathlib.Path, names: Iterable[str] = RENAMED_MSMT) -> pathlib.Path:
    write_files(root, names)
    _write_junk(root / "query")
    return root


def msmt_paths(lists: Mapping[str, Sequence[str]], release: str) -> Iterator[str]:
    for split, lines in lists.items():
        folder = MSMT_FOLDERS[release][split in ("query", "gallery")]
        for line in lines:
            yield f"{folder}/{line.split(' ')[0]}"


def full_msmt() -> dict[str, list[str]]:
    """Return lists with the published counts; the names have all the forms of the authors' lists."""
    lists: dict[str, list[str]] = {}
    photos: dict[tuple[bool, int], int] = {}
    for split, people, number in (
        ("train", 1_041, 30_248),
        ("val", 1_041, 2_373),
        ("query", 3_060, 11_659),
        ("gallery", 3_060, 82_161),
    ):
        lists[split] = []
        for index in range(number):
            person = index % people
            key = (split in ("query", "gallery"), person)
            photo = photos[key] = photos.get(key, -1) + 1
            camera = (index + index // people) % 15 + 1  # one after the other for each person
            time = ("0303morning", "0113noon", "0114afternoon")[index % 3]
            end = "_ex" * (index % 5 == 4)
            lists[split].append(
                f"{person:04d}/{person:04d}_{photo:03d}_{camera:02d}_{time}_{index:04d}_{index % 4}{end}.jpg {person}"
            )
    return lists


def write_full_msmt(parent: pathlib.Path) -> pathlib.Path:
    """Write MSMT17 V1 at its published size, 126,441 images, as a Mac packs it, in nested folders."""
    root = parent / "MSMT17_V1" / "MSMT17_V1" / "MSMT17_V1"
    lists = full_msmt()
    _link(parent, root, msmt_paths(lists, "V1"), "JPEG")
    write_msmt_lists(root, lists, saved_again=True)
    for folder in (root / "train", root / "test", root / "train" / "0000", root / "test" / "0000"):
        _write_junk(folder)
    dataset_fixtures.write_beside(
        root.parent.parent / "__MACOSX" / "MSMT17_V1", [f"._list_{split}.txt" for split in lists]
    )
    return root


# What copies hold beside the images: heat maps of poses (PVPM), lists of files.
PARTIAL_REID_BESIDE = ("occluded_body_pose/001_001_pose_heatmaps.png", "whole_body_pose/001_001_pose_heatmaps.png")
PARTIAL_ILIDS_BESIDE = ("Probe.txt", "Gallery.txt")
PARTIAL_FOLDERS = {"query": "partial_body_images", "gallery": "whole_body_images"}
OCCLUDED = "occluded_body_images"


def partial_reid_names(people: int, images: int, folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        for person in range(1, people + 1):
            for image in range(1, images + 1):
                yield f"{folder}/{person:03d}_{image:03d}.jpg"


def write_partial_reid(parent: pathlib.Path, people: int = 60, images: int = 5) -> pathlib.Path:
    """Write a Partial REID with its occluded images, by default of the published size."""
    root = parent / "Partial_REID"
    write_files(root, partial_reid_names(people, images, (*PARTIAL_FOLDERS.values(), OCCLUDED)))
    _write_junk(root / "whole_body_images")
    dataset_fixtures.write_beside(root, PARTIAL_REID_BESIDE)
    return root


ILIDS_LAYOUTS = (("Probe", "Gallery"), ("query", "gallery"), ("partial_body_images", "whole_body_images"))


def write_partial_ilids(
    parent: pathlib.Path, people: int = 119, layout: tuple[str, str] = ILIDS_LAYOUTS[0], name: str = "{}.jpg"
) -> pathlib.Path:
    """Write a Partial-iLIDS, by default of the published size."""
    root = parent / "Partial_iLIDS"
    write_files(root, (f"{folder}/{name.format(person)}" for folder in layout for person in range(1, people + 1)))
    _write_junk(root / layout[0])
    dataset_fixtures.write_beside(root, PARTIAL_ILIDS_BESIDE)
    return root


def _write_junk(folder: pathlib.Path) -> None:
    """Write what file managers and archivers leave behind."""
    for name in ("Thumbs.db", ".DS_Store", "._0001_1.jpg"):
        (folder / name).write_bytes(b"not an image")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._0001_1.jpg").write_bytes(b"not an image")


def write_files(root: pathlib.Path, names: Iterable[str]) -> None:
    """Write small random JPEGs."""
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset_fixtures.encoded(seed, 16, 8, "JPEG"))


def _link(parent: pathlib.Path, root: pathlib.Path, names: Iterable[str], image_format: str) -> None:
    """Make hard links `root / name` to a tiny image beside `root`."""
    parent.mkdir(parents=True, exist_ok=True)
    made: set[str] = set()
    image = parent
    for index, name in enumerate(names):
        if index % LINKS_A_FILE == 0:
            image = parent / f"image{index}.{image_format.lower()}"
            image.write_bytes(dataset_fixtures.encoded(0, 2, 1, image_format))
        folder, _, _ = name.rpartition("/")
        if folder not in made:
            (root / folder).mkdir(parents=True)
            made.add(folder)
        os.link(image, root / name)
