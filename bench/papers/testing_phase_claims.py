"""What "Dropout in Testing Phase Makes Adversarial Samples ..." claims, and its tests.

Here belongs each of the paper's sentences with its test; its tables are in ``testing_phase``.
"""

from collections.abc import Iterator, Sequence

from bench.measuring.intervals import NOTHING, Estimate, difference, mean_of
from bench.papers import claims
from bench.papers.claims import At, Claim, Judged, Test, listed, words
from bench.papers.published import MEAN, Findings

SCHEMES = ("none", "input", "feature", "fc", "all")
ATTACKS = {"targeted": ("lbfgs", "fgsm", "jsma"), "top3": ("lbfgs", "fgsm", "jsma", "deepfool")}
RECOGNITION = {"table3": "targeted", "table5": "top3"}
GOAL = {"targeted": "target", "top3": "top-3"}
NAMES = {"lbfgs": "L-BFGS", "fgsm": "FGSM", "jsma": "JSMA", "deepfool": "DeepFool"}
# more dropout: each step adds a site, or all of them at once
STEPS = (
    ("none", "all"), ("none", "input"), ("none", "feature"), ("none", "fc"),
    ("input", "all"), ("feature", "all"), ("fc", "all"),
)  # fmt: skip
TINY_LOSS_PCT = 1.0
"""Accuracy that conclusion (1) calls tiny; the paper loses 0.51 points at most."""
TREND_PCT = 20.0
"""Change of a MAD, in % of that without dropout, that is no obvious trend: of the figures in Table 4 that the
paper says have none, the largest change is 19.4 % (FGSM under feature)."""
OWN_SAMPLES = (
    "none gets all of its own samples wrong by construction: what it is compared with has to be another "
    "network without dropout, or noise of equal size, and was not measured"
)
"""Why nothing can be compared with the entry none/none of a recognition table."""

_SQUARE = ("recognised_by", "generated_under")


def _mad(table: str, attack: str) -> At:
    return lambda findings, scheme: findings.value(table, attack=attack, scheme=scheme)


def _recognised(table: str, attack: str, key: str) -> At:
    """The mean accuracy of one scheme's samples, or of one scheme's network, ``key`` says which.

    It leaves out the other key's ``none``, so that none/none, 0 by construction, is in no mean, and all
    means are of the same schemes.
    """
    other = _SQUARE[key == _SQUARE[0]]

    def mean(findings: Findings, scheme: str) -> Estimate:
        named = [{key: scheme, other: one} for one in SCHEMES[1:]]
        return mean_of([findings.value(table, attack=attack, **names) for names in named])

    return mean


def _change(findings: Findings, table: str, attack: str, scheme: str = "all") -> Estimate:
    """How much the MAD changes from none to a scheme, in % of none's."""
    none = findings.value(table, attack=attack, scheme="none")
    change = difference(findings.value(table, attack=attack, scheme=scheme), none)
    return Estimate(*(100 * v / none.mean for v in change))


def _pct(change: Estimate) -> str:
    return words(change, "+.0f", ".0f").replace(" [", " % [")


def _less_affected(findings: Findings) -> Judged:
    changes = {a: _change(findings, "table2", a) for a in ("jsma", "lbfgs", "fgsm")}
    jsma, *others = changes.values()
    limit = min(abs(other.mean) for other in others)
    there = claims.decided(others, holds=True, fails=False)
    return claims.combined([there, claims.small(jsma, limit)]), listed(changes, _pct, NAMES)


def _no_trend(attack: str) -> Test:
    """Whether no scheme's MAD is further than ``TREND_PCT`` from that without dropout, from intervals.

    It does not hold where the MAD grows or falls with dropout, however little.
    """

    def test(findings: Findings) -> Judged:
        changes = {s: _change(findings, "table4", attack, s) for s in SCHEMES[1:]}
        alike = claims.combined([claims.small(change, TREND_PCT) for change in changes.values()])
        mad = _mad("table4", attack)
        trends = [form(mad, STEPS)(findings)[0] for form in (claims.grows, claims.falls)]
        return claims.FAILS if claims.HOLDS in trends else alike, listed(changes, _pct)

    return test


def _tiny_loss(findings: Findings) -> Judged:
    none, *others = (findings.value("table1", data_set="testing", scheme=s) for s in SCHEMES)
    losses = {s: difference(none, other) for s, other in zip(SCHEMES[1:], others, strict=True)}
    verdict = claims.combined([claims.cheap(loss, TINY_LOSS_PCT) for loss in losses.values()])
    return verdict, listed(losses, lambda v: words(v, "+.2f", ".2f"))


def _own_samples(table: str, attack: str) -> Test:
    def test(findings: Findings) -> Judged:
        named = {s: {"generated_under": "none", "recognised_by": s} for s in SCHEMES[1:]}
        seen = {s: findings.value(table, attack=attack, **names) for s, names in named.items()}
        return claims.NOT_TESTED, f"{OWN_SAMPLES}; {listed(seen)}"

    return test


