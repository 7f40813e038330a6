"""The bucket layout against a second reading of the specification, written naively."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.model import ManifestInstance
from wherry.transfers.buckets import PullUrl, cut

MD5 = "0" * 32
PEER = "http://localhost:8042/"

type_layout = list[list[tuple[str, int, int]]]


def naive(sizes: dict[str, int], unit: int, url: str | None = None) -> type_layout:
    """Step by step as the specification has it, quadratic and without cleverness."""
    limit = unit + unit
    buckets: type_layout = []
    small: list[str] = []
    for name in sorted(sizes, key=lambda text: text.encode()):
        size = sizes[name]
        if size < unit:
            small.append(name)
        elif size < limit:
            buckets.append([(name, 0, size)])
        else:
            k = 1
            while k * limit < size:
                k += 1
            c = size // k
            for i in range(k):
                end = size if i == k - 1 else (i + 1) * c
                buckets.append([(name, i * c, end - i * c)])
    current: list[tuple[str, int, int]] = []
    for name in small:
        current.append((name, 0, sizes[name]))
        total = sum(size for _, _, size in current)
        close = total >= unit
        if url is not None:
            uri = "/transfers/chunks/" + ".".join(item[0] for item in current)
            uri += f"?offset=0&size={total}&compression=none"
            if len(url + uri) >= 2000 - 44:
                close = True
        if close:
            buckets.append(current)
            current = []
    if current:
        buckets.append(current)
    return buckets


def instances(sizes: dict[str, int]) -> list[ManifestInstance]:
    return [ManifestInstance(name, size, MD5) for name, size in sizes.items()]


def layout(sizes: dict[str, int], unit: int, url: PullUrl | None = None) -> type_layout:
    return [
        [(chunk.orthanc_id, chunk.offset, chunk.size) for chunk in bucket.chunks]
        for bucket in cut(instances(sizes), unit, url)
    ]


def names(number: int) -> str:
    return f"{number:08x}-00000000-11111111-22222222-33333333"


studies = st.dictionaries(st.integers(0, 2**32 - 1).map(names), st.integers(0, 5000), max_size=120)
units = st.integers(1, 400)


@given(studies, units)
def test_push(sizes: dict[str, int], unit: int) -> None:
    assert layout(sizes, unit) == naive(sizes, unit)


@given(studies, st.integers(1, 20_000), st.integers(1, 60))
def test_pull(sizes: dict[str, int], unit: int, host: int) -> None:
    url = "http://" + "h" * host + "/"
    assert layout(sizes, unit, PullUrl(url, "none")) == naive(sizes, unit, url)


@given(studies, units)
def test_every_byte_travels_once(sizes: dict[str, int], unit: int) -> None:
    seen: dict[str, int] = dict.fromkeys(sizes, 0)
    for bucket in layout(sizes, unit):
        for name, offset, size in bucket:
            assert offset == seen[name]
            seen[name] += size
    assert seen == sizes


def test_the_limits_themselves() -> None:
    a, b, c, d = map(names, range(4))
    assert layout({a: 9, b: 10, c: 19, d: 20}, 10) == [
        [(b, 0, 10)],
        [(c, 0, 19)],
        [(d, 0, 20)],
        [(a, 0, 9)],
    ]
    assert layout({a: 21}, 10) == [[(a, 0, 10)], [(a, 10, 11)]]


def test_42_instances_of_30_kb_fit_a_pull_bucket() -> None:
    """Observed with the stock plugin: 42 ids for a base URL of 23 characters."""
    url = "http://127.0.0.1:18042/"
    assert len(url) == 23
    made = cut(instances({names(n): 30_000 for n in range(100)}), 4 << 20, PullUrl(url, "none"))
    assert [len(bucket.chunks) for bucket in made] == [42, 42, 16]


@pytest.mark.parametrize(("missing", "first"), [(1, 41), (0, 40), (-1, 40)])
def test_a_url_of_exactly_the_limit_closes_the_bucket(missing: int, first: int) -> None:
    sizes = {names(n): 1 for n in range(60)}
    bare = (
        "/transfers/chunks/" + ".".join(sorted(sizes)[:40]) + "?offset=0&size=40&compression=none"
    )
    url = "http://" + "h" * (1956 - missing - len(bare) - len("http:///")) + "/"
    made = cut(instances(sizes), 1 << 20, PullUrl(url, "none"))
    assert len(made[0].chunks) == first


def test_the_target_of_a_pull() -> None:
    sizes = {names(1): 9, names(2): 41}
    url = PullUrl(PEER, "gzip")
    targets = [url.target(bucket, "gzip") for bucket in cut(instances(sizes), 10, url)]
    assert targets == [
        f"/transfers/chunks/{names(2)}?offset=0&size=13&compression=gzip",
        f"/transfers/chunks/{names(2)}?offset=13&size=13&compression=gzip",
        f"/transfers/chunks/{names(2)}?offset=26&size=15&compression=gzip",
        f"/transfers/chunks/{names(1)}?offset=0&size=9&compression=gzip",
    ]


@given(size=st.integers(0, 10**6), unit=st.integers(1000, 10**5))
def test_parts_for_a_wherry_begin_where_blocks_of_the_disk_do(size: int, unit: int) -> None:
    (name,) = sizes = {names(1): size}
    made = cut(instances(sizes), unit, blocks=True)
    chunks = [chunk for bucket in made for chunk in bucket.chunks]
    assert all(len(bucket.chunks) == 1 for bucket in made)
    assert all(chunk.orthanc_id == name for chunk in chunks)
    assert unit < 4096 or all(chunk.offset % 4096 == 0 for chunk in chunks)
    assert [c.offset for c in chunks[1:]] == [c.offset + c.size for c in chunks[:-1]]
    assert sum(chunk.size for chunk in chunks) == size
    assert all(bucket.size < 2 * unit for bucket in made)
