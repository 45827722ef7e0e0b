"""What knows the truth: tables, labels, training sets, galleries. Nothing that decides or detects imports this."""
