"""Readers of files from outside say what a file is when it is not what was asked for."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import numpy as np
import pytest

from datasets import archives
from datasets.errors import DatasetError
from render.smpl import json_files, npz_files, pickles, uv
from render.smpl.array_files import ArrayFileError
from san_jax import file_kinds, pictures
from san_jax.models.weights import torch_files


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", "b")
    return buffer.getvalue()


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0f1e\nsize 102530333\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
# (content of a file, words that say what it is)
KINDS = [
    (b"", "an empty file"),
    (POINTER, "a Git LFS pointer"),
    (PAGE, "a web page"),
    (b"\xef\xbb\xbf<html>", "a web page"),
    (b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN"><html>', "a web page"),
    (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "an XML document"),
    (gzip.compress(b"a", mtime=0), "a gzip file"),
    (bz2.compress(b"a"), "a bzip2 file"),
    (lzma.compress(b"a"), "an xz file"),
    (_zip(), "a zip archive"),
    (_tar(), "a tar archive"),
    (_npy(), "a NumPy array"),
    (b"Rar!\x1a\x07\x00", "a RAR archive"),
]


@pytest.mark.parametrize(("content", "words"), KINDS, ids=range(len(KINDS)))
def test_a_kind_is_told_by_its_first_bytes(content: bytes, words: str):
    assert str(file_kinds.describe(content[: file_kinds.START])).startswith(words)


def test_nothing_is_said_of_what_is_not_known():
    for content in (b"\x80\x02}q\x00.", b"v 1 2 3\n", b'{"images": []}', b"hello"):
        assert file_kinds.describe(content) is None
        assert file_kinds.found(content) == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (POINTER, "Git LFS pointer"),
        (PAGE, "web page"),
        (gzip.compress(b"a" * 99, mtime=0), "gzip file"),
    ],
    ids=["empty", "lfs", "html", "gzip"],
)
def test_every_reader_says_what_the_file_is(tmp_path, content: bytes, words: str):
    path = tmp_path / "file"
    path.write_bytes(content)
    readers = [
        (lambda: torch_files.read(path), torch_files.TorchFileError),
        (lambda: pickles.read_pickle(path, ["v"]), ArrayFileError),
        (lambda: npz_files.read_npy(path), ArrayFileError),
        (lambda: npz_files.npz_names(path), ArrayFileError),
        (lambda: json_files.read_json(path, dict), ArrayFileError),
        (lambda: uv.read_uv(path, {}), ArrayFileError),
    ]
    for read, error in readers:
        with pytest.raises(error, match=f"file: .*found an? {words}"):
            read()


@pytest.mark.parametrize(
    ("content", "words"), [(POINTER, "a Git LFS pointer"), (PAGE, "a web page")], ids=["lfs", "html"]
)
def test_an_archive_and_a_picture_that_are_none(tmp_path, content: bytes, words: str):
    path = tmp_path / "Market-1501-v15.09.15.zip"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"neither a zip nor a tar, found {words}"):
        archives.unpack(path, tmp_path / "unpacked", max_bytes=1 << 20)
    with pytest.raises(pictures.PictureError, match=f"by its content, found {words}"):
        pictures.decode(path)


def test_a_picture_cut_within_its_header_is_called_damaged(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(8))
    with pytest.raises(pictures.PictureError, match=r"not a readable picture") as error:
        pictures.decode(path)
    assert "neither" not in str(error.value)
