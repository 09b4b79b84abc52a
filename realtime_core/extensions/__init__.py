"""Helpers under the OpenAI Agents SDK's module names."""
