"""Contact sheets: what a recipe draws, without building a dataset (`python -m experiments.pit_render --preview`).

The open renderer has sheets of persons above their textures; one texture over its meshes; one identity over all
cameras; hair styles, garments, accessories, occluders, crops and lights, each kind by itself; the query splits;
look-alikes. The paper's recipe has the first two. The recipe's own studio draws the pictures from its own records. For
a sheet that shows one kind of a thing, this entry of a record is drawn anew from the recipe's shares with this kind
alone.
"""

import dataclasses
import io
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tqdm
from PIL import Image

from experiments.pages import truths_sheet
from experiments.pages.contact_sheet import Tile, compose
from render import manifest
from render.figure import body
from render.optics import camera, light, photo
from render.people import accessories, appearance, poses, sample
from render.recipes import build, paper, pit, pit_reid
from render.scene import crowd, occluders
from san_jax import files

COLUMNS = 10
_TEXTURE = (128, 128)  # width and height of a texture as it is drawn


def draw_sheets(recipe: build.Recipe | paper.PaperPit, folder: pathlib.Path) -> list[pathlib.Path]:
    """Draw every sheet of a recipe into a folder as JPEG files, and return their paths in order.

    Args:
        recipe: The recipe, whose first pairs are shown. For the open renderer, some sheets show the other one of `pit`
            and `pit_reid`, with the same shares.
        folder: The folder. It is made if missing; files of the same name are replaced.
    """
    studio = recipe.studio()
    sheets: dict[str, Callable[[], list[list[Tile]]]] = {}
    if isinstance(recipe, pit_reid.PitReid):
        single, benchmark = _sibling(recipe, pit.Pit), recipe
    elif isinstance(recipe, pit.Pit):
        single, benchmark = recipe, _sibling(recipe, pit_reid.PitReid)
    else:
        single, benchmark = recipe, None
    sheets["pairs"] = lambda: pairs(studio, single)
    sheets["one_texture"] = lambda: one_texture(studio, single)
    sheets["truths"] = lambda: truths_sheet.truths(studio, single)
    if benchmark is not None and isinstance(single, pit.Pit):
        variants = Variants(studio, single)
        sheets["one_identity"] = lambda: one_identity(studio, benchmark)
        sheets["hair"] = lambda: hair(variants)
        sheets["garments"] = lambda: garments(variants)
        sheets["accessories"] = lambda: accessory_kinds(variants)
        sheets["occluders"] = lambda: occluder_kinds(variants)
        sheets["crops"] = lambda: crops(variants)
        sheets["lights"] = lambda: lights(variants)
        sheets["queries"] = lambda: queries(studio, benchmark)
        sheets["look_alikes"] = lambda: look_alikes(studio, benchmark)
    paths = []
    for name, rows in tqdm.tqdm(sheets.items(), unit="sheet", desc="preview"):
        path = folder / f"{name}.jpg"
        buffer = io.BytesIO()
        compose(rows()).save(buffer, "JPEG", quality=90, subsampling=0, optimize=True)
        files.write_atomic(path, buffer.getvalue())
        paths.append(path)
    return paths


def _sibling(recipe: build.Recipe, kind: type) -> Any:
    """Return the other open recipe, with every field that the two share."""
    shared = {field.name for field in dataclasses.fields(kind)} & {field.name for field in dataclasses.fields(recipe)}
    return kind(**{name: getattr(recipe, name) for name in shared})


def _wrap(tiles: Iterable[Tile], columns: int = COLUMNS) -> list[list[Tile]]:
    tiles = list(tiles)
    return [tiles[start : start + columns] for start in range(0, len(tiles), columns)]


def _images(studio: Any, record: manifest.Record) -> dict[str, Image.Image]:
    """Draw the pictures of a record: "image", "texture" (at half size) and, if the record has one, "frontal"."""
    contents = studio.draw(record)
    names = {"image": record.image, "texture": record.texture, "frontal": record.frontal}
    images = {kind: Image.open(io.BytesIO(contents[name])) for kind, name in names.items() if name is not None}
    return {**images, "texture": images["texture"].resize(_TEXTURE, Image.Resampling.LANCZOS)}


def pairs(studio: Any, recipe: Any) -> list[list[Tile]]:
    """Persons with a texture each, above their textures, in two double rows."""
    numbers = range(min(2 * COLUMNS, recipe.num_groups))
    drawn = [_images(studio, recipe.plan(recipe.group(number)[0])) for number in numbers]
    rows = []
    for start in range(0, len(drawn), COLUMNS):
        rows += [[(one[kind], "") for one in drawn[start : start + COLUMNS]] for kind in ("image", "texture")]
    return rows


def one_texture(studio: Any, recipe: Any) -> list[list[Tile]]:
    """One texture on its meshes: as the cameras see them, and below in the frontal pose."""
    indices = list(recipe.group(0))[:COLUMNS]
    drawn = [_images(studio, recipe.plan(index)) for index in indices]
    blank = Image.new("RGB", _TEXTURE, "white")
    return [
        [(drawn[0]["texture"], "texture"), *((one["image"], "") for one in drawn)],
        [(blank, ""), *((one["frontal"], "") for one in drawn)],
    ]


