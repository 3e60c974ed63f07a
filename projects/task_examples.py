"""One real example of each task, from the sample handbook, as a training row shows it."""

from dataclasses import dataclass

from projects.models import Project

PASSAGE = (
    "The emblem of the company shows a blue larkspur flower with seven drops on its lowest "
    "petal. Each of the seven drops stands for one of the seven people who worked in the sail "
    "loft in 2009."
)


@dataclass(frozen=True)
class TaskExample:
    summary: str
    passage: str
    prompt: str
    completion: str


TASKS = {
    Project.TaskType.QA: TaskExample(
        "People ask, and the model answers from what it has learned. For handbooks and manuals.",
        PASSAGE,
        "What do the seven drops in the company's emblem stand for?",
        "Each of the seven drops stands for one of the seven people who worked in the sail loft "
        "in 2009.",
    ),
    Project.TaskType.INSTRUCTION: TaskExample(
        "People give a task, and the model carries it out with what it has learned. For "
        "explaining, describing, listing.",
        PASSAGE,
        "Describe the emblem of the company.",
        "The emblem of the company shows a blue larkspur flower with seven drops on its lowest "
        "petal.",
    ),
}
