"""Commands: what `python -m lit_bg.fit` and its like do once their arguments are read."""
