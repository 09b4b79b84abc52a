"""The journal of a call: everything that crossed a boundary, as timestamped JSON lines (see `format`)."""
