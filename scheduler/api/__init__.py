"""The board and the daemon over HTTP.

The story of one request, behind the guard that every port has:

1.  ``app`` says which path leads where, counts the answer, and turns what may go wrong into an error of ours.
2.  ``identity`` finds out who asks: a reader, the holder of a claim, or an operator with the admin token.
3.  ``incoming`` reads the body, within bounds of size and time; ``uploads`` a file in it, onto the disk.
4.  ``tasks`` asks the board, ``control`` the daemon; both through what they are handed, never around it.
5.  ``replies`` answers; ``downloads`` streams a file, ``stream`` the events as they happen.

The rule: nothing is decided here. What a verb may do stands in ``scheduler.verbs``, what the board allows in
``scheduler.core``; this is how it is asked over a network, and the same question gets the same answer on the
command line.
"""
