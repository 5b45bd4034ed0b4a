"""The command `lit-bg`, and what is checked and said before anything heavy is imported."""
