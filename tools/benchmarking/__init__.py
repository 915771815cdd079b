"""Count and time networks side by side: parameters, MACs, latency, train step, memory."""

import mmdualhead  # noqa: F401  (before mmaction, which it repairs)
