"""A recorded call as a test: run today's code against a journal, and see the first thing that differs."""
