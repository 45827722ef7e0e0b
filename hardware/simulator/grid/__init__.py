"""The grid as it lies there: mesh, film, ice, defects, all drawn from one seed."""
