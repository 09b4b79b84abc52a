"""`telephony demo`: a whole phone call on this machine, with a simulated caller."""
