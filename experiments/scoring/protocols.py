"""How each benchmark is scored: what its query and gallery hold, and the words that are printed with a result.

The words depend on the benchmark, the options of the evaluation, what the dataset's builder noted, and what the model
was trained on. All scores but the single-shot ones follow the rule of Market-1501
(Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015), see `san_jax.ranking`.
"""

import dataclasses
import pathlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.runs import batch_norm
from experiments.runs.batch_norm import Reestimation
from experiments.runs.plan import RunPlan
from san_jax import ranking, run_folder, runtimes
from san_jax.counts import count
from san_jax.ranking_settings import SAME_CAMERA

RANKS = (1, 5, 10)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What is particular to a benchmark.

    Attributes:
        about: Sentences on query and gallery, true for whole and for partial copies.
        ranks: The k of the CMC.
        cameras: Whether there are cameras; without, queries are one camera and the gallery is another.
        single_shot: Whether the gallery holds one image an identity.
        index_pairs: Whether scores are also averaged over single-shot splits, see `index_pairs`.
        more_queries: Further splits of queries that are searched for in the same gallery, each scored on its own: name
            of the split -> sentences on it.
    """

    about: str
    ranks: tuple[int, ...] = RANKS
    cameras: bool = True
    single_shot: bool = False
    index_pairs: bool = False
    more_queries: Mapping[str, str] = dataclasses.field(default_factory=dict)


_CUHK03 = (
    "CUHK03, new protocol (Zhong et al., CVPR 2017: 767 identities to train on and 700 to test on), {boxes}. Scored by "
    "the Market-1501 rule, not by the single-gallery-shot metric of the 20 splits of the classic protocol; the two "
    "views of a camera pair are the cameras. Nothing is marked as junk."
)

PROTOCOLS: Mapping[str, Protocol] = {
    "market1501": Protocol(
        "Market-1501. Its junk images (id -1) were dropped when the dataset was built; its distractors (id 0000) stay "
        "in the gallery."
    ),
    "dukemtmc_reid": Protocol(
        "DukeMTMC-reID, which its makers have withdrawn: look at what your institution allows before you report scores "
        "on it. Nothing is marked as junk."
    ),
    "cuhk03/labeled": Protocol(_CUHK03.format(boxes="boxes drawn by hand (labeled)")),
    "cuhk03/detected": Protocol(_CUHK03.format(boxes="boxes of a person detector (detected)")),
    "msmt17": Protocol("MSMT17, release {release}. Nothing is marked as junk."),
    "partial_reid": Protocol(
        "Partial REID, all against all: every partial image as a query against every whole-body image. Test only; the "
        "occluded images of the archive take no part.",
        ranks=(1, 3, 5, 10),
        cameras=False,
        index_pairs=True,
    ),
    "partial_ilids": Protocol(
        "Partial-iLIDS: every partial image as a query against every whole-body image. Test only.",
        ranks=(1, 3, 5, 10),
        cameras=False,
        single_shot=True,
    ),
    "pit_reid": Protocol(
        "pit_reid, our own: rendered persons, no published benchmark, so only scores on the same rendering compare. "
        "Nothing is marked as junk.",
        more_queries={
            "query_partial": (
                "Partial queries, as in Partial REID: boxes that hold a part of a test person, each from a camera "
                "other than that of a correct match."
            ),
            "query_occluded": (
                "Occluded queries, as in occluded benchmarks: something stands before each test person (a pole, a car, "
                "a plant, another person)."
            ),
        },
    ),
}
_UNKNOWN = Protocol(
    "No protocol is known for a dataset of this name: it is scored by the Market-1501 rule, with every image of its "
    "splits query and gallery."
)
# Other boxes around the same persons in the same cameras.
_SAME_PERSONS = frozenset({"cuhk03/labeled", "cuhk03/detected"})


@dataclasses.dataclass(frozen=True)
class Options:
    """How an evaluation scores.

    Attributes:
        metric: "euclidean" or "cosine"; "" for the `test_metric` of the run's config.
        average_precision: "standard", or "trapezoidal" as in the Market authors' MATLAB code.
        flip: Average embeddings with those of the mirror images.
        rerank: Settings of k-reciprocal re-ranking; None for none.
        runtime: What computes the embeddings, one of `runtimes.RUNTIMES`.
        checkpoint: Which of the run's checkpoints is scored, see `san_jax.checkpoint.find`.
        same_camera: What becomes of gallery images of the query's identity and camera, one of
            `ranking_settings.SAME_CAMERA`.
        batch_norm: Pictures whose statistics batch normalisation uses in place of the run's; None for the run's.

    Raises:
        ValueError: An unknown metric, average precision, runtime or same_camera.
    """

    metric: str = ""
    average_precision: str = "standard"
    flip: bool = False
    rerank: ranking.KReciprocal | None = None
    runtime: str = runtimes.JAX
    checkpoint: str = run_folder.NEWEST
    same_camera: str = "auto"
    batch_norm: Reestimation | None = None

    def __post_init__(self) -> None:
        # Now, not after the images of a large gallery have been embedded.
        choices = {
            "metric": ranking.METRICS,
            "average_precision": ranking.AVERAGE_PRECISIONS,
            "runtime": runtimes.RUNTIMES,
            "same_camera": SAME_CAMERA,
        }
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known and not (name == "metric" and not value):
                raise ValueError(f"{name} must be one of {', '.join(known)}, found {value!r}.")

    def with_metric_of(self, plan: RunPlan) -> "Options":
        """Return these options with the metric of a run where none was chosen."""
        return dataclasses.replace(self, metric=self.metric or plan.test_metric or "euclidean")

    def cameras_of(self, query: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the camera numbers to rank with: where matches of the query's camera are kept, no two are the same."""
        if not self.keeps_same_camera(query, gallery):
            return query, gallery
        return np.zeros_like(query), np.ones_like(gallery)

    def keeps_same_camera(self, query: np.ndarray, gallery: np.ndarray) -> bool:
        """Return whether gallery images of the query's identity and camera stay in the ranking.

        Args:
            query, gallery: Camera numbers of their images.
        """
        if self.same_camera == "auto":
            return len(np.unique(np.concatenate([query, gallery]))) == 1
        return self.same_camera == "keep"

    @property
    def suffix(self) -> str:
        """The part of a file name that tells the options which differ from the defaults."""
        parts = {
            "cosine": self.metric == "cosine",
            "trapezoidal": self.average_precision == "trapezoidal",
            "keep": self.same_camera == "keep",
            "flip": self.flip,
            "best" if self.checkpoint == run_folder.BEST else f"step{self.checkpoint}": self.checkpoint
            != run_folder.NEWEST,
            "onnx": self.runtime == runtimes.ONNX,
            "" if self.batch_norm is None else self.batch_norm.suffix: self.batch_norm is not None,
            "rerank": self.rerank is not None,
        }
        suffix = "".join(f"_{part}" for part, given in parts.items() if given)
        if self.rerank is not None:
            defaults = dataclasses.asdict(ranking.KReciprocal())
            settings = dataclasses.asdict(self.rerank)
            suffix += "".join(f"_{name}={value:g}" for name, value in settings.items() if value != defaults[name])
        return suffix

    def file_name(self, dataset: str) -> str:
        """Return the name of the file, in the run's folder `report`, of a dataset's scores with these options."""
        return f"evaluate_{dataset.replace('/', '_')}{self.suffix}.json"


