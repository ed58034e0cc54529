"""SAN, the joint stage: the four losses on a reID benchmark with pseudo textures, and L_Rec on PIT, in turn.

Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification", AAAI 2020, section 3.2; the paper's
setting on Market-1501 (Table 1, last row: rank-1 96.1, mAP 88.0, SAN-PG from ImageNet weights, as in the released code).

    python -m experiments.pseudo_texture --workdir=runs/san_pg --dataset=market1501 --data_dir=data
    python -m experiments.train --config=san.py --config.init_from=runs/san_pg --workdir=runs/san

What the paper leaves open follows the released code: batch 16 x 4, AMSGrad with L2, 20 epochs of warm-up and 300 with
the rate halved every 40, shift, flip and erasing; L_ID is the paper's plain cross entropy.

`san.py:dataset=dukemtmc_reid` takes another benchmark; with `target=texture` it is read as `<dataset>_textured`. 320 epochs of each, of reID
steps with 16 identities and as many PIT steps:

| dataset | identities | `optimizer.steps_per_epoch` | `num_steps` |
|---|---|---|---|
| market1501 | 751 | 94 | 30080 |
| dukemtmc_reid | 702 | 88 | 28160 |
| cuhk03/labeled, cuhk03/detected | 767 | 96 | 30720 |
| msmt17 (train + val) | 1,041 | 132 | 42240 |
| pit_reid | 1,000 | 126 | 40320 |

The paper's ablation: SAN w/ syn. data is `loss.triplet_reid=0.0`; SAN w/ L_TR is
`turns=('reid',),optimizer.steps_per_epoch=47,num_steps=15040` (half the steps: as many reID batches), SAN-basic the same with
`loss.triplet_reid=0.0`. `python -m experiments.ablate` trains and compares them all. `loss.triplet_reid_channels=sum` has L_TR
as equation 1 writes it; the default, its mean over channels (the released code's scale), did better (docs/ablation.md).

The paper's Table 2 has other targets of the decoder: `target=input` and `target=frontal` (of `<dataset>_frontal`, which
`experiments.pseudo_texture` makes from a SAN-PG run with `target=frontal`), each from a SAN-PG run with that target; and
`target=folder,target_dir=DIR,turns=('reid',)` for images of your own, as those of PN-GAN, with the steps of SAN w/ L_TR. `target=true_texture` is an oracle
of ours on `pit_reid`. `experiments.runs.targets` says where each target is found. A smoke run of `frontal` or `input` needs a folder
for a SAN-PG of its own: `san.py:smoke,target=frontal,init_from=data/smoke/san_pg_frontal`.

Cost: 30,080 steps of batch 64; `python -m experiments.benchmark` measures images/s on your device.
`san.py:smoke` renders its own data, trains its own SAN-PG and takes a few minutes on two cores.
"""

from ml_collections import ConfigDict

from experiments.command_line import config_files

SMOKE = {
    "prepare": "smoke",
    "pretrained": "",
    "dataset": "pit_reid",
    "data_dir": "data/smoke",
    "init_from": "data/smoke/san_pg",
    "image_size": (64, 32),
    "num_workers": 0,
    "num_steps": 8,
    "log_every": 2,
    "checkpoint_every": 4,
    "model.width": 8,
    "model.stage_sizes": (1, 1, 1, 1),
    "model.texture_size": 32,
    "batch.num_identities": 4,
    "batch.images_per_identity": 2,
    "batch.pit_size": 8,
    "optimizer.steps_per_epoch": 2,
    "optimizer.warmup_epochs": 2,
}


