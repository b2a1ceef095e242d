"""Recognises level, message and fields of a log line by its form.

Each module knows a family of forms. `dispatch` tries them in this order, and the first answer counts:

1. by the first character: JSON, syslog (its text is recognised by itself), one letter before a time, the usual head of a time
   and a level; comments and rows of tables have no level;
2. pairs of keys and values;
3. any head that ends with a level, unless the line begins like a sentence;
4. beginnings of single programs and of crashes, then lines of tools without a time;
5. behind a time: a sentence has no level; codes, and a second head with one letter;
6. a place that only one program has (`layouts`);
7. what follows a symbol, a prompt, the names of a pod or a name before JSON, by itself;
8. the usual places of any layout, if a time is near (`anywhere`).

A word like ERROR inside a message does not make the line an error: only a word in the place of a level counts.

No pattern backtracks without a bound: repeated parts are possessive or counted, and only the head of a line is tried
(`HEAD_LENGTH`). tests/unit/test_linear_patterns.py searches for lines that prove otherwise.
"""

from aletheia_operator.logs.forms.dispatch import recognise
from aletheia_operator.logs.forms.recognised import MAX_PARSED, Recognised
from aletheia_operator.logs.forms.shapes import LONGEST_SHAPE, Shape, shape_of

__all__ = ["LONGEST_SHAPE", "MAX_PARSED", "Recognised", "Shape", "recognise", "shape_of"]