def one_identity(studio: Any, recipe: pit_reid.PitReid) -> list[list[Tile]]:
    """Two identities over the cameras of the benchmark, with a column for each camera."""
    rows = []
    for number in sorted(range(recipe.num_train_identities), key=lambda one: -_cameras(recipe, one))[:2]:
        first = {}
        for index in recipe.group(number):
            record = recipe.plan(index)
            first.setdefault(record.camera_id, record)
        rows.append(
            [(_images(studio, record)["image"], f"camera {key}") for key, record in sorted(first.items())][:COLUMNS]
        )
    return rows


def _cameras(recipe: pit_reid.PitReid, number: int) -> int:
    return len({recipe.plan(index).camera_id for index in recipe.group(number)}) if number < 40 else 0


class Variants:
    """One plain scene of a recipe in which single choices are replaced.

    Args:
        studio: The studio that draws.
        recipe: The recipe, whose first scene with a camera near eye level is taken.
    """

    def __init__(self, studio: Any, recipe: pit.Pit):
        self.studio = studio
        self.recipe = recipe
        records = (recipe.plan(index) for index in range(recipe.num_pairs))
        low = next((one for one in records if one.choices["site"]["height"] < 2.2), recipe.plan(0))
        rng = self.rng("scene")
        distance = low.choices["site"]["nearest"] + 1.0
        plain = {
            "accessories": [],
            "occluders": [],
            "crowd": [],
            "background": None,
            "look": dataclasses.replace(
                photo.CameraLook.from_json(low.choices["look"]),
                **{"exposure": 0.2, "cast": (1.0, 1.0, 1.0), "contrast": 1.0, "saturation": 1.0},
                **{"blur": 0.3, "noise": 0.005, "quality": 95},
            ).to_json(),
            "shot": photo.Shot(exposure=0.0, motion=0.0, noise_seed=1).to_json(),
            "position": [0.0, distance],
            "light": light.sample_light(rng, recipe.light, kind="hazy").to_json(),
            "framing": camera.sample_framing(rng, recipe.framing, kind="whole").to_json(),
        }
        site = {**low.choices["site"], "heading": 0.0}
        self.base = dataclasses.replace(low, frontal=None, choices={**low.choices, **plain, "site": site})

    def rng(self, *key: str | int) -> np.random.Generator:
        """Return the random stream of a tile."""
        words = [part if isinstance(part, int) else int.from_bytes(part.encode(), "little") % (1 << 32) for part in key]
        return np.random.default_rng([self.recipe.seed, *words])

    def person(self, rng: np.random.Generator, fits: Callable[[appearance.Appearance], bool]) -> dict[str, Any]:
        """Draw persons until one fits, and return the appearance and the shape as choices; {} if none of 2000 fits."""
        for _ in range(2000):
            looks = sample.sample_appearance(rng, self.recipe.wardrobe)
            if fits(looks):
                return {"appearance": looks.to_json(), "shape": body.sample_shape(rng, looks).to_json()}
        return {}

    def tile(self, words: str, **choices: Any) -> Tile:
        """Draw the scene with some choices replaced."""
        record = dataclasses.replace(self.base, choices={**self.base.choices, **choices})
        return _images(self.studio, record)["image"], words


FRONT, BACK = 0.5, 0.5 + np.pi  # radians; the person is turned a little away from the camera


def _by_look(variants: Variants, name: str, kinds: Iterable[str], read: Callable[[appearance.Appearance], str]):
    for kind in kinds:
        rng = variants.rng(name, kind)
        human = variants.person(rng, lambda one, kind=kind: read(one) == kind)
        if human:
            pose = poses.sample_pose(rng).to_json()
            for yaw in (FRONT, BACK):
                yield variants.tile(kind, **human, pose=pose, yaw=yaw)


def hair(variants: Variants) -> list[list[Tile]]:
    """Every hair style, from the front and from behind."""
    return _wrap(_by_look(variants, "hair", appearance.HAIR_STYLES, lambda one: one.hair_style))


def garments(variants: Variants) -> list[list[Tile]]:
    """Every top, then every bottom, from the front and from behind."""
    tops = _by_look(variants, "tops", appearance.TOPS, lambda one: one.top)
    bottoms = _by_look(variants, "bottoms", appearance.BOTTOMS, lambda one: one.bottom)
    return _wrap([*tops, *bottoms])


def accessory_kinds(variants: Variants) -> list[list[Tile]]:
    """Every accessory, from the front and from behind."""

    def tiles():
        for kind in accessories.KINDS:
            rng = variants.rng("accessories", kind)
            shares = _only(variants.recipe.accessories, kind)
            for _ in range(200):
                human = variants.person(rng, lambda _: True)
                looks = appearance.Appearance.from_json(human["appearance"])
                worn = accessories.sample_accessories(rng, looks, shares)
                if worn:
                    pose = poses.sample_pose(rng, worn).to_json()
                    listed = [one.to_json() for one in worn]
                    # A detector's box leaves these out; here they are shown.
                    wide = camera.Framing(fill=0.68, shift=(0.0, 0.06)).to_json()
                    framing = wide if kind in ("umbrella", "suitcase") else variants.base.choices["framing"]
                    for yaw in (FRONT, BACK):
                        yield variants.tile(kind, **human, pose=pose, accessories=listed, framing=framing, yaw=yaw)
                    break

    return _wrap(tiles())


