"""Object ids: the user's own label values."""

MAX_OBJECT_ID = 65535
"""The largest object id: results are uint16."""
