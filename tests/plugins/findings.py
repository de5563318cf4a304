"""Short forms of what a check found."""

from collections.abc import Sequence

from cli.aspects.finding import Finding


def brief(findings: Sequence[Finding]) -> list[str]:
    return [f"{finding.status} {finding.aspect}" for finding in findings]


def only(findings: Sequence[Finding]) -> Finding:
    (finding,) = findings
    return finding
