"""Tells IP addresses from host names. Pure."""

from __future__ import annotations

import ipaddress

__all__ = ["is_ip_address"]


def is_ip_address(host: str) -> bool:
    """Returns whether the host is an IP address, without brackets. A host name may have several addresses."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
