"""Tests in a class, which has fixtures and preparations of its own."""

import logging
from typing import Any

import prices
import pytest

left = []


class TestShop:
    @pytest.fixture(autouse=True)
    def stocked(self) -> None:
        self.stock = 7

    def setup_method(self, method: Any) -> None:
        self.called = method.__name__

    def test_stock(self) -> None:
        assert (self.stock, self.called) == (7, "test_stock")

    @pytest.mark.asyncio
    async def test_what_pytest_brings(self, caplog: Any, capsys: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr(prices, "EXPECTED", 0.3)
        assert 0.1 + 0.2 == pytest.approx(prices.EXPECTED)
        print("printed")
        assert capsys.readouterr().out == "printed\n"
        logging.getLogger("shop").warning("logged")
        assert caplog.messages == ["logged"]
        with pytest.raises(ValueError, match="invalid"):
            int("seven", 2)

    @pytest.mark.parametrize("turn", [1, 2])
    def test_nothing_is_left_of_other_tests(self, turn: int) -> None:
        left.append(turn)
        assert left == [turn]
