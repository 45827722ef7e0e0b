"""The night: state machine, column, recovery, analyst, commands, duties of the wall clock."""
