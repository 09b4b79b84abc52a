"""Creates a new project: an agent, its settings, a recorded call and a test."""
