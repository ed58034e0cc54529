"""A contact sheet: rows of pictures with captions on a white ground."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_GAP = 4  # pixels between tiles
_LINE = 16  # pixels of a caption

Tile = tuple[Image.Image, str]
"""A picture and the words below it."""


def compose(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Lay rows of tiles with captions on white. A row is as high as its highest tile."""
    font = ImageFont.load_default(size=12)
    lines = [max((tile.height for tile, _ in row), default=0) + _LINE * any(words for _, words in row) for row in rows]
    width = max(sum(tile.width + _GAP for tile, _ in row) for row in rows) - _GAP
    sheet = Image.new("RGB", (width, sum(lines) + _GAP * (len(rows) - 1)), "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for row, height in zip(rows, lines, strict=True):
        left = 0
        for tile, words in row:
            sheet.paste(tile, (left, top))
            draw.text((left + 2, top + tile.height + 1), words, fill="black", font=font)
            left += tile.width + _GAP
        top += height + _GAP
    return sheet
