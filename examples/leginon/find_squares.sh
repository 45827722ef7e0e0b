# Leginon runs `source find_squares.sh JOB IMAGE.mrc FOLDER` and reads FOLDER/JOB.json: the squares of an atlas tile.
epicycle detect squares "$2" --format ptolemy --json "$3/$1.json"