def _mean_accuracy(findings: Findings, scheme: str) -> Estimate:
    """Of a scheme's network on the samples of all attacks that were run, and have a usable reference."""
    means = []
    for table, sweep in RECOGNITION.items():
        for attack in ATTACKS[sweep]:
            of = {s: findings.value(table, attack=attack, generated_under=MEAN, recognised_by=s)
                  for s in SCHEMES[1:]}  # fmt: skip
            # FGSM of Table 5 has none
            if any(map(claims.measured, of.values())):
                means.append(of[scheme])
    return mean_of(means)


def _hindered(findings: Findings) -> Judged:
    changes = {a: _change(findings, "table2", a) for a in ATTACKS["targeted"]}
    apart = [difference(changes[a], changes["jsma"]) for a in ("lbfgs", "fgsm")]
    return claims.combined([claims.over(d, 0) for d in apart]), listed(changes, _pct, NAMES)


def _jsma_eases(findings: Findings) -> Judged:
    changes = {a: _change(findings, "table4", a) for a in ATTACKS["top3"]}
    others = [changes[a] for a in ("lbfgs", "fgsm", "deepfool")]
    less = difference(NOTHING._replace(mean=0, low=0, high=0), changes["jsma"])
    verdict = claims.over(less, max(abs(other.mean) for other in others))
    there = claims.decided(others, holds=True, fails=False)
    return claims.combined([there, verdict]), listed(changes, _pct, NAMES)


def _claims() -> Iterator[Claim]:
    """The paper's conclusions (1) to (3), and every sentence of section 4 on more dropout."""
    where = "4.2, Table 2"
    for attack in ("lbfgs", "fgsm"):
        sentence = f"more dropout makes target samples harder to generate for {NAMES[attack]} (MAD grows)"
        yield Claim(where, sentence, claims.grows(_mad("table2", attack), STEPS))
    yield Claim(
        where,
        "JSMA is less affected (its MAD changes from none to all by less than L-BFGS's and FGSM's)",
        _less_affected,
    )
    yield _ranking(
        where, "JSMA has the least MAD, then L-BFGS, FGSM the most", "table2", ("jsma", "lbfgs", "fgsm")
    )
    for table, sweep in RECOGNITION.items():
        where = f"4.{2 if sweep == 'targeted' else 3}, Table {table[-1]}"
        for key, sentence, means in (
            ("generated_under", "samples generated with more dropout are easier to recognise", "column"),
            ("recognised_by", "more dropout makes the network more robust", "row"),
        ):
            for attack in ATTACKS[sweep]:
                of = f"{sentence}, {GOAL[sweep]} {NAMES[attack]} ({means} means grow)"
                yield Claim(where, of, claims.grows(_recognised(table, attack, key), STEPS))
    where = "4.3, Table 4"
    sentence = "more dropout makes top-3 samples easier to generate with JSMA (MAD falls)"
    yield Claim(where, sentence, claims.falls(_mad("table4", "jsma"), STEPS))
    for attack in ("lbfgs", "fgsm", "deepfool"):
        yield Claim(
            where,
            f"there is no obvious trend for {NAMES[attack]} (MAD neither grows nor falls with dropout, "
            f"and none's changes by under {TREND_PCT:g} %)",
            _no_trend(attack),
        )
    for attack in ("jsma", "fgsm"):
        sentence = f"DeepFool has the least MAD, then L-BFGS; {NAMES[attack]} is poor"
        yield _ranking(where, sentence, "table4", ("deepfool", "lbfgs", attack))
    yield Claim(
        "5, (1)",
        f"tiny performance loss: each scheme costs less than {TINY_LOSS_PCT:g} point in testing",
        _tiny_loss,
    )
    for table, sweep in RECOGNITION.items():
        for attack in ATTACKS[sweep]:
            of = f"{GOAL[sweep]} {NAMES[attack]}"
            sentence = f"samples generated without dropout are recognised better with it, {of}"
            yield Claim("5, (1)", sentence, _own_samples(table, attack))
    sentence = "dropout on the fully connected layer is the most efficient, then feature, then input"
    efficient = ("input", "feature", "fc")
    yield Claim(
        "5, (2)",
        f"{sentence} (mean accuracy over the attacks' samples)",
        claims.ranked(_mean_accuracy, efficient, shown=SCHEMES[1:]),
    )
    yield Claim(
        "5, (2)",
        f"{sentence} (Table 2's last row, the mean MAD over the attacks)",
        claims.ranked(_mad("table2", MEAN), efficient, lambda v: words(v, ".2f"), shown=SCHEMES),
    )
    yield Claim(
        "5, (3)",
        "the impact differs between attacks: target L-BFGS and FGSM are hindered "
        "(MAD grows by more than JSMA's)",
        _hindered,
    )
    yield Claim(
        "5, (3)",
        "top-3 JSMA becomes easier (its MAD falls), with less impact on L-BFGS, FGSM and DeepFool",
        _jsma_eases,
    )


def _ranking(where: str, sentence: str, table: str, order: Sequence[str]) -> Claim:
    def mean(findings: Findings, attack: str) -> Estimate:
        return findings.value(table, attack=attack, scheme=MEAN)

    return Claim(where, f"{sentence} (mean over the schemes)", claims.ranked(mean, order, names=NAMES))


CLAIMS = tuple(_claims())
