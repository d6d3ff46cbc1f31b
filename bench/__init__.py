"""What the sidecar costs and how it spends the budget, measured: ``make bench`` (``python -m bench --help``).

    overhead   the same load straight at a stub and through the sidecar, in turn, round by round
    streams    time to the first chunk, and a thousand streams at once
    budget     twelve clients that want three times the limit of a strict upstream, for ten windows
    core       the engine alone, over hours of simulated traffic

The rules: a benchmark measures and never fails on speed; what is compared runs in one session, because the
next one meets another machine; medians and differences, not bests. Absolute figures move with the machine,
CPU per request and ratios hardly.
"""
