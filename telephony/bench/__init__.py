"""The load benchmark: compares the real server with minimal programs (bare bridges) under the same load. `telephony
bench` runs the benchmark.
"""
