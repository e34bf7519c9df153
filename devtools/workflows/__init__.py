"""The shipped workflows as code: one definition each, from which the UI file and the API prompt are written.

`python -m devtools.workflows` writes every file; `python -m devtools.workflows learn [NODE ...]` renews what is known
about node inputs (node_types.json) from a server's /object_info.
"""