def _only(shares: accessories.AccessoryShares, kind: str) -> accessories.AccessoryShares:
    """Return shares under which everybody who can has this kind, and nothing else."""
    return dataclasses.replace(shares, **{name: float(name == kind) for name in accessories.KINDS})


def occluder_kinds(variants: Variants) -> list[list[Tile]]:
    """Every occluder, twice: hiding little and hiding much."""

    def tiles():
        human = variants.person(variants.rng("occluders"), lambda _: True)
        for kind, most in occluders.KINDS.items():
            for cover in (0.6 * most, most):
                rng = variants.rng("occluders", kind, int(100 * cover))
                shares = dataclasses.replace(variants.recipe.occluders, kinds={kind: 1.0}, cover=(cover, cover))
                hidden = occluders.sample_occluders(rng, shares, always=True)
                pose = poses.sample_pose(rng).to_json()
                listed = [one.to_json() for one in hidden]
                yield variants.tile(f"{kind} {cover:.0%}", **human, pose=pose, occluders=listed, yaw=FRONT)

    return _wrap(tiles())


def crops(variants: Variants) -> list[list[Tile]]:
    """Every kind of a detector's box, twice."""

    def tiles():
        human = variants.person(variants.rng("crops"), lambda _: True)
        for kind in camera.FRAMINGS:
            for turn, yaw in enumerate((FRONT, BACK)):
                rng = variants.rng("crops", kind, turn)
                framing = camera.sample_framing(rng, variants.recipe.framing, kind=kind).to_json()
                pose = poses.sample_pose(rng).to_json()
                yield variants.tile(kind, **human, pose=pose, framing=framing, yaw=yaw)

    return _wrap(tiles(), 12)


def lights(variants: Variants) -> list[list[Tile]]:
    """Every kind of light, in two scenes, with bystanders."""

    def tiles():
        human = variants.person(variants.rng("lights"), lambda _: True)
        site = camera.CameraSite(**variants.base.choices["site"])
        position = variants.base.choices["position"]
        others = dataclasses.replace(variants.recipe.crowd, share=1.0)
        for kind in light.KINDS:
            for turn, yaw in enumerate((FRONT, BACK)):
                rng = variants.rng("lights", kind, turn)
                scene_kind = "station" if kind == "lamp" else ("street", "plaza")[turn]
                yield variants.tile(
                    kind,
                    **human,
                    pose=poses.sample_pose(rng).to_json(),
                    scene={"kind": scene_kind, "seed": 7 + turn},
                    light=light.sample_light(rng, variants.recipe.light, kind=kind).to_json(),
                    crowd=[one.to_json() for one in crowd.sample_crowd(rng, others, site, position)],
                    yaw=yaw,
                )

    return _wrap(tiles(), 12)


def queries(studio: Any, recipe: pit_reid.PitReid) -> list[list[Tile]]:
    """Test identities, a column for each: a query of every split, then a gallery picture of another camera."""
    rows: dict[str, list[Tile]] = {split: [] for split in manifest.SPLITS if split != "train"}
    start = recipe.num_train_identities
    for number in range(start, start + min(COLUMNS, recipe.num_test_identities)):
        records = [recipe.plan(index) for index in recipe.group(number)]
        seen = {record.split: record for record in reversed(records)}
        camera_id = seen["query"].camera_id
        seen["gallery"] = next(one for one in records if one.split == "gallery" and one.camera_id != camera_id)
        for split, record in seen.items():
            rows[split].append((_images(studio, record)["image"], split if number == start else ""))
    return [row for row in rows.values() if row]


def look_alikes(studio: Any, recipe: pit_reid.PitReid) -> list[list[Tile]]:
    """Groups of look-alikes: their pictures, and their textures below."""
    groups: dict[int, list[manifest.Record]] = {}
    for number in range(recipe.num_train_identities):
        record = recipe.plan(recipe.group(number)[0])
        if (key := record.choices["look_alike"]) is not None:
            groups.setdefault(key, []).append(record)
        if len(groups) > 4:
            break
    rows: list[list[Tile]] = [[], [], [], []]
    for place, records in enumerate(list(groups.values())[:4]):
        drawn = [_images(studio, record) for record in records[: COLUMNS // 2]]
        line = 2 * (place // 2)
        blank = Image.new("RGB", (24, 1), "white")
        rows[line] += [(one["image"], f"group {place + 1}") for one in drawn] + [(blank, "")]
        rows[line + 1] += [(one["texture"], "") for one in drawn] + [(blank, "")]
    return [row for row in rows if row]
