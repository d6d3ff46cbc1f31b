"""What a task source and the board say of the same work, and which of them is right.

`items` is what a source shows. `sameness` finds what stands in two places, `intake` says what becomes of an
item here, `following` what a change there means here, `mirror` what the source is to be told, `foreign` what
becomes of work there that is none of ours, `summary` what is said of a result.
"""
