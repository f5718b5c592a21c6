"""Coverage-guided fuzzing of licences, keyrings, issuer keysets and approvals, with atheris (libFuzzer).

    python -m tests.trust.fuzz_trust RUNS [SEED] [SECONDS]

Exits with 0 when nothing was found; else the input that broke a rule is printed by libFuzzer. The first byte of an
input says what the rest is: a document as it is, a document that is signed properly first, so that what lies behind
the signature is reached too, a keyring, an issuer keyset, an approval, or an approval that is signed first.
"""

import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["modekeeper.trust", "modekeeper.policy.strict_json", "modekeeper.model"]):
    from tests.trust import approving
    from tests.trust.signing import FACTS, KEYRING, NOW, dumped, fields, licence, signed
    from tests.trust.test_chain import ROOT, keyset

    from modekeeper.trust.chain import TrustChain
    from modekeeper.trust.check import LicenseVerdict, check_license
    from modekeeper.trust.check_approval import ApprovalVerdict, check_approval
    from modekeeper.trust.faults import TrustError
    from modekeeper.trust.keyring import read_keyring
    from modekeeper.trust.state import TrustState

GOOD = licence(bindings={"cluster": "3c1f-uid", "org": "Acme GmbH"})
GOOD_KEYSET = keyset()
GOOD_APPROVAL = approving.approval()
APPROVAL_FIELDS = {*approving.fields(), "signature"}
FIELDS = {*fields(), "bindings", "signature"}
SEEDS = (
    b"0" + GOOD, b"1" + GOOD, b"2" + ROOT, b"3" + GOOD_KEYSET, b"4" + GOOD_APPROVAL, b"5" + GOOD_APPROVAL,
)  # fmt: skip
WORDS = (
    *FIELDS, *APPROVAL_FIELDS, "approval.v1", "ada", "bob",
    "license.v1", "keyring.v1", "issuer_keyset.v1", "keys", "version", "revoked_kids", "revoked_licenses",
    "cluster", "host", "vendor-2026", "vendor-2027", "root-1", "apply", "1e0", "-0", "NaN", "null", "true", "alg",
    "2026-01-01T00:00:00Z", "\\xef\\xbb\\xbf", "\\\\u0061", "\\\\ud800", "\\xe2\\x80\\xae",
)  # fmt: skip


def check(data: bytes) -> None:
    """No exception but ours, one printable line for each refusal, and nothing accepted that was not signed."""
    kind, body = data[:1], data[1:]
    try:
        {
            b"1": _signed_first,
            b"2": _as_keyring,
            b"3": _as_keyset,
            b"4": _as_approval,
            b"5": _as_signed_approval,
        }.get(kind, _as_it_is)(body)
    except TrustError as error:
        _printable(error.detail)


def _as_it_is(body: bytes) -> None:
    if _verdict(body).license_ok and json.loads(body) != json.loads(GOOD):
        raise AssertionError("a licence was accepted that nobody signed")


def _signed_first(body: bytes) -> None:
    try:
        document = json.loads(body)
        data = dumped(signed({name: value for name, value in document.items() if name != "signature"}))
    except (ValueError, AttributeError, RecursionError):  # nothing that could be signed
        return
    if _verdict(data).license_ok and not FIELDS - {"bindings"} <= set(document) | {"signature"} <= FIELDS:
        raise AssertionError("a licence was accepted that has not exactly the fields of one")


def _as_keyring(body: bytes) -> None:
    if any(len(key) != 32 for key in read_keyring(body).keys.values()):
        raise AssertionError("a key of another size")


def _as_keyset(body: bytes) -> None:
    chain = TrustChain(now=NOW, state=TrustState())
    chain.load_root(ROOT)
    chain.load_issuers(body)
    if json.loads(body) != json.loads(GOOD_KEYSET):
        raise AssertionError("an issuer keyset was accepted that nobody signed")


def _as_approval(body: bytes) -> None:
    if _approval_verdict(body).approved and json.loads(body) != json.loads(GOOD_APPROVAL):
        raise AssertionError("an approval was accepted that nobody signed")


def _as_signed_approval(body: bytes) -> None:
    try:
        document = json.loads(body)
        data = dumped(signed({name: value for name, value in document.items() if name != "signature"}, "ada"))
    except (ValueError, AttributeError, RecursionError):  # nothing that could be signed
        return
    verdict = _approval_verdict(data)
    needed = APPROVAL_FIELDS - {"cluster_uid", "reason"}
    if verdict.approved and not needed <= set(document) | {"signature"} <= APPROVAL_FIELDS:
        raise AssertionError("an approval was accepted that has not exactly the fields of one")
    if verdict.approved and document["plan_digest"] != approving.PLAN:
        raise AssertionError("an approval of another plan was accepted")


def _approval_verdict(data: bytes) -> ApprovalVerdict:
    verdict = check_approval(
        data, approvers=approving.APPROVERS, plan_digest=approving.PLAN, cluster_uid=approving.CLUSTER, now=NOW
    )
    if not verdict.approved:
        _printable(verdict.failure_detail or "\n")
    return verdict


def _verdict(data: bytes) -> LicenseVerdict:
    verdict = check_license(data, keyring=KEYRING, facts=FACTS, now=NOW, wanted=("apply",))
    if not verdict.license_ok:
        _printable(verdict.failure_detail or "\n")
    return verdict


def _printable(line: str) -> None:
    if not line.isprintable():
        raise AssertionError(f"not one printable line: {line!r}")


def main() -> None:
    runs, seed, seconds = (*sys.argv[1:4], *("1", "0")[len(sys.argv) - 2 :])
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed_data in enumerate(SEEDS):
            (corpus / str(number)).write_bytes(seed_data)
        (corpus / "long").write_bytes(b'2{"schema_version":"keyring.v1","revoked_kids":["a"],"keys":' + ROOT + b"}")
        words = Path(folder) / "words"
        words.write_text("".join(f'"{word}"\n' for word in WORDS))
        arguments = [
            f"-runs={runs}",
            f"-seed={seed}",
            f"-max_total_time={seconds}",
            "-max_len=3000",
            f"-dict={words}",
            "-timeout=20",
            str(corpus),
        ]
        atheris.Setup([sys.argv[0], *arguments], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
