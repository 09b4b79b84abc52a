"""The OpenAI Realtime API."""

from __future__ import annotations

from .model import OpenAIRealtimeWebSocketModel

__all__ = ["OpenAIRealtimeWebSocketModel"]
