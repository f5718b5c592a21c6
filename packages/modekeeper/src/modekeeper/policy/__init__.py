"""From a transition to a proposal: knobs, the chord catalog, the chords, and a one-knob baseline."""
