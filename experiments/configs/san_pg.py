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

from experiments import config_path


def get_config(argument: str = "") -> ConfigDict:
    """The config; `argument` is a comma list of `smoke` and key=value."""
    config = ConfigDict()
    config.stage = "pg"
    config.seed = 0
    config.pit_dataset = "pit"
    config.data_dir = "data"
    config.prepare = ""  # "smoke": make small data first, where it is missing
    config.init_from = ""  # workdir of another run to take encoder and decoder from
    config.pretrained = "imagenet"  # where init_from is empty; or a file, or "": see `experiments/pretrained.py`
    config.target = "texture"  # what the decoder reconstructs: or "input", "frontal", see `experiments.targets`
    config.image_size = (256, 128)
    config.num_workers = 4

    config.num_steps = 100 * 146
    config.log_every = 50
    config.checkpoint_every = 500
    config.keep_checkpoints = 2
    config.ema_decay = 0.0  # of an average of the weights, such as 0.999, which is what is then evaluated; 0 for none

    config.model = ConfigDict()
    config.model.encoder = "resnet50"  # or "resnet101", "densenet121"
    config.model.width = 64  # 64 is the real network
    config.model.stage_sizes = ()  # blocks per stage; () is the encoder's own
    config.model.texture_size = 256
    config.model.skips = False  # U-Net skips from the encoder into the decoder, as in the released code
    config.model.compute_dtype = "float32"  # or "bfloat16"

    config.batch = ConfigDict()
    config.batch.pit_size = 64

    config.loss = ConfigDict()
    config.loss.reconstruction = 1.0

    config.pit_augment = ConfigDict()
    config.pit_augment.mirror_textures = False  # to flip images, set it and flip_probability
    config.pit_augment.translate_probability = 0.5
    config.pit_augment.enlargement = 1.125
    config.pit_augment.flip_probability = 0.0
    config.pit_augment.erase_probability = 0.0

    config.optimizer = ConfigDict()
    config.optimizer.name = "amsgrad"
    config.optimizer.schedule = "cosine"
    config.optimizer.learning_rate = 8e-4
    config.optimizer.steps_per_epoch = 146
    config.optimizer.warmup_epochs = 5
    config.optimizer.weight_decay = 5e-4
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.eps = 1e-8

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
    return config_path.apply(config, argument, smoke=smoke)
