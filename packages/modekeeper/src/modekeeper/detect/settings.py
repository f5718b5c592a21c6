"""What a detector compares with, in one place: unit, default, and why. What belongs to one method stands beside it."""

import msgspec

__all__ = ["DetectorSettings"]


class DetectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One default for every job, chosen by comparing variants on open traces. Windows and runs count judged samples."""

    false_alarms_per_day: float = 0.05
    """False drift alarms a day and metric that are put up with. The pace of the samples says how many a day has."""

    # Levels: drift of step_time_ms, throughput and loss.
    warmup_samples: int = 20
    """Samples left out at the start of a stream: compilation, cold caches."""
    first_reference_samples: int = 60
    """Fewest samples a level is learned from."""
    reference_samples: int = 400
    """Most samples a level is learned from."""
    reference_lag_samples: int = 100
    """The newest samples never count into the level they are compared with."""
    slow_window_samples: int = 100
    """A slow ramp is sought between the first and the last window of this size."""
    min_run_samples: int = 16
    """A change is confirmed after at least this many samples at the new level: a longest burst, and half as many."""
    abrupt_effect_rel: float = 0.02
    """Smallest relative change of an abrupt kind: steady jobs show steps of 1.6 % when their schedule moves."""
    slow_effect_rel: float = 0.03
    """Smallest relative change of a slow kind: steady jobs wander by up to 2.5 %."""
    loss_effect_rel: float = 0.05
    """Smallest relative rise of the loss above its recent level."""
    drift_z: float = 4.5
    """Standard errors a change must be away from none, at least: ``false_alarms_per_day`` asks for more."""
    clear_samples: int = 30
    """Samples near the healthy level after which a finding is cleared."""
    clear_effect_share: float = 0.2
    """Share of the effect that may remain when a finding is cleared."""
    clear_least_rel: float = 0.01
    """A level this near the healthy one always counts as near …"""
    clear_most_rel: float = 0.05
    """… and one farther than this never does."""
    input_bound_share: float = 0.6
    """Share of a rise of the step time that waiting for input must explain to be named as its cause."""
    schedule_samples: int = 25
    """A change this near an announced change of batch size or sequence length is its consequence."""
    loss_window_samples: int = 100
    """The recent level of the loss: so many samples before the newest ``loss_run_samples``."""
    loss_run_samples: int = 50
    """The newest losses, compared with that level; half of them must lie after the onset of a rise."""
    non_finite_losses: int = 3
    """Losses in a row that are no finite numbers before the loss counts as diverged: mixed-precision training
    skips single steps."""

    # Bursts.
    burst_group_samples: int = 20
    """Samples summed up in one group; twice the longest burst, so that no burst moves a group's middle."""
    burst_level_groups: int = 5
    """Groups the usual step time is taken from."""
    burst_tail_groups: int = 50
    """Groups the job's tail is taken from: longer than an episode of bursts, so that its last ones count too."""
    burst_first_groups: int = 2
    """Fewest groups before a spike can be told from a start-up."""
    burst_effect_rel: float = 0.5
    """A spike is at least this far above the usual level, relative to it …"""
    burst_z: float = 8.0
    """… and this many robust standard deviations …"""
    burst_tail_share: float = 0.7
    """… and farther than what this share of the groups stays below, so that spikes in up to 3 groups of 10 (one in
    67 samples at equal spacings) are news, and more frequent ones the job's nature …"""
    burst_tail_factor: float = 4.0
    """… by this factor. An exponential tail through both levels goes so far once in 1.3 million samples."""
    burst_tail_unsure: float = 4.0
    """The factor is raised by this share, divided by the number of groups the tail was learned from."""
    longest_burst_samples: int = 10
    """A longer run of spikes is a new level, which is the drift detector's business."""
    period_tolerance_rel: float = 0.005
    """Spacing of pauses counts as regular within this share of it, and at least one sample."""

    # Stragglers.
    straggler_window_samples: int = 10
    straggler_hits: int = 8
    """A worker must be slow in this many samples of the window, or in this share of those in which it was heard of …"""
    straggler_heard: int = 6
    """… if they are at least so many."""
    straggler_clear_hits: int = 2
    """… and is cleared when slow in at most this many."""
    straggler_step_z: float = 2.5
    """A slow step is so many robust standard deviations of a worker's own variation above the peers …"""
    straggler_z: float = 3.5
    """… and so many of what sets healthy peers apart for good (Iglewicz and Hoaglin's usual cut)."""
    straggler_effect_rel: float = 0.1
    """Smallest slow-down of a worker against its peers: below 10 % a job is usually not called straggling."""
    straggler_clear_effect_rel: float = 0.05

    # GPU and input.
    usage_window_samples: int = 50
    """Samples the median of utilisation and of the waiting share is taken from."""
    gpu_saturated_pct: float = 95.0
    gpu_saturated_clear_pct: float = 90.0
    gpu_underused_pct: float = 50.0
    gpu_underused_clear_pct: float = 60.0
    starvation_share: float = 0.2
    """Share of the step time spent waiting for input."""
    starvation_clear_share: float = 0.1

    # Environment.
    max_names: int = 64
    """Most node and GPU model names kept; the rest is counted in a note."""