@dataclasses.dataclass(frozen=True)
class Training:
    """What a model was trained on.

    Attributes:
        data: What `folder.read_data` returns for its run; None where it is not known.
        started_from: The same for the runs that its weights started from, newest first, by their folders.
    """

    data: Mapping[str, Any] | None
    started_from: Mapping[str, Mapping[str, Any] | None] = dataclasses.field(default_factory=dict)

    @property
    def known(self) -> list[Mapping[str, Any]]:
        """What is recorded of the run and of those that it started from."""
        return [data for data in (self.data, *self.started_from.values()) if data is not None]


@dataclasses.dataclass(frozen=True)
class Scored:
    """What an evaluation scored.

    Attributes:
        dataset: Name of the dataset.
        metadata: What its builder noted, see `data_sources.read_metadata`.
        training: What the model was trained on.
        num_query, num_gallery: Numbers of images.
        dimensions: Length of an embedding.
        image_size: Height and width that images are resized to.
        san_pg: Folder of the SAN-PG run whose textures are embedded in place of the images; "" for the images.
        kept_camera: Where gallery images of the query's identity and camera are kept as correct matches: why, in words;
            "" where they are dropped.
        batch_norm: What `batch_norm.Reestimation.apply` noted; None where the statistics are the run's.
    """

    dataset: str
    metadata: Mapping[str, Any]
    training: Training
    num_query: int
    num_gallery: int
    dimensions: int
    image_size: Sequence[int]
    san_pg: str = ""
    kept_camera: str = ""
    batch_norm: Mapping[str, Any] | None = None


