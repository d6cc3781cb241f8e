"""What customers write about: declared topics found in comments. No word of a comment leaves this room."""

from stream.comments.taxonomy import LANGUAGES, TOPICS
from stream.comments.topics import TopicFinder, problem_of

__all__ = ["LANGUAGES", "TOPICS", "TopicFinder", "problem_of"]
