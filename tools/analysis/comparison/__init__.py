"""What `run_table.py` is made of: the table file, its cells, a sitting that runs them, and the report."""
