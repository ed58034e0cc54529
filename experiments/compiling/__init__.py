"""Compiles training steps for devices that are not there, and counts what they need."""
