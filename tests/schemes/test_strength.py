import math
from typing import Any

import pytest
import torch

from bench.config import OPERATIONS
from bench.schemes import Dropout, Noise, Strength, strength_of
from bench.targets import find

NAMED = {name: find("scheme.operation", target, ["bench"]) for name, target in OPERATIONS.items()}


class Silent:
    def __call__(self, x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
        return x


def stating(statement: Any) -> Any:
    return type("Foreign", (Silent,), {"strength": statement})()


REFUSED = [
    ("dropout", 1, "expected a rate in [0, 1), got 1"),
    ("dropout", -0.1, "expected a rate in [0, 1), got -0.1"),
    ("dropout", math.nan, "expected a rate in [0, 1), got nan"),
    ("dropout", "0.5", "expected a rate in [0, 1), got '0.5'"),
    ("dropout", None, "expected a rate in [0, 1), got None"),
    ("noise", -1, "expected a standard deviation of at least 0, got -1"),
    ("noise", True, "expected a standard deviation of at least 0, got True"),
    ("noise", math.inf, "expected a standard deviation of at least 0, got inf"),
    ("noise", 10**400, "expected a standard deviation of at least 0, got "),
    ("activation_pruning", 0.0, "expected draws per activation over 0, got 0.0"),
    ("activation_pruning", "a\nb", r"expected draws per activation over 0, got 'a\nb'"),
    ("resize_pad", torch.ones(2, 2), "expected a share of the side in [0, 1), got tensor([["),
]


@pytest.mark.parametrize(("name", "value", "words"), REFUSED)
def test_a_strength_out_of_range_is_one_line(name: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match="^scheme.sites.fc: ") as refused:
        strength_of(NAMED[name]()).check("scheme.sites.fc", value)
    assert str(refused.value).startswith(f"scheme.sites.fc: {words}")
    assert "\n" not in str(refused.value)


def test_a_strength_in_range_is_taken_up_to_the_ends_that_belong_to_it() -> None:
    taken = {"dropout": (0, 0.0, 0.999), "noise": (0, 1.5, 255), "activation_pruning": (1e-9, 1, 40.0),
             "resize_pad": (0, 0.15)}  # fmt: skip
    assert taken.keys() == NAMED.keys()
    for name, values in taken.items():
        for value in values:
            strength_of(NAMED[name]).check("rate", value)
    bits = Strength("bits", 1, 8, "(]", off=8, grows=False)
    bits.check("rate", 8)
    with pytest.raises(ValueError, match=r"^rate: expected bits in \(1, 8\], got 1$"):
        bits.check("rate", 1)


@pytest.mark.parametrize(("strength", "words"), [
    (Strength("angle", -math.inf, 90, "(]"), "an angle of at most 90"),
    (Strength("angle", -math.inf, 90, "()"), "an angle below 90"),
    (Strength("level", -math.inf, math.inf, "[]"), "a level, a finite number"),
])  # fmt: skip
def test_a_range_without_a_lowest_value_is_said_too(strength: Strength, words: str) -> None:
    with pytest.raises(ValueError, match=f"^k: expected {words}, got inf$"):
        strength.check("k", math.inf)


def test_what_is_off_and_what_grows_is_said_by_each_operation() -> None:
    stated = {name: (strength_of(made()).off, strength_of(made()).grows) for name, made in NAMED.items()}
    assert stated == {
        "dropout": (0, True),
        "noise": (0, True),
        "activation_pruning": (None, False),
        "resize_pad": (0, True),
    }
    assert not strength_of(Dropout).acts(0)
    assert strength_of(Dropout).acts(1e-9)
    assert strength_of(NAMED["activation_pruning"]).acts(0)
    off_at_8 = Strength("bits", 1, 8, "[]", off=8)
    assert (off_at_8.acts(8), off_at_8.acts(1)) == (False, True)


def test_what_is_off_changes_nothing() -> None:
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for made in NAMED.values():
        off = strength_of(made).off
        if off is not None:
            found = made()(x, off, torch.Generator().manual_seed(1))
            torch.testing.assert_close(found, x, rtol=0, atol=1e-6)


def test_a_foreign_operation_that_states_nothing_has_dropouts() -> None:
    for operation in (Silent(), Silent, lambda x, rate, generator: x):
        assert strength_of(operation) == Strength("rate", 0, 1, "[)", off=0, grows=True)
    assert strength_of(Silent()) == strength_of(Dropout())


def test_a_foreign_operation_may_state_it_in_plain_words() -> None:
    expected = Strength("standard deviation", 0, math.inf, "[)", off=0, grows=True)
    assert strength_of(Noise()) == strength_of(Noise) == expected
    plain = {"name": "standard deviation", "low": 0, "high": math.inf, "ends": "[)", "off": 0, "grows": True}
    for statement in (expected, plain, tuple(plain.values()), list(plain.values()),
                      {"name": "standard deviation", "high": math.inf}):  # fmt: skip
        assert strength_of(stating(statement)) == expected


@pytest.mark.parametrize(("statement", "words"), [
    (0.3, "expected a Strength, or its name, low, high, ends, off, grows; got 0.3"),
    ("rate", "expected a Strength, or its name, low, high, ends, off, grows; got 'rate'"),
    (None, "expected a Strength, or its name, low, high, ends, off, grows; got None"),
    (("rate", 0, 1, "[)", 0, True, 5), "expected a Strength, or its name, low, high, ends, off, grows; got ("),
    ({"nmae": "rate"}, "no such field as nmae; allowed: name, low, high, ends, off, grows"),
    ({1: "rate"}, "no such field as 1; allowed: name, low, high, ends, off, grows"),
    ({"name": ""}, "name: expected a few words, got ''"),
    ({"name": "two\nlines"}, r"name: expected a few words, got 'two\nlines'"),
    ({"low": "0"}, "low: expected a number, got '0'"),
    ({"high": math.nan}, "high: expected a number, got nan"),
    ({"low": 1}, "high: expected over low (1), got 1.0"),
    ({"ends": "["}, "ends: expected one of [], [), (], (), got '['"),
    ({"ends": ["[", ")"]}, "ends: expected one of [], [), (], (), got ['[', ')']"),
    ({"low": 2, "high": 9}, "off: expected a rate in [2, 9), or None, got 0.0"),
    ({"grows": "no"}, "grows: expected True or False, got 'no'"),
])  # fmt: skip
def test_a_statement_that_makes_no_sense_is_one_line(statement: Any, words: str) -> None:
    for operation in (stating(statement), type(stating(statement))):
        with pytest.raises(ValueError, match=r"^Foreign\.strength: ") as refused:
            strength_of(operation)
        assert str(refused.value).startswith(f"Foreign.strength: {words}")
        assert "\n" not in str(refused.value)
