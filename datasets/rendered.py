"""Reads a rendered folder through its manifest, for the builders of `pit` and `pit_reid`."""

import contextlib
import gzip
import hashlib
import io
import os
import pathlib
import zlib
from collections.abc import Iterator

from datasets import mirror_map
from datasets.errors import DatasetError
from render import manifest

ADVICE = (
    "Render it with `python -m experiments.pit_render --config={recipe}.py --output_dir=FOLDER` and give that folder "
    "as manual_dir; if you run it again on the same folder, it draws only what is missing."
)

TEST_RECORDS_FILE = "test_records.jsonl.gz"  # beside the shards of `pit_reid`
_BLOCK = 1 << 16  # bytes read at a time
_LONGEST_LINE = 1 << 20  # bytes; a record has some 4,000


def read_rendered(
    manual_dir: str | os.PathLike[str], recipe: str
) -> tuple[pathlib.Path, manifest.Header, Iterator[manifest.Record], str]:
    """Return the path, header, records and digest of a completely rendered folder.

    The records are read one after another, as they are asked for: a million of them would fill the memory. The digest
    covers the two manifest files, whose recipe, seed, parameters and choices determine the images, and the mirror map.

    Raises:
        DatasetError: The folder is incomplete, malformed, or of another recipe. What is wrong with a record is raised
            when the record is asked for.
    """
    root = pathlib.Path(manual_dir).expanduser()
    advice = ADVICE.format(recipe=recipe)
    with _advising(root, advice):
        header = manifest.read_header(root)
    if header.recipe != recipe:
        raise DatasetError(f"{root} was rendered by the recipe {header.recipe!r}, expected {recipe!r}.\n{advice}")
    return root, header, _records(root, header, advice), _digest(root, header, advice)


def _records(root: pathlib.Path, header: manifest.Header, advice: str) -> Iterator[manifest.Record]:
    with _advising(root, advice):
        yield from manifest.read_records(root, header)


@contextlib.contextmanager
def _advising(root: pathlib.Path, advice: str) -> Iterator[None]:
    """Turn the error of a manifest into a DatasetError that says what to do."""
    try:
        yield
    except manifest.ManifestError as error:
        raise DatasetError(f"{root} is no complete rendered folder: {error}\n{advice}") from error


def _digest(root: pathlib.Path, header: manifest.Header, advice: str) -> str:
    digest = hashlib.sha256()
    for name in (manifest.HEADER_FILE, manifest.RECORDS_FILE):
        try:
            with open(root / name, "rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        except FileNotFoundError:
            next(_records(root, header, advice), None)  # says what to do
            raise
    for content in mirror_map.read_mirror_file(root).values():
        digest.update(content)
    return digest.hexdigest()


def header_metadata(header: manifest.Header) -> dict[str, object]:
    """Return the part of the manifest's header that is stored with the dataset."""
    return {
        "recipe": header.recipe,
        "seed": header.seed,
        "parameters": header.parameters,
        "license": header.license,
        "notes": header.notes,
    }


class KeptRecords:
    """The file that keeps the records of all splits but train, compressed as they come.

    It is part of no digest: the manifest, which is, determines it.
    """

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._file = gzip.GzipFile(fileobj=self._bytes, mode="wb", mtime=0)

    def add(self, record: manifest.Record) -> None:
        """Add a record, unless it is of train."""
        if record.split != "train":
            self._file.write(f"{manifest.record_to_json(record)}\n".encode())

    def finish(self) -> dict[str, bytes]:
        """Return the name and the bytes of the file; nothing can be added then."""
        self._file.close()
        return {TEST_RECORDS_FILE: self._bytes.getvalue()}


def read_test_records(folder: str | os.PathLike[str]) -> list[manifest.Record] | None:
    """Return what a dataset keeps of its manifest: the records of all splits but train.

    Args:
        folder: The dataset's folder, `data_dir/name/version`.

    Returns:
        The records in manifest order; None where the dataset keeps none, as those built by older versions.

    Raises:
        DatasetError: The file is damaged.
    """
    path = pathlib.Path(folder) / TEST_RECORDS_FILE
    if not path.is_file():
        return None
    records = []
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(_LONGEST_LINE):
                records.append(manifest.record_from_json(line.decode(), path, len(records) + 1))
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ManifestError and UnicodeDecodeError are ValueErrors
        raise DatasetError(f"{path} is damaged ({error}): remove {folder} and build the dataset again.") from error
    return records
