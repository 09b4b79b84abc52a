"""What is wrong with this installation, and what to do about it; and what a recorded call's line was like."""
