"""The baseline of Table 1: SA-Enc with L_ID and L_Triplet, no decoder.

Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification", AAAI 2020, section 4.2 (Table 1 on
Market-1501: rank-1 94.1, mAP 83.2, from ImageNet weights, as in the released code).

    python -m experiments.train --config=baseline.py --workdir=runs/baseline

Loss weights, batches and schedule are `san.py`'s, so that the two differ in the method alone. The encoder starts from
ImageNet's weights (`pretrained`: the file is yours to fetch, the error says which; `pretrained=` starts from random ones), with
`init_from=runs/san_pg` where SAN's does.

`baseline.py:dataset=dukemtmc_reid` takes another benchmark. 320 epochs (20 of warm-up and 300) of each, in steps of 16
identities:

| dataset | identities | `optimizer.steps_per_epoch` | `num_steps` |
|---|---|---|---|
| market1501 | 751 | 47 | 15040 |
| dukemtmc_reid | 702 | 44 | 14080 |
| cuhk03/labeled, cuhk03/detected | 767 | 48 | 15360 |
| msmt17 (train + val) | 1,041 | 66 | 21120 |
| pit_reid | 1,000 | 63 | 20160 |

`input=texture,generator=runs/san_pg,image_size=(256, 256)` has generated textures as the reID network's input in place of the
images: those of `<dataset>_textured` in training, at test those that the generator regresses.

Cost: 15,040 steps of batch 64, without decoder; `python -m experiments.benchmark` measures images/s on your device.
`baseline.py:smoke` renders its own data and takes a minute on two cores.
"""

from ml_collections import ConfigDict

from experiments.command_line import config_files

SMOKE = {
    "prepare": "smoke",
    "pretrained": "",
    "dataset": "pit_reid",
    "data_dir": "data/smoke",
    "image_size": (64, 32),
    "num_workers": 0,
    "num_steps": 8,
    "log_every": 2,
    "checkpoint_every": 4,
    "model.width": 8,
    "model.stage_sizes": (1, 1, 1, 1),
    "batch.num_identities": 4,
    "batch.images_per_identity": 2,
    "optimizer.steps_per_epoch": 1,
    "optimizer.warmup_epochs": 4,
}


def get_config(argument: str = "") -> ConfigDict:
    """The config; `argument` is a comma list of `smoke` and key=value."""
    config = ConfigDict()
    config.stage = "baseline"  # what is trained: "pg", "san" or "baseline"; each has a config of its own
    config.seed = 0  # seed of the initial weights, the order of examples and the augmentation
    config.dataset = "market1501"  # benchmark to train on; `python -m experiments.prepare` builds it
    config.use_val = True  # train on val too, where the dataset has one (MSMT17)
    config.data_dir = "data"  # where TFDS keeps datasets
    config.prepare = ""  # "smoke": make small data first, where it is missing
    config.init_from = ""  # workdir of another run to take the encoder from
    config.pretrained = (
        "imagenet"  # where init_from is empty; or a file, or "": see `experiments/runs/initial_weights.py`
    )
    config.init_classifier = False  # take its classifier too: that run was trained on the same identities
    config.input = "image"  # or "texture": the texture that `generator` regresses from an image, in its place
    config.generator = ""  # with input="texture": workdir of the SAN-PG run
    config.test_metric = "euclidean"  # what `evaluate` takes where it is not told; or "cosine"
    config.image_size = (256, 128)  # height and width that images are resized to
    config.num_workers = 4  # processes that read and decode images; 0: this process does it

    config.num_steps = 320 * 47  # 320 epochs
    config.log_every = 50  # steps between lines of metrics
    config.checkpoint_every = 500  # steps between checkpoints
    config.keep_checkpoints = 2  # number of the newest checkpoints to keep
    config.ema_decay = 0.0  # decay of an average of the weights, such as 0.999, which is then evaluated; 0: no average

    config.model = ConfigDict()
    config.model.encoder = "resnet50"  # or "resnet101", "densenet121"
    config.model.width = 64  # base number of channels; 64 is the real network
    config.model.stage_sizes = ()  # blocks per stage; () is the encoder's own
    config.model.feature_size = 0  # n > 0: a fully connected layer gives n numbers; the released code: 512
    config.model.pooling = "average"  # or "gem", the generalised mean
    config.model.bnneck = False  # a batch normalisation between triplet loss and classifier, also at test
    config.model.compute_dtype = "float32"  # or "bfloat16"

    config.batch = ConfigDict()
    config.batch.num_identities = 16  # identities in a reID batch
    config.batch.images_per_identity = 4  # images of each of them

    config.loss = ConfigDict()
    config.loss.identification = 0.5  # weight of L_ID
    config.loss.triplet = 1.5  # weight of L_Triplet
    config.loss.label_smoothing = 0.0  # label smoothing of L_ID; the released code: 0.1
    config.loss.triplet_margin = 0.3  # margin of L_Triplet

    config.augment = ConfigDict()  # augmentation of the images
    config.augment.crop_probability = 0.0  # probability of cropping to a partial image; `baseline_partial.py` has 0.5
    config.augment.crop_height = (0.4, 1.0)  # smallest and largest height of the window, as a share of the image's
    config.augment.crop_width = (0.5, 1.0)  # smallest and largest width, as a share of the image's
    config.augment.translate_probability = 0.5  # probability of enlarging an image and cropping it to its old size
    config.augment.enlargement = 1.125  # factor of that enlargement
    config.augment.flip_probability = 0.5  # probability of mirroring left and right
    config.augment.erase_probability = 0.5  # probability of erasing a random rectangle
    config.augment.erase_fill = (0.0, 0.0, 0.0)  # what the rectangle holds, in normalised units: the ImageNet mean

    config.optimizer = ConfigDict()
    config.optimizer.name = "amsgrad"  # or "adam"
    config.optimizer.schedule = "released"  # "released" halves the rate every 40 epochs; "cosine" ends at 0
    config.optimizer.learning_rate = 8e-4  # the full rate, which the warm-up ends with
    config.optimizer.steps_per_epoch = 47  # steps in an epoch of the dataset: see the table at the top of the file
    config.optimizer.warmup_epochs = 20  # epochs in which the rate rises to the full one
    config.optimizer.weight_decay = 5e-4  # L2, added to the gradient
    config.optimizer.b1 = 0.9  # decay of Adam's mean of gradients
    config.optimizer.b2 = 0.999  # decay of Adam's mean of squared gradients
    config.optimizer.eps = 1e-8  # added to Adam's denominator

    return config_files.apply(config, argument, smoke=SMOKE)
