"""Which examples a page shows: spread evenly, never picked by how they look or score."""


def evenly_spaced(total: int, count: int) -> list[int]:
    """Return at most `count` indices spread evenly over range(total), each in the middle of its part."""
    count = min(count, total)
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]
