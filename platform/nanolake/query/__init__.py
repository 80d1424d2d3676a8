"""Named views and questions, each an SQL file in this folder.

``views/NN_name.sql`` are created in every lake, in the order of their numbers;
``questions/name.sql`` are what users ask, answered by ``nanolake sql --named NAME``. `derived` says
how views that would take long are kept ready-made.
"""

from nanolake.query.asking import Parameter, ask, parameters, question, questions
from nanolake.query.files import view_statements

__all__ = ["Parameter", "ask", "parameters", "question", "questions", "view_statements"]
