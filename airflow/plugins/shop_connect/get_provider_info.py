from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Tell Airflow what there is; the entry point of the folder beside this one leads here."""
    integration = "shop-connect"
    return {
        "package-name": "shop-connect-provider",
        "name": integration,
        "description": "Batch runs of shop-connect as deferrable tasks.",
        "integrations": [
            {"integration-name": integration, "external-doc-url": "https://github.com/shop-connect/shop-connect", "tags": ["service"]}
        ],
        "hooks": [{"integration-name": integration, "python-modules": ["shop_connect.hooks.shop_connect"]}],
        "operators": [{"integration-name": integration, "python-modules": ["shop_connect.operators.run"]}],
        "sensors": [{"integration-name": integration, "python-modules": ["shop_connect.sensors.new_data"]}],
        "triggers": [
            {
                "integration-name": integration,
                "python-modules": ["shop_connect.triggers.run", "shop_connect.triggers.new_data"],
            }
        ],
        "connection-types": [
            {
                "hook-class-name": "shop_connect.hooks.shop_connect.ShopConnectHook",
                "hook-name": integration,
                "connection-type": "shop_connect",
                "ui-field-behaviour": {
                    "hidden-fields": ["extra"],
                    "relabeling": {"schema": "Scheme", "login": "User", "password": "Password, or a token where there is no user"},
                    "placeholders": {"host": "127.0.0.1", "port": "8000", "schema": "http"},
                },
            }
        ],
    }
