"""Makes the corpus of tests/data/secrets: secrets and look-alikes in lines of logs. All are random; none was ever valid."""

from tests.support.secrets import first, harmless, second, third

HALVES = {"first": first.cases, "second": second.cases, "third": third.cases}
LOOKALIKES = {"lookalikes": harmless.lookalikes, "lookalikes-third": third.lookalikes}
