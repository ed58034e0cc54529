"""Readers of the SMPL, SURREAL and COCO files that users bring."""
