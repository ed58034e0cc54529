"""The mesh of a person: body, hair, clothes."""
