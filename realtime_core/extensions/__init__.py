"""Helpers beside the engine, where the OpenAI Agents SDK has them."""
