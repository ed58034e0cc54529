"""What goes with a dataset: a card for people, README.md, and Croissant metadata for programs, croissant.json."""