def find(dataset: str) -> Protocol:
    """Return the protocol of a dataset; the Market-1501 rule for an unknown one."""
    return PROTOCOLS.get(dataset, _UNKNOWN)


def query_splits(dataset: str, splits: Collection[str]) -> list[str]:
    """Return those of a built dataset's splits that hold further queries; not every copy has them all."""
    return [split for split in find(dataset).more_queries if split in splits]


def relation(dataset: str, training: Training) -> str:
    """Tell how the tested dataset relates to those of training.

    Returns:
        "same-dataset" (even where only a run that the weights come from was trained on it), "same persons, other boxes"
        (CUHK03), "cross-dataset", or "training not recorded".
    """
    datasets = {data["dataset"] for data in training.known}
    if dataset in datasets:
        return "same-dataset"
    if training.data is None:
        return "training not recorded"
    return "same persons, other boxes" if dataset in _SAME_PERSONS and datasets & _SAME_PERSONS else "cross-dataset"


def words(scored: Scored, options: Options) -> str:
    """Return the protocol of an evaluation in words; the options name a metric."""
    protocol = find(scored.dataset)
    missing = [rank for rank in protocol.ranks if rank > scored.num_gallery]
    return " ".join(
        [
            *partial_warnings(scored.dataset, scored.metadata, scored.training),
            *([] if scored.batch_norm is None else [batch_norm.words(scored.batch_norm, scored.dataset)]),
            # The builder of own pictures notes what query and gallery are.
            scored.metadata.get("protocol")
            or protocol.about.format(release=scored.metadata.get("release", "not recorded")),
            _rule(protocol, scored.kept_camera),
            _shots(protocol, scored.num_query, scored.num_gallery),
            *(f"The gallery is too small for rank {rank}, which is left out." for rank in missing),
            _scores(options),
            _distance(options, scored),
            training_words(scored.dataset, scored.training),
        ]
    )


def partial_warnings(dataset: str, metadata: Mapping[str, Any], training: Training) -> list[str]:
    """Return warnings where the tested dataset or one of training is a partial copy."""
    warnings = []
    if metadata.get("partial"):
        found, expected = metadata["counts"], metadata["counts_expected"]
        details = [count(metadata["num_problems"], "problem")]
        details += [
            f"{found[name]:,} of {expected[name]:,} {name}"
            for name in ("query images", "gallery images")
            if name in expected and found[name] != expected[name]
        ]
        warnings.append(
            f"PARTIAL: {dataset} was built from a partial copy ({', '.join(details)}); these scores do not compare "
            "with published ones."
        )
    copies = dict.fromkeys(data["dataset"] for data in training.known if data["partial"])
    warnings += [f"PARTIAL: the model was trained on a partial copy of {name}." for name in copies]
    return warnings


