"""Tests of what needs the standard library alone: `python3 -m unittest discover -s tools/peers`."""
