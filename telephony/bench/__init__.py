"""The load benchmark: compares the real server with bare bridges under the same load. `telephony bench` runs the
benchmark.
"""
