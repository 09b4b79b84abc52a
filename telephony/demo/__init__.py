"""`telephony demo`: a complete phone call on this machine, with a simulated caller."""
