"""Makes the dashboards: ``python -m grafana.source.main`` writes ``grafana/dashboards``."""

import warnings

with warnings.catch_warnings():
    # The SDK warns of classic dashboards when it is imported. They are what every Grafana from 11 to 13 reads.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import dashboard as _dashboard  # noqa: F401
    from grafana_foundation_sdk.builders import prometheus as _prometheus  # noqa: F401
