"""Reports of runs: the verdict, the summary, the table on the terminal."""
