"""What holds for the house as a whole: imports, measures, packaging, documentation."""
