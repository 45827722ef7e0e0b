"""What a microscope is to us: capabilities, records, errors, time; and the microscopes that fulfil it."""
