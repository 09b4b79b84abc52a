"""A recorded call as a test: runs today's code against a journal, and reports the first difference."""
