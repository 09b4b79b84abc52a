"""The load benchmark: the real server beside two bare bridges, under the same load. `telephony bench` runs it."""
