from __future__ import annotations


class ShopConnectError(Exception):
    """shop-connect did not do what it was asked; another try may help."""


class RefusedError(ShopConnectError):
    """The request itself is wrong, so that no other try helps."""


class BusyError(ShopConnectError):
    """A run of the same name is at work."""
