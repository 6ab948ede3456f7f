"""Subjects: what the people in the data may ask for, and the documents that tell them what is done."""

from fraudlog.subjects.documents import DOCUMENTS, document, documented_columns, write_documents

__all__ = ["DOCUMENTS", "document", "documented_columns", "write_documents"]
