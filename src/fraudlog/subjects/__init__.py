"""Subjects: what the people in the data may ask for, and the documents that tell them what is done."""

from fraudlog.subjects.access import Access, access
from fraudlog.subjects.desk import Answer, Desk
from fraudlog.subjects.documents import DOCUMENTS, document, documented_columns, write_documents
from fraudlog.subjects.purging import Receipt, purge, verify_receipt

__all__ = [
    "DOCUMENTS",
    "Access",
    "Answer",
    "Desk",
    "Receipt",
    "access",
    "document",
    "documented_columns",
    "purge",
    "verify_receipt",
    "write_documents",
]
