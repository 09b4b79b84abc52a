"""A recorded call as a test: runs the current code with the input of a journal, and reports the first difference."""
