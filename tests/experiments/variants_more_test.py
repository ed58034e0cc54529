"""The encoders of section 4.5, the released code and later work: each trains, goes on after a stop, and evaluates."""

import pytest

from tests.experiments.variant_runs import Variant, Workplace

VARIANTS = {
    # Section 4.5: encoders
    "resnet101": Variant("baseline", "model.encoder=resnet101,model.stage_sizes=(1, 1, 2, 1)"),
    # Growth 4, a layer a block, half the channels between: 8 + 4, 6 + 4, 5 + 4, 4 + 4.
    "densenet121": Variant("san", "model.encoder=densenet121,model.width=8,batch_kinds=('reid',)", 8),
    # The released code
    "san_released": Variant("san_released", "model.feature_size=24", 24),
    "skips_and_head": Variant(
        "san",
        "batch_kinds=('reid',),model.skips=true,model.feature_size=24,loss.triplet_reid_sampling=fixed,loss.label_smoothing=0.1,"
        "loss.triplet_reid_channels=sum",
        24,
    ),
    # Other forms of L_TR and L_Rec
    "l_tr_options": Variant(
        "san",
        "batch_kinds=('reid',),loss.triplet_reid_normalize=true,loss.triplet_reid_stop_gradient=true,"
        "loss.triplet_reid_block_weights=(1.0,0.5,0.25),loss.triplet_reid_maps=after_relu,"
        "loss.reconstruction_space=opponent,loss.reconstruction_chroma=3.0",
    ),
    # Later work
    "modern": Variant(
        "baseline",
        "model.bnneck=true,model.pooling=gem,test_metric=cosine,ema_decay=0.9,optimizer.schedule=cosine",
    ),
    "mirrored_and_recolored": Variant(
        "san",
        "target.kind=true_texture,augment.mirror_textures=true,pit_augment.mirror_textures=true,"
        "pit_augment.flip_probability=0.5,pit_augment.recolor_probability=0.5,pit_augment.recolor_saturation=1.5,model.bnneck=true,ema_decay=0.9",
    ),
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield Workplace(tmp_path_factory.mktemp("variants"), patch)


@pytest.mark.parametrize("name", VARIANTS)
def test_variant(name, workplace, tmp_path, capsys):
    workplace.check(VARIANTS[name], tmp_path, capsys)
