"""Shapes, operands and source lines as HLO writes them."""

import pytest

from experiments.compiling import hlo
from experiments.compiling.hlo import Array, Frame


@pytest.mark.parametrize(
    ("array", "content", "size"),
    [
        (Array("f32", (), ""), 4, 4),
        (Array("bf16", (8, 16), "1,0"), 256, 256),
        (Array("pred", (3, 5), "1,0"), 15, 15),
        (Array("s4", (6,), "0"), 3, 3),
        (Array("f8e4m3fn", (10,), "0"), 10, 10),
        (Array("token", (), ""), 0, 0),
        # Minor axes are padded to the tile: 1000 to 1024 lanes; rows 5 to 8; the layout says which axis is minor.
        (Array("f32", (1000, 1000), "1,0:T(8,128)"), 4_000_000, 4 * 1000 * 1024),
        (Array("f32", (5, 128), "0,1:T(8,128)"), 2560, 4 * 128 * 128),
        (Array("bf16", (2, 5, 64), "2,1,0:T(8,128)(2,1)"), 1280, 2 * 2 * 8 * 128),
        (Array("f32", (3,), "0:T(128)"), 12, 512),
        (Array("f32", (), ":T(128)"), 4, 4),
    ],
)
def test_bytes_of_an_array(array: Array, content: int, size: int):
    assert (array.content, array.bytes) == (content, size)


def test_an_unknown_type_is_refused():
    with pytest.raises(ValueError, match="element type"):
        hlo.bits("2x")


TEXT = """HloModule jit_step, is_scheduled=true

FileNames
1 "/a/step.py"
2 "/b/layers.py"

FunctionNames
1 "step"
2 "Layer.__call__"

FileLocations
1 {file_name_id=1 function_name_id=1 line=10 end_line=10 column=1 end_column=2}
2 {file_name_id=2 function_name_id=2 line=20 end_line=21 column=1 end_column=2}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=2}


%body (p.1: (f32[4], s32[])) -> (f32[4], s32[]) {
  %p.1 = (f32[4]{0}, s32[]) parameter(0)
  ROOT %next = (f32[4]{0}, s32[]) tuple(%p.1, /*index=1*/%p.1)
}

ENTRY %main.1 (x: f32[4], y: s32[]) -> ((f32[4], u8[0]), f32[<=4]) {
  %y = s32[] parameter(1), metadata={op_name="y"}
  %x = f32[4]{0:T(128)S(1)} parameter(0)
  %c = f32[2]{0} constant({1, 2})
  %loop = (f32[4]{0}, s32[]) while(%both), condition=%cond, body=%body, backend_config={"known_trip_count":{"n":"3"}}
  %both = (f32[4]{0}, s32[]) tuple(%x, %y)
  ROOT %out = ((f32[4]{0}, u8[0]{0}), f32[<=4]{0}) custom-call(%x, %x, %y), custom_call_target="f(x)", metadata={op_name="jit(step)/mul" stack_frame_id=2}
}
"""


def test_instructions_are_read():
    module = hlo.parse(TEXT)
    entry = module.entry
    assert (entry.name, entry.root.name) == ("main.1", "out")
    assert [parameter.name for parameter in entry.parameters] == ["x", "y"]
    assert entry.instructions["c"].literal == "{1, 2}"
    assert entry.instructions["loop"].called == ("cond", "body")
    assert entry.root.arrays == (Array("f32", (4,), "0"), Array("u8", (0,), "0"), Array("f32", (4,), "0"))
    assert entry.root.operands == ("x", "x", "y")
    assert [operand.name for operand in entry.operands(entry.root)] == ["x", "y"]
    assert entry.instructions["x"].bytes == 0  # not in main memory
    assert [user.name for user in entry.users["x"]] == ["both", "out"]
    assert (entry.root.op_name, entry.instructions["loop"].op_name) == ("jit(step)/mul", "")


def test_the_stack_of_an_instruction():
    module = hlo.parse(TEXT)
    assert list(module.stack(module.entry.root)) == [
        Frame("/b/layers.py", 20, "Layer.__call__"),
        Frame("/a/step.py", 10, "step"),
    ]
    assert list(module.stack(module.entry.instructions["x"])) == []


@pytest.mark.parametrize("line", ["  %a = f32[2]{0}", "  %a = f32[2]{0} add(%b, %c"])
def test_a_damaged_instruction_is_refused(line: str):
    with pytest.raises(ValueError, match="expected"):
        hlo.parse(f"HloModule m\n\nENTRY %main (b: f32[2]) -> f32[2] {{\n{line}\n}}\n")
