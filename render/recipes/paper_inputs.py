"""Reads and checks the files of the paper's recipe: all that is missing or malformed is found in one go."""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from render.figure import mirror
from render.recipes.base import RecipeError, stream
from render.recipes.paper_files import TEXTURES, PaperFiles
from render.scene.photo_folder import PhotoFolder, PhotoFolderError
from render.smpl import coco, surreal, uv
from render.smpl import model as smpl
from render.smpl import poses as smpl_poses
from render.smpl.array_files import ArrayFileError
from render.smpl.model import SmplData
from render.smpl.poses import Poses
from render.smpl.surreal import TextureFile
from san_jax.counts import count

T = TypeVar("T")
R = TypeVar("R")


class PaperError(RecipeError):
    """Files of the paper's recipe that are missing or malformed. The message lists every one and where to get it."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the files hold, as far as planning needs it.

    Attributes:
        textures: Textures in the order of the groups of pairs.
        poses: Poses, mostly with their shapes.
        shapes: SURREAL's shapes by gender, float64 [N 10]; None where shapes come with the poses.
        backgrounds: Names of the photographs to choose from.
        digests: SHA-256 of every input by its key.
        counts: How much each input holds, in words for the user.
    """

    textures: tuple[TextureFile, ...]
    poses: Poses
    shapes: dict[str, np.ndarray] | None
    backgrounds: tuple[str, ...]
    digests: dict[str, str]
    counts: dict[str, str]


def read_inputs(files: PaperFiles) -> Inputs:
    """Read every input.

    Raises:
        PaperError: Lists all that is missing or malformed.
    """
    inputs, problems = check_inputs(files)
    if inputs is None:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise PaperError(f"{len(problems)} of the paper's inputs are missing or malformed:{lines}")
    return inputs


def check_inputs(files: PaperFiles) -> tuple[Inputs | None, list[str]]:
    """Read every input, and list all that is missing or malformed, each with where to get it.

    Returns:
        The inputs, None where there is a problem, and the problems.
    """
    reader = _Reader(files)
    reader.check_layout(reader.read_models())
    textures = reader.read_textures()
    poses = reader.read_poses()
    shapes = reader.read_shapes()
    backgrounds = reader.read_backgrounds()
    if reader.problems or poses is None:
        return None, reader.problems
    return Inputs(textures, poses, shapes, backgrounds, reader.digests, reader.counts), reader.problems


