"""Limits of time in tests.

A test makes no claim about seconds on the clock: machines differ, and other programs run beside it. Speed is measured
by `make bench`. What may hang has `HANG_S`, which ends it and claims nothing.
"""

HANG_S = 1200.0
