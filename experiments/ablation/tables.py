"""The rows of the paper's tables as configs, with the paper's numbers, for `experiments.ablate`.

A row is a training config and what differs from it; all rows of a table have one budget of identity-labelled batches.
Rows marked `ours` are not in the paper. Numbers: Jin et al., AAAI 2020, Tables 1 to 4 (rank-1, mAP; Table 4 rank-1, 5,
10).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

Scores = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class SanPg:
    """A SAN-PG run: what its targets and starts come from.

    Attributes:
        encoder: "resnet50", "resnet101" or "densenet121".
        target: What it regresses: "texture", "frontal" or "input".
    """

    encoder: str = "resnet50"
    target: str = "texture"

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.encoder}_{self.target}"


TEXTURES = SanPg()


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        key: Names the run's folder. Rows of several tables that are one model have one key.
        name: As the paper's table has it, or what we call it.
        config: The config file of `experiments.train`.
        changes: Dotted keys that differ from it.
        start: "file" (ImageNet weights, another file's, or random ones), "san_pg" (encoder, and decoder where the row
            has one, of `san_pg`), or "row" (the weights of the row `start_row`, classifier included).
        start_row: Key of the row that it starts from.
        san_pg: The SAN-PG run that the row's targets and start come from; None for none.
        start_san_pg: The SAN-PG run that it starts from where that is another one.
        paper: Column of the paper -> scores in percent.
        ours: Whether the row is not in the paper's table.
        only: Datasets that the row can be made for; () for all.
        trained_on: The dataset that it is trained on where that is not the table's (direct transfer); "" for the
            table's.
        note: What a reader has to know about the row.
    """

    key: str
    name: str
    config: str = "san"
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    start: str = "san_pg"
    start_row: str = ""
    san_pg: SanPg | None = TEXTURES
    start_san_pg: SanPg | None = None
    paper: Mapping[str, Scores] = dataclasses.field(default_factory=dict)
    ours: bool = False
    only: tuple[str, ...] = ()
    trained_on: str = ""
    note: str = ""

    def belongs_to(self, dataset: str) -> bool:
        """Whether the table of a dataset has this row."""
        return dataset != self.trained_on and (not self.only or dataset in self.only)

    def training_set(self, dataset: str) -> str:
        """What the row of a dataset's table is trained on."""
        return self.trained_on or dataset


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: One line.
        rows: In order.
        scores: Which scores are shown.
        evaluated: Training dataset -> ((column, dataset to score on, part of its summary or ""), ...); a dataset that
            is not there is scored on itself.
        textures: Whether the quality of the SAN-PG runs' textures belongs to it.
        compared: Keys of (row, row that it is compared with); () for each row with the first.
    """

    title: str
    rows: tuple[Row, ...]
    scores: tuple[str, ...] = ("rank1", "mAP")
    evaluated: Mapping[str, tuple[tuple[str, str, str], ...]] = dataclasses.field(default_factory=dict)
    textures: bool = False
    compared: tuple[tuple[str, str], ...] = ()

    def columns(self, dataset: str) -> tuple[tuple[str, str, str], ...]:
        """(column, dataset to score on, part of the summary) for a training dataset."""
        return self.evaluated.get(dataset, ((dataset, dataset, ""),))


def _paper(cuhk03: Scores, market1501: Scores) -> dict[str, Scores]:
    return {"CUHK03 (L)": cuhk03, "Market1501": market1501}


REID_ONLY = {"batch_kinds": ("reid",)}
NO_L_TR = {"loss.triplet_reid": 0.0}

BASELINE = Row(
    "baseline",
    "Baseline (ResNet-50)",
    config="baseline",
    start="file",
    san_pg=None,
    paper=_paper((73.7, 69.8), (94.1, 83.2)),
)
BASELINE_FROM_PG = Row(
    "baseline_from_pg",
    "Baseline, encoder from SAN-PG",
    config="baseline",
    ours=True,
    note="separates the gain of pre-training on PIT from that of alignment",
)
SAN_BASIC = Row(
    "san_basic",
    "SAN-basic",
    changes={**REID_ONLY, **NO_L_TR},
    paper=_paper((77.9, 73.7), (95.1, 85.8)),
)
SAN_L_TR = Row("san_l_tr", "SAN w/ L_TR", changes=REID_ONLY, paper=_paper((78.9, 74.9), (95.4, 86.9)))
SAN = Row("san", "SAN", paper=_paper((80.1, 76.4), (96.1, 88.0)))
SAN_TRUE = Row(
    "san_true_textures",
    "SAN on true textures",
    changes={"target.kind": "true_texture"},
    ours=True,
    only=("pit_reid",),
    note="an oracle: supervised by the textures that the persons were rendered with",
)
TRANSFER_BASELINE = Row(
    "transfer_baseline",
    "Baseline, trained on pit_reid alone",
    config="baseline",
    ours=True,
    trained_on="pit_reid",
    note="direct transfer from SAN-PG's encoder; no picture of the benchmark was seen",
)
TRANSFER = Row(
    "transfer",
    "SAN-basic, trained on pit_reid alone",
    changes={**REID_ONLY, **NO_L_TR, "target.kind": "true_texture"},
    ours=True,
    trained_on="pit_reid",
    note="direct transfer; its targets are the textures that the persons were rendered with",
)

TABLE_1 = Table(
    "Table 1: ablation",
    (
        BASELINE,
        BASELINE_FROM_PG,
        SAN_BASIC,
        SAN_L_TR,
        Row("san_syn", "SAN w/ syn. data", changes=NO_L_TR, paper=_paper((78.8, 75.8), (95.7, 86.8))),
        SAN,
        SAN_TRUE,
        TRANSFER_BASELINE,
        TRANSFER,
    ),
    compared=(
        ("baseline_from_pg", "baseline"),
        ("san_basic", "baseline_from_pg"),
        ("san_l_tr", "san_basic"),
        ("san_syn", "san_basic"),
        ("san", "san_l_tr"),
        ("san", "san_syn"),
        ("san_l_tr", "baseline_from_pg"),
        ("san_syn", "baseline_from_pg"),
        ("san", "baseline_from_pg"),
        ("san_true_textures", "san"),
        ("transfer", "transfer_baseline"),
    ),
)


def _reconstruction(key: str, name: str, target: str, san_pg: SanPg, paper: Mapping[str, Scores]) -> Row:
    return Row(key, name, changes={**REID_ONLY, **NO_L_TR, "target.kind": target}, san_pg=san_pg, paper=paper)


TABLE_2 = Table(
    "Table 2: what the decoder reconstructs",
    (
        BASELINE,
        _reconstruction(
            "rec_input",
            "Enc-Dec rec. input",
            "input",
            SanPg(target="input"),
            _paper((74.4, 70.8), (94.3, 84.0)),
        ),
        _reconstruction(
            "rec_pose",
            "Enc-Dec rec. pose",
            "frontal",
            SanPg(target="frontal"),
            _paper((75.8, 72.0), (94.4, 84.5)),
        ),
        dataclasses.replace(
            _reconstruction(
                "rec_pn_gan_pose",
                "Enc-Dec rec. PN-GAN pose",
                "folder",
                SanPg(target="frontal"),
                _paper((76.1, 72.6), (94.3, 84.7)),
            ),
            note="needs --target_dir: the images that PN-GAN made, named as the training images",
        ),
        dataclasses.replace(SAN_BASIC, name="Enc-Dec rec. texture (SAN-basic)"),
        Row(
            "texture_input",
            "SAN-PG's textures as the reID input",
            config="baseline",
            changes={"input.kind": "texture"},
            note="section 4.3 studies it without printing its numbers",
        ),
    ),
)

TABLE_3 = Table(
    "Table 3: benchmarks",
    (
        dataclasses.replace(
            BASELINE,
            paper={
                "cuhk03/labeled": (73.7, 69.8),
                "cuhk03/detected": (69.7, 66.1),
                "market1501": (94.1, 83.2),
                "dukemtmc_reid": (85.9, 71.8),
                "msmt17": (73.8, 47.2),
            },
        ),
        dataclasses.replace(
            SAN,
            paper={
                "cuhk03/labeled": (80.1, 76.4),
                "cuhk03/detected": (79.4, 74.6),
                "market1501": (96.1, 88.0),
                "dukemtmc_reid": (87.9, 75.5),
                "msmt17": (79.2, 55.7),
            },
        ),
    ),
)

TABLE_4 = Table(
    "Table 4: partial persons",
    (
        dataclasses.replace(BASELINE, paper={"Partial REID": (37.8, 65.0, 74.5), "Partial-iLIDS": (42.0, 65.5, 73.2)}),
        dataclasses.replace(SAN, paper={"Partial REID": (39.7, 67.5, 80.5), "Partial-iLIDS": (46.9, 71.2, 78.2)}),
        Row(
            "baseline_partial",
            "Baseline*",
            config="baseline_partial",
            start="row",
            start_row="baseline",
            san_pg=None,
            paper={"Partial REID": (38.9, 67.7, 78.2), "Partial-iLIDS": (46.1, 69.6, 76.1)},
            note="fine-tuned on whole and cropped images",
        ),
        Row(
            "san_partial",
            "SAN*",
            config="san_partial",
            start="row",
            start_row="san",
            paper={"Partial REID": (44.7, 72.4, 86.0), "Partial-iLIDS": (53.7, 77.4, 81.9)},
            note="fine-tuned on whole and cropped images",
        ),
    ),
    scores=("rank1", "rank5", "rank10"),
    evaluated={
        "market1501": (("Partial REID", "partial_reid", ""), ("Partial-iLIDS", "partial_ilids", "")),
        "pit_reid": (
            ("partial queries", "pit_reid", "query_partial"),
            ("occluded queries", "pit_reid", "query_occluded"),
        ),
    },
)


def _backbone(encoder: str, name: str) -> Row:
    # The encoder of the reID network is ResNet-50 in all rows, from one start: textures alone differ.
    same = encoder == TEXTURES.encoder
    return dataclasses.replace(
        SAN_BASIC,
        key="san_basic" if same else f"san_basic_{encoder}",
        name=f"SAN-basic, textures by {name}",
        san_pg=SanPg(encoder),
        start_san_pg=TEXTURES,
        paper={},
    )


TABLE_PG = Table(
    "PG backbones (section 4.3; the paper prints no numbers)",
    (
        _backbone("resnet50", "SAN-PG with ResNet-50"),
        _backbone("resnet101", "SAN-PG with ResNet-101"),
        _backbone("densenet121", "SAN-PG with DenseNet-121"),
    ),
    textures=True,
)


DEFAULT_L_TR = ("mean", 0.3, (1, 2, 3))  # channels, margin, blocks of san.py


def _l_tr(channels: str, margin: float, blocks: tuple[int, ...]) -> Row:
    words = {"sum": "channels summed (equation 1)", "mean": "mean over channels"}[channels]
    settings = {
        "loss.triplet_reid_channels": channels,
        "loss.triplet_reid_margin": margin,
        "loss.triplet_reid_blocks": blocks,
    }
    # The default's run is that of Table 1.
    default = (channels, margin, blocks) == DEFAULT_L_TR
    key = SAN_L_TR.key if default else f"l_tr_{channels}_{margin:g}_{''.join(map(str, blocks))}"
    name = f"{words}, margin {margin:g}, blocks {', '.join(map(str, blocks))}"
    return Row(key, name, changes={**REID_ONLY, **settings}, note="the default of the configs" if default else "")


_L_TR_FORMS = (
    _l_tr("sum", 0.3, (1, 2, 3)),
    _l_tr("mean", 0.3, (1, 2, 3)),
    _l_tr("sum", 3.0, (1, 2, 3)),
    _l_tr("mean", 0.1, (1, 2, 3)),
    _l_tr("mean", 0.3, (1,)),
    _l_tr("mean", 0.3, (1, 2, 3, 4)),
)
# Each differs from the default form in one option; unit vectors from the sum, as their mean is far below the margin.
_L_TR_OPTIONS = (
    Row(
        "l_tr_normalize",
        "directions alone, channels summed",
        changes={**REID_ONLY, "loss.triplet_reid_normalize": True, "loss.triplet_reid_channels": "sum"},
        ours=True,
    ),
    Row(
        "l_tr_stop_gradient",
        "L_TR trains the decoder alone",
        changes={**REID_ONLY, "loss.triplet_reid_stop_gradient": True},
        ours=True,
    ),
    Row(
        "l_tr_cross_camera",
        "positives from other cameras",
        changes={**REID_ONLY, "loss.triplet_reid_cross_camera": True},
        ours=True,
    ),
    Row(
        "l_tr_block_weights",
        "blocks weighted 1, 1/2, 1/4",
        changes={**REID_ONLY, "loss.triplet_reid_block_weights": (1.0, 0.5, 0.25)},
        ours=True,
    ),
    *(
        Row(f"l_tr_{place}", f"on maps {words}", changes={**REID_ONLY, "loss.triplet_reid_maps": place}, ours=True)
        for place, words in (
            ("before_norm", "before the block's last BatchNorm"),
            ("after_norm", "after the block's last BatchNorm"),
            ("after_relu", "after the block's shortcut and ReLU"),
        )
    ),
)

TABLE_L_TR = Table(
    "L_TR by itself: SAN-basic with L_TR of several forms",
    (
        dataclasses.replace(SAN_BASIC, name="without L_TR (SAN-basic)", paper={}),
        *_L_TR_FORMS,
        *_L_TR_OPTIONS,
    ),
    compared=(
        *((row.key, SAN_BASIC.key) for row in (*_L_TR_FORMS, *_L_TR_OPTIONS)),
        *((row.key, SAN_L_TR.key) for row in _L_TR_OPTIONS if row.key != "l_tr_normalize"),
        ("l_tr_sum_0.3_123", SAN_L_TR.key),
        ("l_tr_normalize", "l_tr_sum_0.3_123"),
    ),
)

CLIPPED, NOT_CLIPPED = ({"optimizer.gradient_clip_norm": norm} for norm in (1.0, 0.0))
_FORMS = {"": ("SAN-basic", NO_L_TR)} | {
    channels: (f"L_TR, {words}", {"loss.triplet_reid_channels": channels})
    for channels, words in (("mean", "mean over channels"), ("sum", "channels summed (equation 1)"))
}


def _burst(form: str, key: str, words: str, changes: Mapping[str, Any]) -> Row:
    name, loss = _FORMS[form]
    return Row(
        "_".join(filter(None, ("bursts", form or "basic", key))),
        ", ".join(filter(None, (name, words))),
        changes={**REID_ONLY, **loss, **NOT_CLIPPED, **changes},
    )


TABLE_BURSTS = Table(
    "Bursts of the gradient: what keeps Adam from remembering the first steps",
    (
        *(_burst(form, "", "", {}) for form in _FORMS),
        *(_burst(form, "clipped", "gradient clipped to norm 1", CLIPPED) for form in _FORMS),
        _burst("sum", "b2", "b2 = 0.95", {"optimizer.b2": 0.95}),
        _burst("sum", "amsgrad", "AMSGrad", {"optimizer.name": "amsgrad"}),
        _burst("sum", "rising", "weight rising from 0 over 4 epochs", {"loss.triplet_reid_warmup_epochs": 4.0}),
    ),
    compared=(
        *((f"bursts_{form}_clipped", f"bursts_{form}") for form in ("basic", "mean", "sum")),
        ("bursts_mean", "bursts_basic"),
        ("bursts_sum", "bursts_basic"),
        ("bursts_mean_clipped", "bursts_basic_clipped"),
        ("bursts_sum_clipped", "bursts_basic_clipped"),
        ("bursts_sum_clipped", "bursts_mean_clipped"),
        *((f"bursts_sum_{way}", "bursts_sum_clipped") for way in ("b2", "amsgrad", "rising")),
    ),
)

TABLES = {
    "1": TABLE_1,
    "2": TABLE_2,
    "3": TABLE_3,
    "4": TABLE_4,
    "pg": TABLE_PG,
    "l_tr": TABLE_L_TR,
    "bursts": TABLE_BURSTS,
}
