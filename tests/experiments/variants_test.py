"""Every variant of the paper's Tables 1 and 2 trains, goes on after a stop, and evaluates."""

import pytest

from tests.experiments.variant_runs import Variant, Workplace

VARIANTS = {
    # Table 1
    "baseline": Variant("baseline"),
    "san_basic": Variant("san", "batch_kinds=('reid',),loss.triplet_reid=0.0"),
    "san_with_l_tr": Variant("san", "batch_kinds=('reid',)"),
    "san_with_synthetic_data": Variant("san", "loss.triplet_reid=0.0"),
    "san": Variant("san", "start.kind=run,start.path=SAN_PG"),
    "true_texture": Variant("san", "target.kind=true_texture"),
    # Table 2
    "target_input": Variant("san", "target.kind=input"),
    "target_frontal": Variant("san", "target.kind=frontal,batch_kinds=('reid',)"),
    "target_folder": Variant("san", "target.kind=folder,target.path=FOLDER,batch_kinds=('reid',)"),
    "texture_as_input": Variant("baseline", "input.kind=texture,input.path=SAN_PG"),
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield Workplace(tmp_path_factory.mktemp("variants"), patch)


@pytest.mark.parametrize("name", VARIANTS)
def test_variant(name, workplace, tmp_path, capsys):
    workplace.check(VARIANTS[name], tmp_path, capsys)
