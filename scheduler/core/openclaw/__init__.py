"""What has to change in OpenClaw's configuration so that its agents work at our pace, and the way back.

`plan` makes the changes, `tree` is how a change and its inverse are written, `models` which models there are,
`jobs` which automations start turns.
"""
