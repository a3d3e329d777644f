"""The pydantic models of a site file. What uses a site needs none of this: `to_site` gives plain data."""
