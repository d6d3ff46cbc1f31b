"""What the sidecar decides, as pure code: no I/O, no clock, no lots, no logs, no awaits.

Every verb takes ``now`` (seconds on one monotonic clock) and every decision is a value.

- ``window``     the promise to the upstream: never more than L sends in any window
- ``bucket``     the pace: a token bucket kept as a time (GCRA), with a reserve for URGENT
- ``budget``     both together: when may the next request of a lane go?
- ``fairness``   who goes next: bands, agents, sessions, first come first served
- ``holding``    where the requests of models wait that are held back
- ``waiting``    all that wait, in the line or there
- ``models``     what is known of each model, from these four:
- ``pressure``   models that answered "too many": left alone for a while, then probed by one request
- ``governor``   models whose workers are full: so many requests at once
- ``breaker``    models, or the whole upstream, that fail in a row: tried by one request at a time
- ``unavailable``  models that cannot be had: their refusal is said again
- ``evidence``   what was seen, how often and when
- ``retreat``    the adaptive rate: multiplicative decrease, additive increase
- ``outlook``    how long somebody will probably wait
- ``deadlines``  who has to have a slot by when
- ``admission``  all of it as one engine: things happen to it, decisions come out
- ``classify``   what an upstream answer means
- ``frames``     errors inside a stream of events
- ``foreign``    somebody else who spends the key
- ``rhythm``     when a waiting stream is to hear from us
"""
