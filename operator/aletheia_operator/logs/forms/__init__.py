"""Recognises level, message and fields of a log line by its form.

Each module knows a family of forms; `dispatch` tries them in order. A word like ERROR inside a message does not make the line
an error: only a word in the place of a level counts.

No pattern backtracks without a bound: repeated parts are possessive or counted, and only the head of a line is tried
(`HEAD_LENGTH`). tests/unit/test_linear_patterns.py searches for lines that prove otherwise.
"""

from aletheia_operator.logs.forms.dispatch import recognise
from aletheia_operator.logs.forms.recognised import MAX_PARSED, Recognised
from aletheia_operator.logs.forms.shapes import LONGEST_SHAPE, Shape, shape_of

__all__ = ["LONGEST_SHAPE", "MAX_PARSED", "Recognised", "Shape", "recognise", "shape_of"]
