"""What the tests of the builder build with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yards


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[yards.Yard]:
    yard = yards.make_yard(tmp_path)
    yield yard
    yard.database.close()