def training_words(dataset: str, training: Training) -> str:
    """Return sentences that say what the model was trained on, and whether that is the tested dataset."""
    if training.data is None:
        text = (
            "What the model was trained on is not recorded (its run was made by an older version), so neither is "
            "whether a val split was trained on"
        )
    else:
        text = f"{relation(dataset, training).capitalize()}"
        if relation(dataset, training) != relation(dataset, Training(training.data)):
            text += " (by a run that the weights started from)"
        text += f": the model was trained on {_data_words(training.data)}"
    for number, (workdir, data) in enumerate(training.started_from.items()):
        trained = "whose training is not recorded" if data is None else f"trained on {_data_words(data)}"
        text += f"{'; that one started' if number else '. Its weights started'} from the run {workdir}, {trained}"
    if relation(dataset, training) == "same persons, other boxes":
        text += ". The two kinds of boxes differ in a training identity, so one tested person may have been trained on"
    return text + "."


def _data_words(data: Mapping[str, Any]) -> str:
    splits = list(data["splits"])
    counts = [f"{data[key]:,} {key}" for key in ("images", "identities") if data[key] is not None]
    text = f"{data['dataset']}, {'splits' if len(splits) > 1 else 'split'} {' and '.join(splits)} ({', '.join(counts)})"
    if data["dataset"] == "msmt17":
        text += ", with val" if "val" in splits else ", without val"
    if "san_pg_sha256" in data:
        text += ", on SAN-PG's textures in place of the images"
    if data.get("target") == "true_texture":
        text += ", with the true textures as the decoder's target (an oracle)"
    elif "target" in data:
        text += f", with the decoder's target {data['target']}"
    if data.get("batch_norm_images"):
        text += f", with BatchNorm statistics re-estimated on {data['batch_norm_images']:,} of its images after the last step"
    if data["pit"] is not None:
        text += f", and on {count(data['pit']['images'], 'synthetic image')} of {data['pit']['dataset']}"
    return text


