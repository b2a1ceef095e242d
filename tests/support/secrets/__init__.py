"""Makes the corpus of tests/data/secrets: secrets and look-alikes in lines of logs. All are random; none was ever valid.

The parts in STORED and STORED_LOOKALIKES are only stored: one line for each shape of trials.
"""

from tests.support.secrets import first, fourth, harmless, second, third

HALVES = {"first": first.cases, "second": second.cases, "third": third.cases, "fourth": fourth.cases}
LOOKALIKES = {
    "lookalikes": harmless.lookalikes,
    "lookalikes-third": third.lookalikes,
    "lookalikes-fourth": fourth.lookalikes,
}
STORED = (
    "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth",
    "sixteenth", "seventeenth", "eighteenth", "nineteenth",
)  # fmt: skip
STORED_LOOKALIKES = tuple(f"lookalikes-{name}" for name in STORED[: STORED.index("eighteenth")])
