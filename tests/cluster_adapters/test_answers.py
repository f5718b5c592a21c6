"""What the API server says is wrong is told to the end, however much it says before."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.cluster.answers import status_error
from modekeeper.cluster.kubectl.answers import failure
from modekeeper.model.cluster import ClusterAnswerError, JsonObject
from modekeeper.model.untrusted import visible, visible_ends

TEMPLATE = {
    "metadata": {
        "labels": {"batch.kubernetes.io/controller-uid": "c56c7272-1c2e-481a-9a8d-aed3cf1cff1c", "job-name": "trainer"},
        "annotations": {"modekeeper/knob.dataloader_prefetch_factor": "4"},
    },
    "spec": {
        "containers": [
            {
                "name": f"worker-{number}",
                "image": "registry.invalid/trainer:1",
                "command": ["bash", "-c", "set -e\ntorchrun --nproc-per-node=8 train.py"],
                "resources": {"limits": {"nvidia.com/gpu": "8"}},
            }
            for number in range(20)
        ],
        "restartPolicy": "Never",
    },
}
WHOLE = f"spec.template: Invalid value: {json.dumps(TEMPLATE, separators=(',', ':'))}: field is immutable"


def invalid(message: str) -> JsonObject:
    """A 422 as the API server sends it."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "Invalid",
        "details": {"name": "trainer", "group": "batch", "kind": "Job"},
        "code": 422,
    }


def test_an_object_refused_as_a_whole_leaves_its_name_and_the_reason() -> None:
    assert len(WHOLE) > 3000
    error = status_error("patch the Job", 422, invalid(f'Job.batch "trainer" is invalid: {WHOLE}'))
    said = failure("patch the Job", f'The Job "trainer" is invalid: {WHOLE}\n')
    assert isinstance(said, ClusterAnswerError)
    for each in (error, said):
        assert each.status == 422
        assert '"trainer" is invalid: spec.template: Invalid value: {"metadata":' in each.detail
        assert each.detail.endswith(": field is immutable")
        assert " … " in each.detail
        assert len(each.detail) <= 500
        assert str(each).endswith(": field is immutable.")
        assert str(each).isprintable()


@pytest.mark.parametrize("text", ["", "a", "x" * 500, "a\n b\t c"])
def test_what_is_short_enough_is_whole(text: str) -> None:
    assert visible_ends(text) == visible(text)


def test_white_space_alone_makes_no_text_long() -> None:
    assert visible_ends("a" + " " * 700 + "b") == "a b"


def test_an_escape_is_never_cut_in_two() -> None:
    assert visible_ends("\x00" * 600, 30) == "\\u0000\\u0000 … \\u0000\\u0000"


@given(st.text(max_size=400), st.text(max_size=10_000), st.text(max_size=400), st.integers(min_value=20, max_value=600))
def test_any_text_is_one_bounded_line_with_both_its_ends(head: str, middle: str, tail: str, limit: int) -> None:
    text = head + middle + tail
    told = visible_ends(text, limit)
    assert told.isprintable()
    assert len(told) <= limit
    whole = visible(text, 10**6)
    if len(whole) <= limit and len(text) < 16 * limit:
        assert told == whole
    elif " … " not in whole and len(text) < 16 * limit:
        first, last = told.split(" … ")
        assert whole.startswith(first)
        assert whole.endswith(last)
        assert len(first) + len(last) < len(whole)