def index_pairs(
    query_names: Sequence[str], query_ids: np.ndarray, gallery_names: Sequence[str], gallery_ids: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the single-shot splits of Partial REID, one for each pair of a query index and a gallery index.

    An image `.../001_003.jpg` has index 3. A split holds every identity once in the query and once in the gallery, so
    an index takes part if every identity that is in both has an image of it: in a partial copy not all do.

    Args:
        query_names, gallery_names: Names of the examples.
        query_ids, gallery_ids: Their identities [Q], [G].

    Returns:
        (positions in the query, positions in the gallery) of each split, both in increasing identity. None where no
        pair of indices is complete.

    Raises:
        ValueError: A name without an index.
    """
    people = sorted(set(query_ids.tolist()) & set(gallery_ids.tolist()))

    def complete(names: Sequence[str], ids: np.ndarray) -> list[np.ndarray]:
        positions: dict[int, dict[int, int]] = {}
        for position, (name, person) in enumerate(zip(names, ids.tolist(), strict=True)):
            positions.setdefault(_image_index(name), {})[person] = position
        return [
            np.array([found[person] for person in people])
            for _, found in sorted(positions.items())
            if people and found.keys() >= set(people)
        ]

    queries, galleries = complete(query_names, query_ids), complete(gallery_names, gallery_ids)
    return [(query, gallery) for query in queries for gallery in galleries]


def single_shot_words(num_splits: int, num_identities: int, options: Options) -> str:
    """Return what `words` does not say of the scores that are averaged over the splits of `index_pairs`."""
    whole = 25
    if not num_splits:
        return (
            "Single-shot: not scored, for no pair of a query index and a gallery index is complete: each would need an "
            f"image of each of the {count(num_identities, 'identity', 'identities')}, and this copy is partial."
        )
    gap = "" if num_splits == whole else f" (only those are complete, of {whole}: this copy is partial)"
    rerank = " Re-ranking looks at the images of each split alone." if options.rerank is not None else ""
    return (
        f"Single-shot: averaged over {count(num_splits, 'pair')} of a query index and a gallery index{gap}; in each, "
        f"{count(num_identities, 'query', 'queries')} and {count(num_identities, 'gallery image')}, one of each "
        f"identity.{rerank} Papers report either this or all against all."
    )


def query_split_words(dataset: str, split: str, num_query: int, options: Options) -> str:
    """Return what `words` does not say of the scores over a split of `Protocol.more_queries`."""
    rerank = " Re-ranking looks at these queries and the gallery alone." if options.rerank is not None else ""
    return (
        f"{split}: {find(dataset).more_queries[split]} {count(num_query, 'single query', 'single queries')} against "
        f"the same gallery; rule, AP and distance as above.{rerank}"
    )


def _image_index(name: str) -> int:
    match = re.fullmatch(r"\d+_(\d+)", pathlib.PurePosixPath(name).stem)
    if match is None:
        raise ValueError(f"{name}: expected a name such as 001_003.jpg, whose second number is the image's index.")
    return int(match[1])


def kept_camera_words(options: Options, query_cameras: np.ndarray, gallery_cameras: np.ndarray) -> str:
    """Return why matches of the query's own camera are kept; "" where they are dropped."""
    if not options.keeps_same_camera(query_cameras, gallery_cameras):
        return ""
    if options.same_camera == "keep":
        return "as --same_camera=keep asks"
    return "for no camera is known" if query_cameras[0] < 0 else "for all images are of one camera"


def _rule(protocol: Protocol, kept_camera: str) -> str:
    if kept_camera and protocol.cameras:
        return (
            f"Gallery images of the query's identity and camera are kept as correct matches, {kept_camera} (not the "
            "Market-1501 rule, which drops them; scores are higher than across cameras): for each query the whole "
            "gallery is ranked; queries without their identity in the gallery are skipped."
        )
    if protocol.cameras:
        return (
            "For each query, gallery images of the same identity and the same camera are dropped, and all others are "
            "ranked, those of identities without a query too (distractors); queries left without a correct match are "
            "skipped."
        )
    return (
        "There are no cameras (the query counts as one, the gallery as another), so for each query the whole gallery "
        "is ranked and nothing is dropped; queries without their identity in the gallery are skipped."
    )


def _shots(protocol: Protocol, num_query: int, num_gallery: int) -> str:
    gallery = "one image (single-shot)" if protocol.single_shot else "all its images (multi-shot)"
    return (
        f"{count(num_query, 'single query', 'single queries')} against {count(num_gallery, 'gallery image')}, of each "
        f"identity {gallery}."
    )


def _scores(options: Options) -> str:
    precision = {
        "standard": (
            "AP is the mean of the precision at each correct match (not the trapezoidal area of the Market authors' "
            "MATLAB code)"
        ),
        "trapezoidal": (
            "AP is the area under the precision-recall curve by trapezoids, as in the Market authors' MATLAB code (not "
            "the mean of the precision at each correct match)"
        ),
    }[options.average_precision]
    return (
        f"{precision}, mINP the mean of (number of correct matches) / (rank of the last one). Equal distances are "
        "ranked by gallery index."
    )


def _distance(options: Options, scored: Scored) -> str:
    distance = {"euclidean": "Euclidean distance", "cosine": "Cosine distance"}[options.metric]
    flip = "each averaged with that of the mirror image (flip-test averaging)" if options.flip else "no flip averaging"
    inputs = f"textures that the run {scored.san_pg} regresses from the images" if scored.san_pg else "images"
    text = (
        f"{distance} between {scored.dimensions}-d embeddings of the encoder alone, {inputs} resized to "
        f"{scored.image_size[0]}x{scored.image_size[1]}, {flip}; "
    )
    if options.rerank is None:
        return text + "no re-ranking."
    settings = options.rerank
    unit = " of embeddings of length 1" if options.metric == "cosine" else ""
    return text + (
        f"k-reciprocal re-ranking (Zhong et al., CVPR 2017; k1={settings.k1}, k2={settings.k2}, "
        f"lambda={settings.lambda_value:g}) from squared Euclidean distances{unit}; it looks at all queries and the "
        "whole gallery at once, before any image is dropped."
    )
