"""Job script templates: declared parameters, checks, quoting, rendering."""
