import os
import pytest
def test_a(): print("hello"); assert os.environ["VCAN_KERNEL"]
@pytest.mark.parametrize("x", ["a b", "ü/[x]", 3])
def test_b(x):
    assert x != 3
def test_skip(): pytest.skip("for a reason")
@pytest.mark.xfail
def test_xf(): assert 0
@pytest.fixture
def bad(): yield; raise ValueError(3)
def test_bad(bad): pass
