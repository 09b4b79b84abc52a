"""The simulated buffer: audio is played once, in order, at its time, or never."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from telephony.simulator.playout import CAPACITY, Playout, Returned

SILENT = 0xFF

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(1, 900)),
        st.tuples(st.just("media"), st.integers(0, 900)),
        st.tuples(st.just("mark"), st.just(0)),
        st.tuples(st.just("clear"), st.just(0)),
    ),
    max_size=60,
)


@dataclass
class Sample:
    """The same, sample by sample."""

    start_delay: int
    grain: int
    heard: list[int] = field(default_factory=list)
    queue: list[int | str] = field(default_factory=list)
    starts_at: int = 0
    returned: list[Returned] = field(default_factory=list)

    def step(self) -> None:
        if any(isinstance(x, int) for x in self.queue) and len(self.heard) >= self.starts_at:
            sample = self.queue.pop(0)
            assert isinstance(sample, int)
            self.heard.append(sample)
            self.give_marks()
        else:
            self.heard.append(SILENT)

    def give_marks(self) -> None:
        while self.queue and isinstance(self.queue[0], str):
            self.returned.append(Returned(str(self.queue.pop(0)), len(self.heard)))

    def media(self, ulaw: bytes) -> None:
        if ulaw and not self.queue:
            at = len(self.heard) + self.start_delay
            self.starts_at = at + -at % self.grain
        self.queue += list(ulaw)

    def mark(self, name: str) -> None:
        self.queue.append(name)
        if all(isinstance(x, str) for x in self.queue):
            self.give_marks()

    def clear(self) -> int:
        self.returned += [Returned(x, len(self.heard), True) for x in self.queue if isinstance(x, str)]
        flushed = sum(isinstance(x, int) for x in self.queue)
        self.queue.clear()
        return flushed


@given(STEPS, st.integers(0, 500), st.sampled_from([1, 160]))
def test_it_plays_as_a_sample_by_sample_model_does(steps: list[tuple[str, int]], start_delay: int, grain: int) -> None:
    playout, model = Playout(start_delay=start_delay, grain=grain), Sample(start_delay, grain)
    returned: list[Returned] = []
    count = 0
    for step, n in steps:
        if step == "advance":
            due = playout.next_mark
            before = len(returned)
            returned += playout.advance(playout.position + n)
            for _ in range(n):
                model.step()
            if due is not None and due <= playout.position:
                assert returned[before].position == due
            else:
                assert len(returned) == before
        elif step == "media":
            ulaw = bytes((count + i) % SILENT for i in range(n))
            count += n
            assert playout.media(ulaw)
            model.media(ulaw)
        elif step == "mark":
            returned += playout.mark(f"m{count}.{len(model.queue)}")
            model.mark(f"m{count}.{len(model.queue)}")
        else:
            flushed, marks = playout.clear()
            returned += marks
            assert flushed == model.clear()
        assert list(playout.heard) == model.heard
        assert returned == model.returned
        assert playout.buffered == sum(isinstance(x, int) for x in model.queue)
    assert playout.received == count


def test_a_mark_without_audio_comes_back_at_once() -> None:
    playout = Playout()
    playout.advance(77)
    assert playout.mark("now") == [Returned("now", 77)]
    assert playout.next_mark is None


def test_a_mark_waits_for_the_audio_before_it_and_no_more() -> None:
    playout = Playout(start_delay=100)
    playout.media(bytes(50))
    assert playout.mark("half") == []
    playout.media(bytes(50))
    playout.mark("whole")
    assert playout.next_mark == 150
    assert playout.advance(149) == []
    assert playout.advance(1000) == [Returned("half", 150), Returned("whole", 200)]
    assert playout.dry_at == 200


def test_after_a_clear_there_is_silence_until_new_audio() -> None:
    playout = Playout()
    playout.media(bytes(1000))
    playout.mark("a")
    playout.mark("b")
    playout.advance(300)
    assert playout.clear() == (700, [Returned("a", 300, flushed=True), Returned("b", 300, flushed=True)])
    playout.advance(400)
    playout.media(b"\x01" * 10)
    playout.advance(500)
    assert bytes(playout.heard) == bytes(300) + b"\xff" * 100 + b"\x01" * 10 + b"\xff" * 90
    assert playout.clear() == (0, [])


def test_more_than_ten_minutes_are_discarded() -> None:
    playout = Playout()
    assert playout.media(bytes(CAPACITY))
    assert not playout.media(b"\0")
    playout.advance(1)
    assert playout.media(b"\0")
    assert playout.received == CAPACITY + 1
