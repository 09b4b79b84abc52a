"""Checks of an installation, and figures of the media streams of a recorded call."""
