"""The texts of the nodes in other languages: one phrase book a language, from which locales/ is written.

`python -m devtools.translations` asks a server for the nodes' English texts, writes locales/<language>/nodeDefs.json
and the help pages js/docs/, and lists the phrases that a book lacks. A text that changes in nodes/ is a phrase
without a translation, so no translation can grow stale unseen.
"""
