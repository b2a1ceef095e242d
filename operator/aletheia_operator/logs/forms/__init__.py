"""What a log line says of itself, by its form: level, message, fields.

Forms, not systems: each module here knows a family, and `dispatch` in which order they are asked. A word like ERROR inside a
message does not make the line an error: only a level's own place counts.

No pattern here backtracks without a bound: parts that repeat are possessive or counted, and only the head of a line is tried
(`HEAD_LENGTH`). tests/unit/test_linear_patterns.py searches for lines that prove otherwise.
"""

from aletheia_operator.logs.forms.dispatch import recognise
from aletheia_operator.logs.forms.recognised import MAX_PARSED, Recognised
from aletheia_operator.logs.forms.shapes import LONGEST_SHAPE, Shape, shape_of

__all__ = ["LONGEST_SHAPE", "MAX_PARSED", "Recognised", "Shape", "recognise", "shape_of"]
