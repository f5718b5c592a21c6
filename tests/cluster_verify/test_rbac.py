"""What to ask for after a denial: the exact rule, once, in a text that can be applied as it is."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.cluster.rbac import access_hint, denied_hint, forbidden_question, is_rbac_denial, role_yaml
from modekeeper.model.cluster import AccessAnswer, AccessQuestion, ClusterAnswerError

PATCH = AccessQuestion(verb="patch", group="apps", resource="deployments", namespace="train", name="trainer")
DENIED = (
    'deployments.apps "trainer" is forbidden: User "guest" cannot patch resource "deployments" in API group "apps"'
    ' in the namespace "train"'
)


def denial(detail: str, status: int = 403) -> ClusterAnswerError:
    return ClusterAnswerError(detail, status=status, reason="Forbidden", detail=detail)


DENIALS = {
    "one object": (DENIED, PATCH, "guest"),
    "a list": (
        'pods is forbidden: User "guest" cannot list resource "pods" in API group "" in the namespace "train"',
        AccessQuestion(verb="list", group="", resource="pods", namespace="train"),
        "guest",
    ),
    "a subresource": (
        (
            'pods "trainer-0" is forbidden: User "system:serviceaccount:ops:mk" cannot get resource "pods/log" in API'
            ' group "" in the namespace "train"'
        ),
        AccessQuestion(verb="get", group="", resource="pods", subresource="log", namespace="train", name="trainer-0"),
        "system:serviceaccount:ops:mk",
    ),
    "of the whole cluster": (
        'nodes is forbidden: User "guest" cannot list resource "nodes" in API group "" at the cluster scope',
        AccessQuestion(verb="list", group="", resource="nodes"),
        "guest",
    ),
    "with the authoriser's reason": (
        f'{DENIED}: RBAC: role.rbac.authorization.k8s.io "x" not found',
        PATCH,
        "guest",
    ),
}


@pytest.mark.parametrize("what", DENIALS)
def test_a_denial_is_read_back_as_the_question_it_denies(what: str) -> None:
    detail, question, user = DENIALS[what]
    assert forbidden_question(denial(detail)) == (question, user)
    assert is_rbac_denial(denial(detail))


NO_DENIALS = {
    "a policy": ("deployments.apps \"trainer\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no", 403),
    "a webhook": ('admission webhook "w.example.org" denied the request: no', 403),
    "a quota": ('pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3', 403),
    "another status": (DENIED, 401),
    "nothing": ("", 403),
}


@pytest.mark.parametrize("what", NO_DENIALS)
def test_what_no_role_would_help_against_is_no_denial(what: str) -> None:
    assert denied_hint(denial(*NO_DENIALS[what]), PATCH) is None


def test_a_hint_names_everything_a_rule_is_made_of() -> None:
    hint = denied_hint(denial(DENIED), PATCH)
    assert hint is not None
    assert (hint.reason, hint.verb, hint.api_group, hint.resource) == ("rbac_denied", "patch", "apps", "deployments")
    assert (hint.namespace, hint.name, hint.subject) == ("train", "trainer", "guest")
    assert 'patch deployments.apps "trainer" in namespace "train"' in hint.message
    role, binding = hint.role_yaml.split("---\n")
    name = role.splitlines()[3]
    assert role == (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n"
        f"{name}\n  namespace: train\nrules:\n"
        '- apiGroups: ["apps"]\n  resources: ["deployments"]\n  resourceNames: ["trainer"]\n  verbs: ["patch"]\n'
    )
    assert binding.endswith("- apiGroup: rbac.authorization.k8s.io\n  kind: User\n  name: guest\n")
    assert name in binding


def test_a_hint_without_a_known_subject_says_where_to_put_it() -> None:
    hint = access_hint(PATCH, AccessAnswer(allowed=False, reason="no such role"))
    assert hint.subject is None
    assert "no such role" in hint.message
    assert "PUT-YOUR-USER-HERE  # kubectl auth whoami" in hint.role_yaml


def test_a_service_account_is_bound_as_one() -> None:
    text = role_yaml([PATCH], subject="system:serviceaccount:ops:mk")
    assert text.endswith("subjects:\n- kind: ServiceAccount\n  namespace: ops\n  name: mk\n")


@pytest.mark.parametrize("user", ["yes", "0x1f", "a: b", 'a"b', "a\nb", "it's", "# x", "Ünï", "kube:admin"])
def test_a_user_name_cannot_leave_its_place_in_the_yaml(user: str) -> None:
    last = role_yaml([PATCH], subject=user).splitlines()[-1]
    assert last.startswith('  name: "')
    assert last.endswith('"')


def test_a_list_is_never_narrowed_to_a_name() -> None:
    question = AccessQuestion(verb="list", group="", resource="pods", namespace="train", name="trainer-0")
    assert "resourceNames" not in role_yaml([question])


def test_another_rule_is_another_role() -> None:
    """Applying a second hint must not take away what the first one gave."""
    get = AccessQuestion(verb="get", group="apps", resource="deployments", namespace="train", name="trainer")
    assert role_yaml([PATCH]).splitlines()[3] != role_yaml([get]).splitlines()[3]


QUESTIONS = st.builds(
    AccessQuestion,
    verb=st.sampled_from(["get", "list", "patch", "watch"]),
    group=st.sampled_from(["", "apps", "ray.io"]),
    resource=st.sampled_from(["pods", "deployments"]),
    subresource=st.sampled_from(["", "log"]),
    namespace=st.sampled_from([None, "a", "b"]),
    name=st.sampled_from([None, "x", "y"]),
)


@given(st.lists(QUESTIONS, max_size=8), st.randoms())
def test_the_same_questions_make_the_same_text(questions: list[AccessQuestion], order: random.Random) -> None:
    again = [*questions, *questions[:2]]
    order.shuffle(again)
    assert role_yaml(again) == role_yaml(questions)


def test_nothing_asked_is_no_text() -> None:
    assert role_yaml([]) == ""
