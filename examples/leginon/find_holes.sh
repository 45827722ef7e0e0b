# Leginon runs `source find_holes.sh JOB IMAGE.mrc FOLDER` and reads FOLDER/JOB.json: the holes of a square or a hole view.
epicycle detect holes "$2" --format ptolemy --json "$3/$1.json"
