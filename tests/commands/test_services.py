"""`triptych add` and `triptych remove`."""

from pathlib import Path

import pytest

from tests.workbench import SPEC, triptych


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "services.yaml"
    file.write_text(SPEC)
    return file


def test_a_service_is_added(spec: Path) -> None:
    result = triptych(
        "add", "billing", "-f", spec, "--port", "9000", "--depends-on", "orders", "--host", "pay.acme.example"
    )

    assert result.code == 0
    assert spec.read_text() == SPEC + (
        '  - {name: billing, language: python, port: 9000, dependsOn: [orders], route: {host: "pay.acme.example"}}\n'
    )
    assert "triptych plan" in result.out


@pytest.mark.parametrize("empty", ["[]", "", "# none yet"])
def test_the_first_service_goes_into_an_empty_list(spec: Path, empty: str) -> None:
    spec.write_text(SPEC.partition("services:")[0] + f"services: {empty}\n")

    assert triptych("add", "orders", "-f", spec).code == 0
    assert triptych("validate", "-f", spec).out.endswith("is valid: 1 service, 3 environments.\n")


def test_a_faulty_service_is_not_written(spec: Path) -> None:
    result = triptych("add", "Billing", "-f", spec, "--depends-on", "ordrs")

    assert result.code == 2
    assert "found 'Billing'; allowed: lower-case letters" in result.err
    assert "did you mean `orders`?" in result.err
    assert spec.read_text() == SPEC


def test_a_service_that_is_there_is_not_added_again(spec: Path) -> None:
    result = triptych("add", "orders", "-f", spec)

    assert result.code == 2
    assert "has a service `orders` already" in result.err


def test_a_service_is_removed(spec: Path) -> None:
    assert triptych("remove", "catalog", "-f", spec).code == 0
    assert spec.read_text() == SPEC.replace("  - {name: catalog, language: python}\n", "")


def test_a_service_that_others_need_stays(spec: Path) -> None:
    spec.write_text(SPEC.replace("orders, language: python", "orders, language: python, dependsOn: [catalog]"))
    before = spec.read_text()

    result = triptych("remove", "catalog", "-f", spec)

    assert result.code == 2
    assert "orders depends on `catalog`" in result.err
    assert spec.read_text() == before


def test_byte_order_mark_and_line_ends_and_mode_stay(spec: Path) -> None:
    spec.write_bytes(("\ufeff" + SPEC).replace("\n", "\r\n").encode())
    spec.chmod(0o640)

    triptych("add", "billing", "-f", spec)

    raw = spec.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    assert raw.count(b"\r\n") == raw.count(b"\n")
    assert spec.stat().st_mode & 0o777 == 0o640


def test_a_link_to_the_spec_stays_a_link(spec: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(spec)

    triptych("add", "billing", "-f", link)

    assert link.is_symlink()
    assert "billing" in spec.read_text()
