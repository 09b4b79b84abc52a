"""The journal of a call: all messages and actions at its boundaries, as timestamped JSON lines (see `format`)."""