def get_config(argument: str = "") -> ConfigDict:
    """The config; `argument` is a comma list of `smoke` and key=value."""
    config = ConfigDict()
    config.stage = "san"  # what is trained: "pg", "san" or "baseline"; each has a config of its own
    config.seed = 0  # seed of the initial weights, the order of examples and the augmentation
    config.dataset = "market1501"  # benchmark to train on; `python -m experiments.prepare` builds it
    config.use_val = True  # train on val too, where the dataset has one (MSMT17)
    config.pit_dataset = "pit"  # dataset of the PIT batches; `python -m experiments.pit_render` makes it
    config.data_dir = "data"  # where TFDS keeps datasets
    config.prepare = ""  # "smoke": make small data and a small SAN-PG first, where they are missing
    config.init_from = ""  # workdir of the SAN-PG run, to take encoder and decoder from
    config.pretrained = (
        "imagenet"  # where init_from is empty; or a file, or "": see `experiments/runs/initial_weights.py`
    )
    config.init_classifier = False  # take its classifier too: that run was trained on the same identities
    config.target = "texture"  # what the decoder reconstructs: see `experiments.runs.targets`
    config.target_dir = ""  # with target="folder": images named as the training images
    config.test_metric = "euclidean"  # what `evaluate` takes where it is not told; or "cosine"
    config.turns = ("reid", "pit")  # which batch each step takes, over and over
    config.image_size = (256, 128)  # height and width that images are resized to
    config.num_workers = 4  # processes that read and decode images; 0: this process does it

    config.num_steps = 320 * 94  # 320 epochs of reID batches and as many PIT batches
    config.log_every = 50  # steps between lines of metrics
    config.checkpoint_every = 500  # steps between checkpoints
    config.keep_checkpoints = 2  # number of the newest checkpoints to keep
    config.ema_decay = 0.0  # decay of an average of the weights, such as 0.999, which is then evaluated; 0: no average

    config.model = ConfigDict()
    config.model.encoder = "resnet50"  # or "resnet101", "densenet121"
    config.model.width = 64  # base number of channels; 64 is the real network
    config.model.stage_sizes = ()  # blocks per stage; () is the encoder's own
    config.model.texture_size = 256  # height and width of what the decoder gives
    config.model.skips = False  # U-Net skips from the encoder into the decoder, as in the released code
    config.model.feature_size = 0  # n > 0: a fully connected layer gives n numbers; the released code: 512
    config.model.pooling = "average"  # or "gem", the generalised mean
    config.model.bnneck = False  # a batch normalisation between triplet loss and classifier, also at test
    config.model.compute_dtype = "float32"  # or "bfloat16"

    config.batch = ConfigDict()
    config.batch.num_identities = 16  # identities in a reID batch
    config.batch.images_per_identity = 4  # images of each of them
    config.batch.pit_size = 64  # images in a PIT batch

    config.loss = ConfigDict()
    config.loss.identification = 0.5  # weight of L_ID
    config.loss.triplet = 1.5  # weight of L_Triplet
    config.loss.reconstruction = 1.0  # weight of L_Rec, on reID and on PIT batches
    config.loss.triplet_reid = 1.0  # weight of L_TR
    config.loss.label_smoothing = 0.0  # label smoothing of L_ID; the released code: 0.1
    config.loss.triplet_margin = 0.3  # margin of L_Triplet
    config.loss.triplet_reid_margin = 0.3  # margin of L_TR
    config.loss.triplet_reid_channels = "mean"  # or "sum", as in equation 1; "mean" did better (docs/ablation.md)
    config.loss.triplet_reid_blocks = (1, 2, 3)  # blocks of the decoder that count; the released code: all four
    config.loss.triplet_reid_sampling = "random"  # or "fixed": the released code's triplets, for 4 images per identity

    config.augment = ConfigDict()  # augmentation of reID images
    config.augment.mirror_textures = False  # mirror the texture of a flipped image; the released code does not
    config.augment.crop_probability = 0.0  # probability of cropping to a partial image; `san_partial.py` has 0.5
    config.augment.crop_height = (0.4, 1.0)  # smallest and largest height of the window, as a share of the image's
    config.augment.crop_width = (0.5, 1.0)  # smallest and largest width, as a share of the image's
    config.augment.translate_probability = 0.5  # probability of enlarging an image and cropping it to its old size
    config.augment.enlargement = 1.125  # factor of that enlargement
    config.augment.flip_probability = 0.5  # probability of mirroring left and right
    config.augment.erase_probability = 0.5  # probability of erasing a random rectangle
    config.augment.erase_fill = (0.0, 0.0, 0.0)  # what the rectangle holds, in normalised units: the ImageNet mean

    config.pit_augment = ConfigDict()  # augmentation of PIT images
    config.pit_augment.mirror_textures = False  # to flip PIT images, set it and flip_probability
    config.pit_augment.translate_probability = 0.5  # probability of enlarging an image and cropping it to its old size
    config.pit_augment.enlargement = 1.125  # factor of that enlargement
    config.pit_augment.flip_probability = 0.0  # probability of mirroring left and right
    config.pit_augment.erase_probability = 0.0  # probability of erasing a random rectangle

    config.optimizer = ConfigDict()
    config.optimizer.name = "amsgrad"  # or "adam"
    config.optimizer.schedule = "released"  # "released" halves the rate every 40 epochs; "cosine" ends at 0
    config.optimizer.learning_rate = 8e-4  # the full rate, which the warm-up ends with
    config.optimizer.steps_per_epoch = 94  # steps in an epoch of the dataset: see the table at the top of the file
    config.optimizer.warmup_epochs = 20  # epochs in which the rate rises to the full one
    config.optimizer.weight_decay = 5e-4  # L2, added to the gradient
    config.optimizer.b1 = 0.9  # decay of Adam's mean of gradients
    config.optimizer.b2 = 0.999  # decay of Adam's mean of squared gradients
    config.optimizer.eps = 1e-8  # added to Adam's denominator
    config.optimizer.alternating = False  # the released code: reID losses, then L_Rec and L_TR by an Adam of their own
    config.optimizer.reconstruction_learning_rate = 1e-5  # learning rate of that Adam
    config.optimizer.reconstruction_b1 = 0.5  # its decay of the mean of gradients

    return config_files.apply(config, argument, smoke=SMOKE)
