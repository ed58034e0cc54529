"""SAN-PG, the generator of pseudo textures: SA-Enc and SA-Dec on PIT with L_Rec alone (sections 3.1 and 3.2, step 1, of the paper).

Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification", AAAI 2020.

    python -m experiments.pit_render --config=pit.py --output_dir=rendered/pit --data_dir=data
    python -m experiments.train --config=san_pg.py --workdir=runs/san_pg

The paper gives no schedule for this stage: 100 epochs of the 9,290 pairs (146 steps each at batch 64) with a cosine is
ours. The encoder starts from ImageNet's weights as in the released code (`pretrained`: the file is yours to fetch, the
error says which; `pretrained=` starts from random ones). Images are shifted; they are not flipped, for the texture of the
mirrored person is another one (`pit_augment.mirror_textures`), and not erased, for the whole texture is to be seen.

`target=frontal` regresses PIT's frontal views instead (Table 2), `target=input` the image itself.

Cost: 14,600 steps of batch 64; `python -m experiments.benchmark` measures images/s on your device.
`san_pg.py:smoke` renders its own data and takes a minute on two cores.
"""

from ml_collections import ConfigDict

from experiments.command_line import config_files


def get_config(argument: str = "") -> ConfigDict:
    """The config; `argument` is a comma list of `smoke` and key=value."""
    config = ConfigDict()
    config.stage = "pg"  # what is trained: "pg", "san" or "baseline"; each has a config of its own
    config.seed = 0  # seed of the initial weights, the order of examples and the augmentation
    config.pit_dataset = "pit"  # dataset of the PIT batches; `python -m experiments.pit_render` makes it
    config.data_dir = "data"  # where TFDS keeps datasets
    config.prepare = ""  # "smoke": make small data first, where it is missing
    config.init_from = ""  # workdir of another run to take encoder and decoder from
    config.pretrained = (
        "imagenet"  # where init_from is empty; or a file, or "": see `experiments/runs/initial_weights.py`
    )
    config.target = "texture"  # what the decoder reconstructs: or "input", "frontal", see `experiments.runs.targets`
    config.image_size = (256, 128)  # height and width that images are resized to
    config.num_workers = 4  # processes that read and decode images; 0: this process does it

    config.num_steps = 100 * 146  # 100 epochs
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
    config.model.compute_dtype = "float32"  # or "bfloat16"

    config.batch = ConfigDict()
    config.batch.pit_size = 64  # images in a PIT batch

    config.loss = ConfigDict()
    config.loss.reconstruction = 1.0  # weight of L_Rec

    config.pit_augment = ConfigDict()  # augmentation of the images
    config.pit_augment.mirror_textures = False  # to flip images, set it and flip_probability
    config.pit_augment.translate_probability = 0.5  # probability of enlarging an image and cropping it to its old size
    config.pit_augment.enlargement = 1.125  # factor of that enlargement
    config.pit_augment.flip_probability = 0.0  # probability of mirroring left and right
    config.pit_augment.erase_probability = 0.0  # probability of erasing a random rectangle

    config.optimizer = ConfigDict()
    config.optimizer.name = "amsgrad"  # or "adam"
    config.optimizer.schedule = "cosine"  # "released" halves the rate every 40 epochs; "cosine" ends at 0
    config.optimizer.learning_rate = 8e-4  # the full rate, which the warm-up ends with
    config.optimizer.steps_per_epoch = 146  # steps in an epoch of the 9,290 pairs
    config.optimizer.warmup_epochs = 5  # epochs in which the rate rises to the full one
    config.optimizer.weight_decay = 5e-4  # L2, added to the gradient
    config.optimizer.b1 = 0.9  # decay of Adam's mean of gradients
    config.optimizer.b2 = 0.999  # decay of Adam's mean of squared gradients
    config.optimizer.eps = 1e-8  # added to Adam's denominator

    smoke = {
        "prepare": "smoke",
        "pretrained": "",
        "data_dir": "data/smoke",
        "image_size": (64, 32),
        "num_workers": 0,
        "num_steps": 8,
        "log_every": 2,
        "checkpoint_every": 4,
        "model.width": 8,
        "model.stage_sizes": (1, 1, 1, 1),
        "model.texture_size": 32,
        "batch.pit_size": 8,
        "optimizer.steps_per_epoch": 1,
        "optimizer.warmup_epochs": 4,
    }
    return config_files.apply(config, argument, smoke=smoke)
