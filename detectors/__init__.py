"""Eyes: squares on an atlas, holes on a square. Pixels in, frozen records out."""
