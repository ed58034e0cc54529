"""Everything around the person in a picture."""
