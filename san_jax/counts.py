"""Numbers with their nouns, for messages and pages."""


def count(number: int | float, noun: str, plural: str = "") -> str:
    """Return a number with its noun, such as "1 picture", "2,000 pictures" or "0.5 epochs".

    Args:
        number: The number; six digits of a float are written.
        noun: What is counted, in the singular.
        plural: Its plural; "" for the noun with an s.
    """
    text = f"{number:,.6g}" if isinstance(number, float) else f"{number:,}"
    return f"{text} {noun if text == '1' else plural or f'{noun}s'}"
