"""How often turn policies are wrong about the sounds of callers: `python -m benchmarks.turns`.

It plays the clips of the noise and backchannel suite in calls, with each policy, with and without noise suppression.
Then it measures the CPU of the noise suppression. The detector is the embedded server's, so the figures compare
policies. They do not say how often a real model is cut.
"""

from __future__ import annotations

import argparse
import time

from telephony.audio.noise_suppression import NoiseSuppressor
from telephony.evals.statistics import wilson
from telephony.evals.turn_suite import Policy, TurnFigures, figures_of, turn_clips

SUPPRESSION_LIMIT_MS = 3.0


def suppression_ms_per_s(seconds: int = 60) -> float:
    """Returns the CPU of the noise suppression for a second of audio."""
    clips = b"".join(clip.ulaw for clip in turn_clips())
    suppress, frames = NoiseSuppressor(), [clips[at : at + 160] for at in range(0, seconds * 8000, 160)]
    began = time.process_time()
    for frame in frames:
        suppress(frame)
    return (time.process_time() - began) * 1000 / seconds


def row(name: str, figures: TurnFigures) -> str:
    """One line of the table."""
    cells = []
    for wrong, of in (figures.false_cuts, figures.misses):
        interval = wilson(wrong, of)
        cells.append(f"{wrong} of {of} ({interval.low:.0%} to {interval.high:.0%})")
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kinds", action="store_true", help="also print the errors by the kind of clip")
    kinds = parser.parse_args().kinds
    print("| policy | false cuts | misses |\n|---|---|---|")
    for policy in Policy:
        for suppressed in (False, True):
            figures = figures_of(policy, noise_suppression=suppressed)
            print(row(f"`{policy}`{', noise suppression' if suppressed else ''}", figures), flush=True)
            if kinds:
                print("    " + ", ".join(f"{kind} {wrong}/{of}" for kind, (wrong, of) in figures.by_kind.items()))
    print(f"Noise suppression takes {suppression_ms_per_s():.1f} ms of CPU for a second of audio.")


if __name__ == "__main__":
    main()
