"""Subjects: what the people in the data may ask for, and the documents that tell them what is done."""

from fraudlog.subjects.desk import Answer, Desk
from fraudlog.subjects.documents import DOCUMENTS, document, documented_columns, write_documents

__all__ = ["DOCUMENTS", "Answer", "Desk", "document", "documented_columns", "write_documents"]
