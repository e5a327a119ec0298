"""On what grounds of the General Data Protection Regulation (EU) 2016/679 a project stands.

The same articles hold as the UK GDPR. Health data need a ground of Article 6(1) and one of Article 9(2).
"""

from __future__ import annotations

from typing import Literal

from wardround.contracts.base import Frozen

Article6 = Literal["6-1-a", "6-1-b", "6-1-c", "6-1-d", "6-1-e", "6-1-f"]
Article9 = Literal["9-2-a", "9-2-b", "9-2-c", "9-2-d", "9-2-e", "9-2-f", "9-2-g", "9-2-h", "9-2-i", "9-2-j"]

ARTICLE_6: dict[Article6, str] = {
    "6-1-a": "consent of the data subjects",
    "6-1-b": "a contract with the data subject",
    "6-1-c": "a legal obligation",
    "6-1-d": "vital interests",
    "6-1-e": "a task in the public interest or in the exercise of official authority",
    "6-1-f": "legitimate interests",
}

ARTICLE_9: dict[Article9, str] = {
    "9-2-a": "explicit consent",
    "9-2-b": "employment, social security and social protection law",
    "9-2-c": "vital interests of somebody who can't consent",
    "9-2-d": "members of a not-for-profit body",
    "9-2-e": "data that the data subject made public",
    "9-2-f": "legal claims and courts",
    "9-2-g": "substantial public interest",
    "9-2-h": "health or social care and its management",
    "9-2-i": "public interest in public health",
    "9-2-j": "archiving, scientific or historical research, or statistics (Article 89)",
}


class LawfulBasis(Frozen):
    """The ground for processing personal data, and the one for health data among them."""

    article_6: Article6
    article_9: Article9

    def in_words(self) -> tuple[str, str]:
        """Each ground with where it stands."""
        return (
            f"{ARTICLE_6[self.article_6]} (GDPR Art. {_cite(self.article_6)})",
            f"{ARTICLE_9[self.article_9]} (Art. {_cite(self.article_9)})",
        )


def _cite(code: str) -> str:
    article, paragraph, letter = code.split("-")
    return f"{article}({paragraph})({letter})"
