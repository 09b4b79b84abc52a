"""`telephony demo`: a whole phone call on this machine, from the caller's mouth to the caller's ear."""
