"""Checks of an installation, and measurements of the media streams of a recorded call."""
