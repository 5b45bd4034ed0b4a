"""What a reader gets of a run: the verdict, the summary, the table on the terminal."""
