"""Which writes an object has seen, apart from those of its status, which controllers go on writing."""

from collections.abc import Mapping
from typing import Any


def but_status(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object as far as a client's write could change it. Two of these are equal if nothing but the status was written between them."""
    metadata = {name: value for name, value in item["metadata"].items() if name != "resourceVersion"}
    entries = metadata.get("managedFields", ())
    metadata["managedFields"] = [entry for entry in entries if entry.get("subresource") != "status"]
    return {**item, "metadata": metadata, "status": None}
