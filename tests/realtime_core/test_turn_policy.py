"""The policies that decide on turns."""

from __future__ import annotations

from realtime_core.turn_policy import OurTurns, ServerTurns, TurnAction

HOLD, RELEASE, INTERRUPT, RESPOND = TurnAction.HOLD, TurnAction.RELEASE, TurnAction.INTERRUPT, TurnAction.RESPOND


def test_the_servers_turns() -> None:
    policy = ServerTurns()
    assert policy.turn_detection({"type": "semantic_vad"}) == {
        "type": "semantic_vad",
        "create_response": True,
        "interrupt_response": True,
    }
    assert policy.turn_detection({"interrupt_response": False})["interrupt_response"] is False
    assert tuple(policy.speech_started(0.0, agent_active=True)) == (INTERRUPT,)
    assert not policy.speech_stopped(1.0) and not policy.committed(1.0) and policy.deadline is None


def test_our_turns_take_both_decisions_from_the_server() -> None:
    given = {"type": "server_vad", "create_response": True, "interrupt_response": True}
    assert OurTurns().turn_detection(given) == {
        "type": "server_vad",
        "create_response": False,
        "interrupt_response": False,
    }


def test_a_short_noise_holds_the_agent_and_lets_it_go_on() -> None:
    policy = OurTurns(0.3, silence_s=0.5)
    assert tuple(policy.speech_started(10.0, agent_active=True)) == (HOLD,)
    assert policy.deadline == 10.8
    assert not policy.on_time(10.79)
    assert tuple(policy.speech_stopped(10.7)) == (RELEASE,)
    assert policy.deadline is None
    assert not policy.committed(10.7), "a noise is not answered"


def test_speech_that_goes_on_interrupts_and_is_answered() -> None:
    policy = OurTurns(0.3, silence_s=0.5)
    policy.speech_started(10.0, agent_active=True)
    assert tuple(policy.on_time(10.8)) == (INTERRUPT,)
    assert not policy.on_time(10.9) and not policy.speech_stopped(12.0)
    assert tuple(policy.committed(12.0)) == (RESPOND,)


def test_the_deadline_may_be_noticed_late() -> None:
    policy = OurTurns(0.3, silence_s=0.5)
    policy.speech_started(10.0, agent_active=True)
    assert tuple(policy.speech_stopped(11.0)) == (INTERRUPT,)
    assert tuple(policy.committed(11.0)) == (RESPOND,)


def test_a_turn_that_is_taken_without_an_end_of_speech_interrupts() -> None:
    policy = OurTurns()
    policy.speech_started(10.0, agent_active=True)
    assert tuple(policy.committed(10.2)) == (INTERRUPT, RESPOND)


def test_a_short_word_into_the_silence_is_answered() -> None:
    policy = OurTurns()
    assert not policy.speech_started(10.0, agent_active=False) and policy.deadline is None
    assert not policy.speech_stopped(10.6)
    assert tuple(policy.committed(10.6)) == (RESPOND,)


def test_a_noise_that_is_never_committed_does_not_eat_the_next_turn() -> None:
    policy = OurTurns()
    policy.speech_started(10.0, agent_active=True)
    policy.speech_stopped(10.1)
    policy.speech_started(20.0, agent_active=False)
    assert tuple(policy.committed(21.0)) == (RESPOND,)


def test_a_lost_server_ends_what_was_begun() -> None:
    policy = OurTurns()
    policy.speech_started(10.0, agent_active=True)
    policy.reset()
    assert policy.deadline is None and tuple(policy.committed(11.0)) == (RESPOND,)
