"""The agent scheduler: a board that a team of agents shares, and a tick that decides who acts next.

The story of one task:

1.  Somebody puts it on the board (``blackboard create``, the API), or an agent's heartbeat (``heartbeats``)
    finds it in one of its sources (``sources``) and ``exchange`` brings it here, once; it is ``pending``.
2.  ``ticker`` looks at the board, the runs in OpenClaw's gateway and the sidecar's budget, and asks the pure
    ``core.plan`` what to do; ``execution`` carries it out, one conditional change of the board each.
3.  For a task whose turn it is the claim is committed first, with the intent to start a run; then
    ``starter`` starts it in the gateway, under a key that starts nothing twice.
4.  The agent works, and writes on the board with its ticket (``cli``, ``api``, ``mcp``): every write carries
    its claim, and a claim of an older epoch changes nothing.
5.  Its final output is checked (``checks``), then accepted, judged by another agent or shown to a person.
6.  A run that ends without a result, stands still or disappears is recovered: stopped first, then the task
    is given back. Whoever merely waits for the budget is not called stuck.
7.  ``exchange`` tells the source how it stands, and ``notifications`` tells people what they have to know,
    once. ``watchman`` looks after the whole, ``report`` sums it up.

Stopping, upgrading or killing this process ends no run and starts none twice: what is true stands on the
board and in the gateway, and the first tick after a start puts the two together again.
"""
