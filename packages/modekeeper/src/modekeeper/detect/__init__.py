"""Detectors: blocks of samples in, signals out. Pure arithmetic, no I/O, memory bounded by the windows.

What a signal of each kind means, and when it ends:

- ``drift`` of ``step_time_ms`` and ``throughput``: ``suspected`` once from about 10 samples on (a suspicion
  that comes to nothing ends silently), ``confirmed`` after at least ``min_run_samples``. While the level is
  worse than before, exactly one finding in the direction ``worse`` stands, and it tells the present level: a
  further change, for the worse or not enough for the better, clears it and confirms the next one at the same
  sample. It is ``cleared`` when the level is back, or superseded. Changes for the better, and changes the job
  announced (``neutral``, cause ``announced_schedule``), are events: confirmed and cleared at the same sample.
- ``drift`` of ``loss``: only a rise above its recent level, or no finite number for some samples (cause
  ``non_finite_loss``); cleared when half of the rise is gone.
- ``burst``: an event, confirmed and cleared at the first usual sample after the spike. Causes:
  ``announced_pause`` (neutral), ``input_bound``, ``periodic_pause``. A run longer than
  ``longest_burst_samples`` is no burst.
- ``straggler``: one finding names all slow workers; when the set changes it is cleared and a new one confirmed.
- ``gpu_saturated`` (neutral), ``gpu_underused``, ``data_starvation``: confirmed and cleared by the median of a
  window, with hysteresis.
- ``heterogeneous_environment``: confirmed at the first second name, never cleared.
- ``undecided``, of any kind: the detector cannot tell, and says what is missing. Sent by ``conclude`` at the
  end of the input, and at once for a straggler that may be a long pipeline stage (cause
  ``possible_stage_imbalance``).
"""
