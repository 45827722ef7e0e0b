"""The finders behind a door: the HTTP interface that Leginon's Ptolemy handler calls.

It lies with the detectors because it knows nothing else: images come in by request, rows of squares and holes go out.
It reaches neither a microscope nor the record of a night, and pages (`web`) are made from a record alone.
"""
