"""What the camera would show: the grid laid out in a view, lit, bent by the lens and counted."""
