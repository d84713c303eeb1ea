"""Values of the run: what devices said when it began, or what a data selector has kept of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extra_data import DataCollection


class RunValues:
    """Values of the run, also those that a data selector has kept of other devices."""

    def __init__(self, run: DataCollection, selector: str = "") -> None:
        self._run, self._selector = run, selector
        self.read: dict[str, Any] = {}
        """What was read, by device and key."""

    def has(self, device: str) -> bool:
        """Return whether anything of a device is known."""
        return device in self._run.control_sources or any(
            key.startswith(f"{_mangled(device)}.") for key in self._of(self._selector)
        )

    def get(self, device: str, key: str, default: Any = None) -> Any:
        """Return a value as a plain number or text."""
        own, kept = self._of(device), self._of(self._selector)
        name = f"{_mangled(device)}.{key.replace('.', '_')}"
        value = own.get(key, own.get(f"{key}.value", kept.get(name, kept.get(f"{name}.value"))))
        if value is None:
            return default
        value = value.item() if hasattr(value, "item") else value
        value = value.decode() if isinstance(value, bytes) else value
        self.read[f"{device} {key}"] = value
        return value

    def _of(self, device: str) -> Mapping[str, Any]:
        """Return all values of a device; none where the run has none."""
        if device not in self._run.control_sources:
            return {}
        try:
            return self._run[device].run_values()
        # Files of old formats, or selections of several runs, have none; there is no class for it.
        except Exception:  # noqa: BLE001
            return {}


def _mangled(device: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in device)
