"""How the zoo is trained: one file a model, and the loop they share."""
