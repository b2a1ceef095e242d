"""Slots of questions: the next one is asked while the answer to another is only saved."""

import asyncio

import pytest

from aletheia_operator.fetchers.base import Question
from aletheia_operator.investigate.slots import Slots


class Asking:
    """Questions to one source. `asked`: those that have begun, in order. `answered`: set once a question's entries are here."""

    def __init__(self, number: int, limit: int) -> None:
        self.questions = [Question("Logs", str(key), f"pod/{key}", {}, gives_logs=True, node="node") for key in range(number)]
        self.slots = Slots(self.questions, limit)
        self.asked: list[str] = []
        self.answered = {question.key: asyncio.Event() for question in self.questions}
        self.saved = {question.key: asyncio.Event() for question in self.questions}

    async def ask(self, question: Question) -> None:
        async with self.slots.slot(question) as fetched:
            self.asked.append(question.key)
            await self.answered[question.key].wait()
            await fetched()
            await self.saved[question.key].wait()


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(9):
        await asyncio.sleep(0)


async def test_the_next_question_is_asked_while_an_answer_is_saved() -> None:
    """At most half as many as are asked at once are only saved: then the others keep their slots."""
    asking = Asking(9, limit=4)
    async with asyncio.TaskGroup() as group:
        for question in asking.questions:
            group.create_task(asking.ask(question))
        await settle()
        assert asking.asked == ["0", "1", "2", "3"]
        for key in ("0", "1", "2"):
            asking.answered[key].set()
        await settle()
        assert asking.asked == ["0", "1", "2", "3", "4", "5"], "the third waits for one of two that are saved"
        asking.saved["1"].set()
        await settle()
        assert asking.asked[6:] == ["6"]
        for key in asking.answered:
            asking.answered[key].set()
            asking.saved[key].set()
    assert sorted(asking.asked) == [question.key for question in asking.questions]


@pytest.mark.parametrize("answered", [0, 1, 3])
async def test_questions_that_end_early_give_their_slots_back(answered: int) -> None:
    """Whether they are cancelled while they are asked, while they wait for their turn to be saved, or while they are saved."""
    asking = Asking(4, limit=2)
    tasks = [asyncio.create_task(asking.ask(question)) for question in asking.questions]
    for number in range(answered):
        asking.answered[str(number)].set()
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    again = [asyncio.create_task(asking.ask(question)) for question in asking.questions]
    for key in asking.answered:
        asking.answered[key].set()
        asking.saved[key].set()
    await asyncio.wait_for(asyncio.gather(*again), 5)
