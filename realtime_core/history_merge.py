"""Combines the data of a conversation item from the server with the data of the same item that is known locally.
Pure.
"""

from __future__ import annotations

from dataclasses import replace

from .items import (
    AssistantAudio,
    AssistantContent,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    ItemStatus,
    RealtimeItem,
    RealtimeToolCallItem,
    UserContent,
    UserMessageItem,
)

__all__ = ["later_status", "merged", "words_within"]


def merged(old: RealtimeItem, new: RealtimeItem) -> RealtimeItem:
    """Returns the item `new` of the server together with the data that only the known item `old` has. If the role or
    type differs, returns `new` unchanged.
    """
    if isinstance(old, UserMessageItem) and isinstance(new, UserMessageItem):
        return replace(new, content=_merged_user(old.content, new.content), status=later_status(old.status, new.status))
    if isinstance(old, AssistantMessageItem) and isinstance(new, AssistantMessageItem):
        content = [_merged_said(o, n) for o, n in zip(old.content, new.content, strict=False)]
        content += old.content[len(content) :] or new.content[len(content) :]
        return replace(new, content=content, status=later_status(old.status, new.status))
    if isinstance(old, RealtimeToolCallItem) and isinstance(new, RealtimeToolCallItem):
        return replace(
            new,
            item_id=old.item_id if new.item_id == new.call_id else new.item_id,
            call_id=new.call_id or old.call_id,
            arguments=new.arguments or old.arguments,
            output=old.output if new.output is None else new.output,
            server_label=old.server_label if new.server_label is None else new.server_label,
            status=later_status(old.status, new.status) or "in_progress",
        )
    return new


def later_status(old: ItemStatus | None, new: ItemStatus | None) -> ItemStatus | None:
    """Returns the new status of an item with the status `old`, after a server event that reports the status `new`. The
    result is `new`, but a known status stays if `new` is None or `in_progress`, because later server events repeat the
    item's first status.
    """
    return old if new is None or (new == "in_progress" and old is not None) else new


def _merged_said(old: AssistantContent, new: AssistantContent) -> AssistantContent:
    if isinstance(old, AssistantAudio) and isinstance(new, AssistantAudio):
        return replace(
            old,
            transcript=new.transcript or old.transcript,
            received_ms=max(old.received_ms, new.received_ms),
        )
    if isinstance(old, AssistantText) and isinstance(new, AssistantText):
        return replace(new, text=new.text or old.text)
    return new


def _merged_user(old: list[UserContent], new: list[UserContent]) -> list[UserContent]:
    """Merges the user's content. Servers omit images and transcripts that they announced before, so these are kept."""
    images = [part for part in old if isinstance(part, InputImage)]
    known = [part for part in old if not isinstance(part, InputImage)]
    update = [part for part in new if not isinstance(part, InputImage)]
    merged: list[InputText | InputAudio] = [_merged_heard(o, n) for o, n in zip(known, update, strict=False)]
    merged += known[len(merged) :] or update[len(merged) :]
    new_images = [part for part in new if isinstance(part, InputImage)]
    kept = [image for image in images if image.image_url not in {other.image_url for other in new_images}]
    return _in_order(kept, new, merged)


def _in_order(
    kept: list[InputImage], new: list[UserContent], merged: list[InputText | InputAudio]
) -> list[UserContent]:
    """Returns the parts in the order of the update, with its texts replaced by the merged texts."""
    texts = iter(merged)
    placed: list[UserContent] = [part if isinstance(part, InputImage) else next(texts) for part in new]
    return [*kept, *placed, *texts]


def _merged_heard(old: InputText | InputAudio, new: InputText | InputAudio) -> InputText | InputAudio:
    if isinstance(new, InputAudio):
        known = old.transcript if isinstance(old, InputAudio) else old.text
        return replace(new, transcript=new.transcript or known)
    return replace(new, text=new.text or old.text) if isinstance(old, InputText) else new


def words_within(text: str, fraction: float) -> str:
    """Returns the words of `text` that lie completely in its first `fraction` (0 to 1) of characters."""
    length = int(len(text) * fraction)
    if length >= len(text):
        return text
    head = text[: max(length, 0)]
    if not text[len(head)].isspace():
        head = head[: max((i for i, c in enumerate(head) if c.isspace()), default=0)]
    return head.rstrip()
