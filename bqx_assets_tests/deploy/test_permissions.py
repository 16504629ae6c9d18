"""Every call is covered by a role that the recipe grants, every grant is used, and the page says so."""

from __future__ import annotations

import pytest

from bqx_assets_tests.deploy.permissions import PAGE, Call, calls, covering, grants, page, permissions_of


def test_the_page_is_up_to_date() -> None:
    """Made anew with: python -m bqx_assets_tests.deploy.permissions"""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize(
    "call", [each for each in calls() if each.by != "operator"], ids=lambda call: f"{call.by} {call.name}"
)
def test_each_permission_of_a_call_is_in_a_role_that_its_account_has_on_that_resource(call: Call) -> None:
    given = list(grants())
    assert {
        need.permission: covering(call, need, given) for need in call.needs if not covering(call, need, given)
    } == {}


def test_no_role_is_granted_that_no_call_needs() -> None:
    needed = {(call.by, need.on, need.permission) for call in calls() for need in call.needs}
    for grant in grants():
        assert {(grant.to, grant.on, permission) for permission in permissions_of(grant.role)} & needed, grant


def test_no_account_may_administer_anything() -> None:
    roles = {grant.role for grant in grants()}
    assert not [role for role in roles if role.lower().endswith(("admin", "owner", "editor", "developer"))]
