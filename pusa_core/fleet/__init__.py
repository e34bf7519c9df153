"""Many runs of one graph on many GPUs and machines, by Ray: a command-line tool that no node imports.

Here nothing imports torch or Ray at import time, so that Ray's workers start fast and a missing Ray is a sentence.
"""
