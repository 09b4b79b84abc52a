"""Helpers that several test modules use: peers, servers, callers and browsers."""
