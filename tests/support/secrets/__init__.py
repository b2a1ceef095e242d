"""Makes the corpus of tests/data/secrets: secrets and look-alikes in lines of logs. All are random; none was ever valid."""

from tests.support.secrets import first, harmless, second

HALVES = {"first": first.cases, "second": second.cases}
LOOKALIKES = {"lookalikes": harmless.lookalikes}