class _Reader:
    """Reads one kind of input after the other and collects what there is to say about them.

    Attributes:
        problems: What is missing or malformed.
        digests: SHA-256 of every input by its key.
        counts: How much each input holds, in words.
    """

    def __init__(self, files: PaperFiles):
        self.problems: list[str] = []
        self.digests: dict[str, str] = {}
        self.counts: dict[str, str] = {}
        self._files = files

    @contextlib.contextmanager
    def _collecting(self, key: str, advice: str) -> Iterator[None]:
        """Turn errors of the readers into problems of the input `key`, with advice on where to get it."""
        try:
            yield
        except (ArrayFileError, PhotoFolderError) as error:
            self.problems.append(f"{key}: {error}" + ("" if advice in str(error) else f" {advice}"))
        except mirror.MirrorError as error:
            self.problems.append(
                f"{key}: has no vert_sym_idxs, as official .pkl files do, and its template is too far from symmetric "
                f"to find left and right without ({error}) {advice}"
            )

    def _is_given(self, key: str, path: str, advice: str) -> bool:
        """Return whether a path is set; a file's digest is taken along."""
        if not path:
            self.problems.append(f"{key}: no path given; set --config.{key}=PATH. {advice}")
            return False
        if pathlib.Path(path).is_file():
            with contextlib.suppress(OSError):  # whoever reads it next says so
                self.digests[key] = _digest_file(path)
        return True

    def read_models(self) -> dict[str, SmplData]:
        """Read the bodies: path -> model."""
        models: dict[str, SmplData] = {}
        for gender in self._files.genders:
            key, path = f"smpl_{gender}", self._files.model_path(gender)
            if self._is_given(key, path, smpl.ADVICE):
                with self._collecting(key, smpl.ADVICE):
                    data = models[path] = smpl.read_model(path)
                    if data.mirrored is None and gender == self._files.genders[0]:
                        mirror.vertex_correspondence(data.v_template, mirror.SMPL_TOLERANCE, chosen=data.faces)
                    self.counts[key] = (
                        f"{smpl.NUM_VERTICES} vertices, {smpl.NUM_BETAS} of {data.num_shapedirs} shape directions"
                    )
        return models

    def check_layout(self, models: dict[str, SmplData]) -> None:
        """Hold the UV layout against the bodies."""
        if self._is_given("smpl_uv", self._files.smpl_uv, uv.ADVICE):
            with self._collecting("smpl_uv", uv.ADVICE):
                self.counts["smpl_uv"] = f"{len(uv.read_uv(self._files.smpl_uv, models).faces)} triangles"

    def read_textures(self) -> tuple[TextureFile, ...]:
        """List and choose the textures, and decode those that are chosen."""
        files = self._files
        if not self._is_given("surreal_dir", files.surreal_dir, surreal.ADVICE):
            return ()
        found, wrong = surreal.list_textures(files.surreal_dir, which=files.texture_list, clothing=files.clothing)
        self.problems += wrong
        self._count_textures(found)
        if not found:
            return ()
        if len(found) > files.num_textures:
            chosen = stream(files.seed, TEXTURES).choice(len(found), files.num_textures, replace=False)
            found = [found[index] for index in sorted(chosen.tolist())]
        try:
            folder = PhotoFolder(files.surreal_dir, [one.name for one in found])
        except PhotoFolderError as error:
            self.problems.append(f"surreal_dir: {error} {surreal.ADVICE}")
            return ()

        def read(texture: TextureFile) -> tuple[str, str]:
            """Return the texture's digest, and what is wrong with it."""
            try:
                pixels = folder.read(texture.name)
            except PhotoFolderError as error:
                return "", f"{files.surreal_dir}: {error}. {surreal.ADVICE}"
            height, width, _ = pixels.shape
            if height != width:
                return "", f"{texture.name}: a square texture expected, found {width} x {height}. {surreal.ADVICE}"
            return hashlib.sha256(f"{texture.name} {height} ".encode() + pixels.tobytes()).hexdigest(), ""

        results = _in_threads(read, found)
        self.problems += [problem for _, problem in results if problem]
        self.digests["textures"] = hashlib.sha256(" ".join(digest for digest, _ in results).encode()).hexdigest()
        return tuple(found)

    def _count_textures(self, found: list[TextureFile]) -> None:
        """Count the textures of each kind; too few are a problem."""
        files = self._files
        numbers = {
            key: sum((one.gender, one.clothing) == key for one in found)
            for key in surreal.NUM_TEXTURES
            if files.clothing in ("all", key[1])
        }
        summary = ", ".join(f"{number} {gender} {clothing}" for (gender, clothing), number in numbers.items())
        self.counts["textures"] = f"{len(found)} ({summary})"
        if len(found) < files.num_textures:
            paper = ", ".join(f"{number} {' '.join(key)}" for key, number in surreal.NUM_TEXTURES.items())
            self.problems.append(
                f"{files.surreal_dir}: {count(len(found), 'texture')} ({summary}), {files.num_textures} are asked for; "
                f"SURREAL has {sum(surreal.NUM_TEXTURES.values())} ({paper}). {surreal.ADVICE}"
            )

    def read_poses(self) -> Poses | None:
        """Read the poses; None where they cannot be read."""
        kind, path = self._files.poses, self._files.poses_path
        advice = smpl_poses.ADVICE[kind]
        poses = None
        if self._is_given("poses_file", path, advice):
            with self._collecting("poses_file", advice):
                poses = smpl_poses.read_poses(kind, path)
                self.counts["poses_file"] = f"{count(len(poses), 'pose')} ({kind})"
                if len(poses) < self._files.meshes_per_texture:
                    self.problems.append(
                        f"poses_file: {path}: {count(len(poses), 'pose')}, {self._files.meshes_per_texture} are needed "
                        f"for the different meshes of a texture. {advice}"
                    )
                if isinstance(poses, smpl_poses.MocapPoses):
                    self.problems += [f"poses_file: {problem}" for problem in poses.problems()]
        return poses

    def read_shapes(self) -> dict[str, np.ndarray] | None:
        """Read SURREAL's shapes; None where shapes come with the poses."""
        files, shapes = self._files, None
        if files.shapes == "surreal" and files.surreal_dir:
            with self._collecting("smpl_data", surreal.ADVICE):
                shapes = smpl_poses.read_surreal_shapes(files.smpl_data)
                same = files.poses_path == files.smpl_data
                self.digests["smpl_data"] = self.digests["poses_file"] if same else _digest_file(files.smpl_data)
                self.counts["shapes"] = ", ".join(f"{len(rows)} {gender}" for gender, rows in shapes.items())
        return shapes

    def read_backgrounds(self) -> tuple[str, ...]:
        """List the photographs to choose backgrounds from, and decode those that are used."""
        backgrounds = self._list_photographs()
        if self._files.person_free:
            backgrounds = self._without_persons(backgrounds)
        if backgrounds:
            with self._collecting("coco_dir", coco.ADVICE):
                self._decode_backgrounds(backgrounds)
        return backgrounds

    def _list_photographs(self) -> tuple[str, ...]:
        """List all photographs."""
        if self._is_given("coco_dir", self._files.coco_dir, coco.ADVICE):
            with self._collecting("coco_dir", coco.ADVICE):
                folder = PhotoFolder(self._files.coco_dir)
                passed_over = f"; {folder.passed_over}" if folder.passed_over else ""
                self.counts["coco_dir"] = f"{count(len(folder.names), 'photograph')}{passed_over}"
                return folder.names
        return ()

    def _without_persons(self, photographs: tuple[str, ...]) -> tuple[str, ...]:
        """Leave out photographs in which a person is annotated; none left is a problem."""
        files = self._files
        if self._is_given("coco_instances", files.coco_instances, coco.ADVICE):
            with self._collecting("coco_instances", coco.ADVICE):
                person_free = coco.read_person_free(files.coco_instances)
                left = tuple(coco.without_persons(photographs, person_free))
                if photographs and not left:
                    self.problems.append(
                        f"{files.coco_dir}: none of its {count(len(photographs), 'photograph')} is a person-free image "
                        f"of {files.coco_instances}; do the two belong together? {coco.ADVICE}"
                    )
                self.counts["coco_instances"] = f"{count(len(left), 'photograph')} without persons"
                return left
        return ()

    def _decode_backgrounds(self, photographs: tuple[str, ...]) -> None:
        """Decode every photograph that a pair uses."""
        files = self._files
        names = sorted({files.background(index, photographs).file for index in range(files.num_pairs)})
        folder = PhotoFolder(files.coco_dir, names)

        def read(name: str) -> str:
            """Return what is wrong with a photograph."""
            try:
                folder.read(name)
            except PhotoFolderError as error:
                return f"{files.coco_dir}: {error}. {coco.ADVICE}"
            return ""

        problems = [problem for problem in _in_threads(read, names) if problem]
        self.problems += problems
        if not problems:
            listed = hashlib.sha256("\0".join(photographs).encode()).hexdigest()
            self.digests["backgrounds"] = hashlib.sha256(f"{listed} {folder.digest}".encode()).hexdigest()
            self.counts["backgrounds"] = f"{count(len(names), 'photograph')} used"


def _in_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Map a function over items on all cores: Pillow decodes outside of Python's lock."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def _digest_file(path: str) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
