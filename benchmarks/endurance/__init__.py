"""Endurance: what grows in a process that takes calls for hours, and what a storm of faults leaves behind."""
